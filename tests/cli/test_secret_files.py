"""A file that is a key, a token or binary is never printed, whatever option it was given to."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from exporter.cli.main import main

CANARY = "Q2FuYXJ5S2V5TWF0ZXJpYWw"
PEM = f"-----BEGIN PRIVATE KEY-----\n{CANARY}\n{CANARY}\n-----END PRIVATE KEY-----\n"
TOKEN = f"eyJhbGciOiJSUzI1NiJ9.{CANARY}.{CANARY}"

FILES: dict[str, bytes] = {
    "a key": PEM.encode(),
    "a key with headers": PEM.replace("\n", f"\nProc-Type: 4,{CANARY}\n\n", 1).encode(),
    "a key of OpenSSH": PEM.replace("PRIVATE", "OPENSSH PRIVATE").encode(),
    "a key and a certificate": (PEM + PEM.replace("PRIVATE KEY", "CERTIFICATE")).encode(),
    "a token": TOKEN.encode(),
    "a token and a line end": TOKEN.encode() + b"\n",
    "a short password": CANARY.encode(),
    "some tokens": f"{CANARY}\n{TOKEN}\n".encode(),
    "a list of tokens": f"- {CANARY}\n- {TOKEN}\n".encode(),
    "a list of lists": f"- [{CANARY}]\n".encode(),
    "JSON text": json.dumps(CANARY).encode(),
    "htpasswd": f"alice:$2y$10${CANARY}\nbob:{CANARY}\n".encode(),
    "netrc": f"machine a login b password {CANARY}\n".encode(),
    "an INI file": f"[default]\nsecret_access_key = {CANARY}\n".encode(),
    "an environment": f"TOKEN={CANARY}\nOTHER={CANARY}\n".encode(),
    "a Secret": f"kind: Secret\nmetadata: {{name: a}}\ndata: {{token: {CANARY}}}\n".encode(),
    "a kind": f"kind: {CANARY}-+/{CANARY}\n".encode(),
    "a kubeconfig": f"users: [{{name: me, user: {{token: {CANARY}}}}}]\n".encode(),
    "a service account": json.dumps({"private_key": PEM, "client_email": CANARY}).encode(),
    "a header": f"Authorization: Bearer {CANARY}\n".encode(),
    "a key of a mapping": f"? {CANARY * 3}\n: 1\n".encode(),
    "an alias": f"a: *{CANARY}\n".encode(),
    "a tag": f"a: !{CANARY} b\n".encode(),
    "a tag with a handle": f"a: !{CANARY}!b c\n".encode(),
    "a number that is none": f"a: !!int {CANARY}\n".encode(),
    "a time that is none": f"a: !!float {CANARY}\n".encode(),
    "an unfinished list": f"[{CANARY}, {{{CANARY}".encode(),
    "a directive": f"%YAML {CANARY}\n---\n".encode(),
    "DER": b"\x30\x82\x04\xa4\x02\x01\x00" + CANARY.encode() + b"\xff\xfe",
    "binary that is UTF-8": b"\x00\x01\x02" + CANARY.encode(),
    "UTF-16": CANARY.encode("utf-16"),
    "a key under a known key": f"web:\n  listen_address: |\n    {CANARY}\n    {CANARY}\n".encode(),
    "a target's": f"- address: [10.0.0.1]\n  token: {CANARY}\n".encode(),
}


def config(folder: Path, text: str) -> list[str]:
    (folder / "exporter.yaml").write_text(text)
    return ["--config.file", str(folder / "exporter.yaml")]


def listed(folder: Path, secret: Path) -> list[str]:
    return config(folder, f"discovery: {{static: {{files: [{secret}]}}}}\n")


def pod(folder: Path, secret: Path) -> list[str]:
    return config(folder, f"discovery: {{static: {{targets: [{{pod: ./{secret.name}}}]}}}}\n")


OPTIONS: dict[str, Callable[[Path, Path], list[str]]] = {
    "--config.file": lambda _folder, secret: ["config", "check", "--config.file", str(secret)],
    "--web.config.file": lambda _folder, secret: [
        *("config", "check", "--web.config.file", str(secret)),
    ],
    "static.files": lambda folder, secret: ["config", "check", *listed(folder, secret)],
    "a target's pod": lambda folder, secret: ["config", "check", *pod(folder, secret)],
    "check": lambda folder, secret: ["check", *listed(folder, secret)],
    "check's pod": lambda folder, secret: ["check", *pod(folder, secret)],
    "--kubeconfig": lambda _folder, secret: ["check", "--kubeconfig", str(secret)],
    "serve": lambda _folder, secret: ["serve", "--config.file", str(secret)],
    "serve's web file": lambda _folder, secret: ["serve", "--web.config.file", str(secret)],
    "keys in a web file": lambda folder, secret: [
        *("config", "check", "--web.config.file"),
        str(_web(folder, secret)),
    ],
}


def _web(folder: Path, secret: Path) -> Path:
    file = folder / "web.yaml"
    file.write_text(f"tls_server_config: {{cert_file: {secret}, key_file: {secret}}}\n")
    return file


@pytest.mark.parametrize("option", OPTIONS.values(), ids=OPTIONS)
def test_a_file_of_secrets_is_refused_and_not_printed(
    option: Callable[[Path, Path], list[str]],
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    for name, content in FILES.items():
        secret = tmp_path / "secret.yaml"
        secret.write_bytes(content)
        assert main(option(tmp_path, secret)) != 0, name
        printed = capfd.readouterr()
        shown = printed.out + printed.err + caplog.text
        assert shown, name
        assert CANARY[:12] not in shown, f"{name}: {shown}"
        assert CANARY[-12:] not in shown, f"{name}: {shown}"
        caplog.clear()
