"""The page that draws dashboards with Grafana's own panels: installed, bundled and served.

Grafana publishes its panels on npm. `drawing/packages.txt` pins each package with its hash; they
are installed once into a cache outside the tree, and bundled there with the page's own files.
"""

import contextlib
import hashlib
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from tests.charts.render import Document

SOURCES = Path(__file__).parent / "drawing"
OWN = ("page.jsx", "data.js", "scrollbars.cjs")
INSTALL_SECONDS = 600
_BUNDLE = (
    "--bundle",
    "--minify",
    "--format=esm",
    '--define:process.env.NODE_ENV="production"',
    "--loader:.svg=dataurl",
    "--loader:.ttf=dataurl",
    "--alias:react-custom-scrollbars-2=./scrollbars.cjs",
    "--log-level=error",
)
_HTML = (
    '<!doctype html><meta charset="utf-8"><title>Dashboard</title><link rel="icon" href="data:">'
    '<link rel="stylesheet" href="/page.css">'
    '<body><div id="root"></div><script type="module" src="/page.js"></script>'
)


def bundle() -> Path:
    """The folder with the bundled page; the first call installs the packages (a minute or two)."""
    folder = _cache() / f"bundle-{_digest(*OWN, 'packages.txt')}"
    if folder.exists():
        return folder
    packages = _installed()
    for name in OWN:
        shutil.copy2(SOURCES / name, packages)
    [esbuild] = packages.glob("node_modules/@esbuild/*/bin/esbuild")
    with tempfile.TemporaryDirectory(dir=_cache()) as scratch:
        made = Path(scratch) / "made"
        command = (esbuild, "page.jsx", *_BUNDLE, f"--outfile={made}/page.js")
        subprocess.run(command, cwd=packages, check=True)
        made.rename(folder)
    return folder


def _cache() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = Path(base) / "istio-port-exporter" / "grafana"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _digest(*names: str) -> str:
    return hashlib.sha256(b"\0".join((SOURCES / name).read_bytes() for name in names)).hexdigest()[
        :16
    ]


def _installed() -> Path:
    """The folder with `node_modules`; raises CalledProcessError where npm fails."""
    folder = _cache() / f"packages-{_digest('packages.txt')}"
    if folder.exists():
        return folder
    packages = lock_of((SOURCES / "packages.txt").read_text())
    lock = {"name": "drawing", "lockfileVersion": 3, "requires": True, "packages": packages}
    with tempfile.TemporaryDirectory(dir=_cache()) as scratch:
        made = Path(scratch) / "made"
        made.mkdir()
        (made / "package.json").write_text(json.dumps(packages[""]))
        (made / "package-lock.json").write_text(json.dumps(lock))
        command = ("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--silent")
        subprocess.run(command, cwd=made, check=True, timeout=INSTALL_SECONDS)
        made.rename(folder)
    return folder


def lock_of(listed: str) -> dict[str, dict[str, Any]]:
    """The packages of a lock file: each line has a place, a version and a hash.

    npm removes what nothing depends on, so each package becomes a dependency of what it lies in.
    """
    packages: dict[str, dict[str, Any]] = {"": {"name": "drawing"}}
    for line in listed.splitlines():
        place, version, integrity = line.split()
        parent, _, name = f"node_modules/{place}".rpartition("node_modules/")
        row: dict[str, Any] = {"version": version, "integrity": integrity}
        kind = "dependencies"
        if name.startswith("@esbuild/"):
            kind, row["optional"], row["os"] = "optionalDependencies", True, ["linux"]
            row["cpu"] = [name.rpartition("-")[2]]
        packages[parent.rstrip("/")].setdefault(kind, {})[name] = version
        packages[f"node_modules/{place}"] = row
    return packages


@contextlib.asynccontextmanager
async def drawing(folder: Path, boards: Mapping[str, Document], address: str) -> AsyncIterator[str]:
    """Serve the page, these dashboards and the Prometheus at this address; its own URL."""
    async with aiohttp.ClientSession(f"http://{address}") as prometheus:

        async def show(_request: web.Request) -> web.Response:
            return web.Response(text=_HTML, content_type="text/html")

        async def dashboard(request: web.Request) -> web.Response:
            return web.json_response(boards[request.match_info["name"]])

        async def query(request: web.Request) -> web.Response:
            path, body = request.match_info["path"], await request.post()
            async with prometheus.post(f"/api/v1/{path}", data=body) as answer:
                return web.Response(body=await answer.read(), content_type="application/json")

        app = web.Application()
        app.router.add_get("/", show)
        app.router.add_get("/dashboards/{name}", dashboard)
        app.router.add_post("/prometheus/api/v1/{path}", query)
        app.router.add_static("/", folder)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
        await runner.cleanup()
