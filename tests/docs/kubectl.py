"""A stand-in for kubectl: a job's pods are processes here, its volumes are folders, and nothing is a cluster.

Of each pod the command is run as the kubelet would: variables of the form $(NAME) in it are those of the container,
$$ is $, and the index of the pod is in its environment.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

CLUSTER = Path(os.environ["CLUSTER"])
"""A folder for each volume, by its path in pods, and a file for each job, which says how many of its pods went well."""


def main(words: list[str]) -> None:
    """Do what the command says, as far as the page uses it."""
    match words:
        case ["delete", *_]:
            pass
        case ["create", "configmap", name, source, "--dry-run=client", "-o", "yaml"]:
            file = Path(source.removeprefix("--from-file="))
            data = {"name": name, "kind": "ConfigMap", "data": {file.name: file.read_text()}}
            print(yaml.safe_dump(data))
        case ["apply", "-f", file]:
            apply(yaml.safe_load(sys.stdin if file == "-" else Path(file).read_text()))
        case ["get", "job", name, "-o", "jsonpath={.status.conditions[*].type}"]:
            print("Complete" if (CLUSTER / name).read_text() else "Failed")
        case ["get", "job", name, "-o", "jsonpath={.status.succeeded}"]:
            print((CLUSTER / name).read_text())
        case ["logs", job]:
            print((CLUSTER / f"{job.removeprefix('job/')}.log").read_text())
        case _:
            sys.exit(f"kubectl does not know {words}")


def apply(found: dict[str, Any]) -> None:
    """Make what a manifest says: files of a config map, or a job, whose pods are awaited."""
    if found["kind"] == "ConfigMap":
        folder = CLUSTER / "scenarios"
        folder.mkdir()
        for name, text in found["data"].items():
            (folder / name).write_text(text)
        return
    spec, name = found["spec"], found["metadata"]["name"]
    (container,) = spec["template"]["spec"]["containers"]
    pods = [start(container, index, name) for index in range(spec.get("completions", 1))]
    good = sum(pod.wait() == 0 for pod in pods)
    (CLUSTER / name).write_text(str(good) if good == len(pods) else "")


def start(container: dict[str, Any], index: int, job: str) -> subprocess.Popen[bytes]:
    """A pod."""
    own = {one["name"]: one["value"] for one in container.get("env", [])} | {"JOB_COMPLETION_INDEX": str(index)}
    command = [expanded(word, own) for word in (*container["command"], *container["args"])]
    for mount in container["volumeMounts"]:
        folder = CLUSTER / Path(mount["mountPath"]).name
        folder.mkdir(exist_ok=True)
        command = [word.replace(mount["mountPath"], str(folder)) for word in command]
    with (CLUSTER / f"{job}.log").open("ab") as log:
        return subprocess.Popen(command, env=os.environ | own, stdout=log, stderr=log)


def expanded(word: str, variables: dict[str, str]) -> str:
    """The kubelet leaves what is no variable of the container as it is."""
    return re.sub(
        r"\$\$|\$\(([^)]*)\)",
        lambda found: "$" if found[0] == "$$" else variables.get(found[1], found[0]),
        word,
    )


if __name__ == "__main__":
    main(sys.argv[1:])
