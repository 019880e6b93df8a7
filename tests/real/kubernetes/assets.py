"""Where the tests' own control plane comes from: etcd and kube-apiserver, found or compiled.

Both are looked for as users of envtest expect, in KUBEBUILDER_ASSETS and on PATH, and then in a
cache outside the tree. `make test-assets` runs this file: it compiles kube-apiserver into the
cache with the ordinary `go build` when it is nowhere; etcd is a system package.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

VERSION = "1.37.2"
PROGRAMS = ("etcd", "kube-apiserver")

_STAGING_VERSION = VERSION.replace("1.", "0.", 1)
_MODULE = "k8s.io/kubernetes"
_STAMP = "k8s.io/component-base/version"
_TELL_EVERY_SECONDS = 15.0
_DOWNLOADS = "go: downloading "


def cache() -> Path:
    """The folder of what was compiled here."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "istio-port-exporter" / f"kubernetes-{VERSION}"


def find(program: str) -> str | None:
    """The path of a program of the control plane; None where there is none."""
    assets = os.environ.get("KUBEBUILDER_ASSETS")
    folders = (assets, os.environ.get("PATH", os.defpath), str(cache()))
    return next((found for folder in folders if (found := _in(program, folder))), None)


def missing() -> list[str]:
    """The programs that are nowhere."""
    return [program for program in PROGRAMS if find(program) is None]


def build(go: str, programs: Sequence[str] = ("kube-apiserver",)) -> None:
    """Compile programs of Kubernetes into the cache; raises CalledProcessError."""
    with tempfile.TemporaryDirectory(prefix="kubernetes-") as scratch:
        folder = Path(scratch)
        _run(go, "mod", "init", "assets", folder=folder)
        _run(go, "mod", "edit", *_edits(go, folder), folder=folder)
        built = folder / "built"
        stamp = f"-ldflags=-X {_STAMP}.gitVersion=v{VERSION}"
        packages = [f"{_MODULE}/cmd/{program}" for program in programs]
        command = (go, "build", "-mod=mod", stamp, "-o", f"{built}/", *packages)
        compile_with_progress(command, folder)
        for program in programs:
            keep(built / program, cache())


def keep(program: Path, folder: Path) -> None:
    """Copy a program into a folder of the cache, where nobody ever sees half of it."""
    folder.mkdir(parents=True, exist_ok=True)
    half = folder / f".{program.name}.{os.getpid()}"
    shutil.copy2(program, half)
    half.rename(folder / program.name)


def compile_with_progress(
    command: Sequence[str], folder: Path, environ: Mapping[str, str] | None = None
) -> None:
    """Run the Go compiler and print a line every 15 s; raises CalledProcessError."""
    began = time.monotonic()
    settings = {**os.environ, "CGO_ENABLED": "0", "GOWORK": "off", **(environ or {})}
    with (
        tempfile.TemporaryFile("w+") as errors,
        subprocess.Popen(command, cwd=folder, env=settings, stderr=errors) as compiler,
    ):
        while True:
            try:
                code = compiler.wait(_TELL_EVERY_SECONDS)
            except subprocess.TimeoutExpired:
                say(f"  still compiling, {time.monotonic() - began:.0f} s")
            else:
                break
        if code:
            errors.seek(0)
            say("".join(line for line in errors if not line.startswith(_DOWNLOADS)))
            raise subprocess.CalledProcessError(code, command)
    say(f"  done in {time.monotonic() - began:.0f} s")


def _in(program: str, folder: str | None) -> str | None:
    return shutil.which(program, path=folder) if folder else None


def _edits(go: str, folder: Path) -> list[str]:
    """What has to stand in go.mod: the release, and the same release of what it is staged with."""
    message = _run(go, "mod", "download", "-json", f"{_MODULE}@v{VERSION}", folder=folder)
    staged = [
        words[0]
        for line in Path(json.loads(message)["GoMod"]).read_text().splitlines()
        if (words := line.split()) and "=>" in words and words[-1].startswith("./staging/")
    ]
    replaced = [f"-replace={name}={name}@v{_STAGING_VERSION}" for name in staged]
    return [f"-require={_MODULE}@v{VERSION}", *replaced]


def _run(*command: str, folder: Path) -> str:
    return subprocess.run(command, cwd=folder, check=True, stdout=subprocess.PIPE, text=True).stdout


def say(text: str) -> None:
    """Tell the person who waits."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def main() -> int:
    """Make sure that the control plane is there, or report what is missing and why."""
    absent = missing()
    go = shutil.which("go")
    if "kube-apiserver" in absent and go:
        say(f"Compiling kube-apiserver {VERSION} once, into {cache()}.")
        say("With two cores this takes 4 to 9 minutes, and needs 4 GB in Go's own cache.")
        try:
            build(go)
        except subprocess.CalledProcessError as error:
            say(f"kube-apiserver was not compiled: {error}")
            return 1
    for program in missing():
        how = "it is compiled with Go" if program == "kube-apiserver" else "package etcd-server"
        say(f"Not installed: {program} ({how}); the tests that use it will say so.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
