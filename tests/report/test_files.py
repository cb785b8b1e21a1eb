"""A file is written whole or not at all, where it may be, and through no link of others."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from loadkit.plan.errors import OutputError, UsageError
from loadkit.report.files import check_writable, write_text

ON_A_FULL_DISK = """
import resource, signal, sys
from pathlib import Path
from loadkit.report.files import write_text
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1024, 1024))
try:
    write_text(Path(sys.argv[1]), "new" * 1000)
except Exception as error:
    sys.exit(f"{type(error).__name__}: {error}")
"""


def test_a_disk_that_fills_up_leaves_the_old_file_and_nothing_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    path.write_text("old", encoding="utf-8")
    # in a process of its own: the limit would hold for the file pytest's own output goes to
    done = subprocess.run([sys.executable, "-c", ON_A_FULL_DISK, path], capture_output=True, text=True, check=False)
    assert done.stderr == f"OutputError: cannot write {path}: file too large\n"
    assert path.read_text(encoding="utf-8") == "old"
    assert [one.name for one in tmp_path.iterdir()] == ["r.json"]


def test_text_that_cannot_be_encoded_leaves_the_old_file_and_nothing_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    path.write_text("old", encoding="utf-8")
    with pytest.raises(UnicodeEncodeError):
        write_text(path, "\udc80")
    assert path.read_text(encoding="utf-8") == "old"
    assert [one.name for one in tmp_path.iterdir()] == ["r.json"]


@pytest.mark.parametrize(
    ("name", "why"),
    [("none/r.json", "no such file or directory"), ("file/r.json", "not a directory"), (".", "is a directory")],
)
def test_a_place_that_is_none_is_named_before_anything_is_sent_and_when_it_is_written(
    tmp_path: Path, name: str, why: str
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError) as before:
        check_writable(tmp_path / name)
    with pytest.raises(OutputError) as caught:
        write_text(tmp_path / name, "x")
    assert str(before.value).replace("it is", "is") == str(caught.value) == f"cannot write {tmp_path / name}: {why}"


def test_looking_leaves_no_trace(tmp_path: Path) -> None:
    old = tmp_path / "old.json"
    old.write_text("old", encoding="utf-8")
    check_writable(old)
    check_writable(tmp_path / "new.json")
    assert ([one.name for one in tmp_path.iterdir()], old.read_text(encoding="utf-8")) == (["old.json"], "old")


def test_a_new_file_has_the_permissions_of_any_and_an_old_one_keeps_its_own(tmp_path: Path) -> None:
    new, old, plain = tmp_path / "new", tmp_path / "old", tmp_path / "plain"
    plain.touch()
    old.touch()
    old.chmod(0o640)
    write_text(new, "x")
    write_text(old, "x")
    assert [stat.S_IMODE(one.stat().st_mode) for one in (new, old)] == [stat.S_IMODE(plain.stat().st_mode), 0o640]


def test_a_link_stays_a_link_and_its_target_is_written(tmp_path: Path) -> None:
    link, target = tmp_path / "latest.json", tmp_path / "today.json"
    link.symlink_to(target)
    write_text(link, "x")
    assert link.is_symlink()
    assert target.read_text(encoding="utf-8") == "x"


NOBODY = 65534


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may make links of other users")
@pytest.mark.parametrize(
    ("mode", "owner", "place", "is_written"),
    [
        (0o1777, NOBODY, "out.json", False),
        # a part of the way is a link of another user's, or the way leads over one
        (0o1777, NOBODY, "sub/out.json", False),
        (0o1777, NOBODY, "over.json", False),
        # links of one's own, and of the owner of the folder
        (0o1777, 0, "out.json", True),
        # nobody else can put links here
        (0o755, NOBODY, "out.json", True),
    ],
)
def test_a_link_that_somebody_else_laid_in_a_folder_for_all_is_not_followed(
    tmp_path: Path, mode: int, owner: int, place: str, is_written: bool
) -> None:
    mine, shared = tmp_path / "mine", tmp_path / "shared"
    mine.mkdir()
    (mine / "out.json").write_text("precious")
    shared.mkdir()
    for name, target in (("out.json", mine / "out.json"), ("sub", mine)):
        (shared / name).symlink_to(target)
        os.lchown(shared / name, owner, owner)
    (shared / "over.json").symlink_to("out.json")
    shared.chmod(mode)

    if is_written:
        check_writable(shared / place)
        write_text(shared / place, "new")
    else:
        with pytest.raises(UsageError, match="is a link of another user in a folder for all"):
            check_writable(shared / place)
        with pytest.raises(OutputError, match="is a link of another user in a folder for all"):
            write_text(shared / place, "new")

    assert (mine / "out.json").read_text() == ("new" if is_written else "precious")


def test_a_link_that_leads_to_itself_is_named(tmp_path: Path) -> None:
    (tmp_path / "loop.json").symlink_to("loop.json")
    with pytest.raises(UsageError, match=r"cannot write .*loop\.json: too many levels of symbolic links"):
        check_writable(tmp_path / "loop.json")


def test_the_mask_for_new_files_is_that_of_all_threads_and_is_left_alone(tmp_path: Path) -> None:
    called: list[object] = []
    sys.setprofile(lambda _, event, function: called.append(function) if event == "c_call" else None)
    try:
        write_text(tmp_path / "new.json", "x")
    finally:
        sys.setprofile(None)
    assert os.fsync in called
    assert os.umask not in called


def test_a_name_as_long_as_a_name_can_be_is_written(tmp_path: Path) -> None:
    path = tmp_path / ("r" * 255)
    check_writable(path)
    write_text(path, "x")
    assert path.read_text(encoding="utf-8") == "x"


def test_a_pipe_is_written_into_and_stays_a_pipe(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    read: list[str] = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_text(encoding="utf-8")), daemon=True)
    reader.start()
    check_writable(pipe)
    write_text(pipe, "x")
    reader.join(5)
    assert read == ["x"]
    assert pipe.is_fifo()


@pytest.mark.skipif(sys.platform != "linux", reason="has no /dev/full")
def test_a_full_device_is_named_with_the_reason() -> None:
    with pytest.raises(OutputError, match=r"^cannot write /dev/full: no space left on device$"):
        write_text(Path("/dev/full"), "x")
    assert Path("/dev/full").is_char_device()


def test_standard_output_can_be_the_file() -> None:
    code = "from pathlib import Path; from loadkit.report.files import *; write_text(Path('/dev/stdout'), 'x')"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout == b"x"
