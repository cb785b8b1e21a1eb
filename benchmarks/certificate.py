"""A throw-away CA and a server certificate for 127.0.0.1, made by openssl."""

from __future__ import annotations

import subprocess
from pathlib import Path

# keyUsage and the key identifiers are what Python 3.13's strict verification asks for.
CONFIG = """
[req]
distinguished_name = name
prompt = no
[name]
CN = loadkit benchmark
[ca]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
[server]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
subjectAltName = IP:127.0.0.1
"""
KEY = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]


def make_certificates(folder: Path) -> None:
    """Write ca.pem, server.pem and server.key into the folder."""
    (folder / "openssl.cnf").write_text(CONFIG)
    _request(folder, "ca", "-extensions", "ca", "-subj", "/CN=loadkit benchmark CA")
    _request(folder, "server", "-extensions", "server", "-CA", "ca.pem", "-CAkey", "ca.key")


def _request(folder: Path, name: str, *more: str) -> None:
    command = ["openssl", "req", "-x509", "-config", "openssl.cnf", *KEY, *more]
    command += ["-keyout", f"{name}.key", "-out", f"{name}.pem"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True, timeout=30)
