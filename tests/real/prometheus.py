"""Debian's Prometheus on a loopback address of its own, and what it answers."""

import contextlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import yaml

from tests.real.programs import fetch, free_address, serving, wait_for


def target(address: str, **labels: str) -> dict[str, Any]:
    """A job that scrapes this address."""
    return {"static_configs": [{"targets": [address], "labels": labels}]}


@contextlib.contextmanager
def scraping(
    folder: Path,
    job: Mapping[str, Any],
    *flags: str,
    every: str = "1s",
    evaluated: str = "",
    **sections: Any,
) -> Iterator[str]:
    """A Prometheus with this job; its address.

    `every`: from one scrape to the next, and from one evaluation of rules to the next where that is
    not `evaluated`. `sections`: of its configuration, such as `rule_files`, relative to the folder.
    """
    config = {
        "global": {
            "scrape_interval": every,
            "scrape_timeout": every,
            "evaluation_interval": evaluated or every,
        },
        "scrape_configs": [{"job_name": "istio-ports", "honor_labels": True, **job}],
        **sections,
    }
    folder.mkdir(exist_ok=True)
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    address = free_address()
    command = (
        "prometheus",
        f"--config.file={folder}/prometheus.yml",
        f"--storage.tsdb.path={folder}/data",
        f"--web.listen-address={address}",
        *flags,
    )
    with serving(folder / "prometheus.out", address, *command):
        wait_for(lambda: fetch(f"http://{address}/-/ready") is not None, "Prometheus")
        yield address


def query(address: str, expression: str) -> list[dict[str, Any]]:
    """The series that an expression finds: their labels as `metric`, their value or values."""
    found: list[dict[str, Any]] = _get(address, f"query?{urlencode({'query': expression})}")[
        "result"
    ]
    return found


def firing(address: str) -> list[dict[str, Any]]:
    """The alerts that fire."""
    return [row for row in _get(address, "alerts")["alerts"] if row["state"] == "firing"]


def rule_groups(address: str) -> list[dict[str, Any]]:
    """The groups of rules, each rule with how it was evaluated last."""
    groups: list[dict[str, Any]] = _get(address, "rules")["groups"]
    return groups


def _get(address: str, path: str) -> Any:
    answer = fetch(f"http://{address}/api/v1/{path}", 60)
    assert answer, f"no answer to {path}"
    return json.loads(answer)["data"]
