"""The programs that are compiled with Go, each module once, into a cache outside the tree."""

import hashlib
import json
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tests.real.kubernetes import assets

SUMS = "SHA256SUMS"


@dataclass(frozen=True, slots=True)
class GoModule:
    """One version of a Go module, and its packages that are programs."""

    module: str
    version: str
    packages: tuple[str, ...]

    @property
    def label(self) -> str:
        return f"{self.module} {self.version}".strip()

    @property
    def folder(self) -> Path:
        """Its folder in the cache."""
        return cache() / self.label.replace("/", "-").replace(" ", "-")

    @property
    def programs(self) -> tuple[str, ...]:
        return tuple(package.rpartition("/")[2] for package in self.packages)

    def build(self, go: str) -> None:
        """Compile its programs into the cache; raises CalledProcessError."""
        packages = [f"{self.module}/{package}@{self.version}" for package in self.packages]
        with tempfile.TemporaryDirectory(prefix="go-programs-") as scratch:
            folder = Path(scratch)
            command = (go, "install", *packages)
            assets.compile_with_progress(command, folder, {"GOBIN": str(folder)})
            for program in self.programs:
                assets.keep(folder / program, self.folder)

    def source(self, go: str) -> Path:
        """The folder of its source in Go's own cache."""
        command = (go, "mod", "download", "-json", f"{self.module}@{self.version}")
        return Path(json.loads(subprocess.check_output(command, text=True))["Dir"])


@dataclass(frozen=True, slots=True)
class OwnProgram(GoModule):
    """A program whose source is here, in `programs/`, on top of a module or of none."""

    @property
    def programs(self) -> tuple[str, ...]:
        return self.packages

    def build(self, go: str) -> None:
        (name,) = self.packages
        with tempfile.TemporaryDirectory(prefix="go-programs-") as scratch:
            folder = Path(scratch)
            shutil.copyfile(Path(__file__).parent / "programs" / f"{name}.go", folder / "main.go")
            required = f"-require={self.module}@{self.version}"
            for command in (("init", name), *([("edit", required)] if self.version else ())):
                subprocess.run((go, "mod", *command), cwd=folder, capture_output=True, check=True)
            assets.compile_with_progress((go, "build", "-mod=mod", "-o", name, "."), folder)
            assets.keep(folder / name, self.folder)


@dataclass(frozen=True, slots=True)
class Kubernetes(GoModule):
    """Kubernetes needs its staged modules named, and lies where the other tests find it."""

    @property
    def folder(self) -> Path:
        return assets.cache()

    def build(self, go: str) -> None:
        assets.build(go, self.programs)


def _commands(*names: str) -> tuple[str, ...]:
    return tuple(f"cmd/{name}" for name in names)


KUBERNETES = Kubernetes(
    "k8s.io/kubernetes",
    f"v{assets.VERSION}",
    _commands(
        "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy"
    ),
)
CONTAINERD = GoModule(
    "github.com/containerd/containerd/v2",
    "v2.4.2",
    _commands("containerd", "containerd-shim-runc-v2", "ctr"),
)
COREDNS = OwnProgram("github.com/coredns/coredns", "v1.15.0", ("coredns",))
PAUSE = OwnProgram("pause", "", ("pause",))
KUBE_ROUTER = GoModule(
    "github.com/cloudnativelabs/kube-router/v2", "v2.1.0", _commands("kube-router")
)
HELM = GoModule("helm.sh/helm/v4", "v4.3.1", _commands("helm"))
ISTIO = GoModule(
    "istio.io/istio",
    "v0.0.0-20260827124520-eed52ebb66ad",
    ("pilot/cmd/pilot-discovery", "pilot/cmd/pilot-agent", "cni/cmd/install-cni"),
)
MODULES = (PAUSE, KUBERNETES, CONTAINERD, COREDNS, KUBE_ROUTER, HELM, ISTIO)


def cache() -> Path:
    """The folder of all parts of the cluster that are made here."""
    return assets.cache().parent / "cluster"


def program(name: str) -> str:
    """The path of a program: compiled, or Debian's."""
    for module in MODULES:
        if name in module.programs:
            return str(module.folder / name)
    found = shutil.which(name)
    assert found, f"{name} is missing (make cluster-assets)"
    return found


def write_sums(folder: Path, names: tuple[str, ...]) -> None:
    """Record what the cache holds, so that a file that was cut short or changed is noticed."""
    (folder / SUMS).write_text("".join(f"{_sum(folder / name)}  {name}\n" for name in names))


def is_intact(folder: Path, names: tuple[str, ...]) -> bool:
    """Whether the cache holds these files, unchanged since they were made."""
    if not (folder / SUMS).exists():
        return False
    rows = (line.split() for line in (folder / SUMS).read_text().splitlines())
    sums = {name: value for value, name in rows}
    return all((folder / name).exists() and sums.get(name) == _sum(folder / name) for name in names)


def _sum(path: Path) -> str:
    with path.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
