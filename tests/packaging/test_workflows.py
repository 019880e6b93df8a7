"""The workflows ask for no more than they need, and run what is there."""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from release.urls import ROOT

FOLDER = ROOT / ".github"
WORKFLOWS = sorted((FOLDER / "workflows").glob("*.yaml"))
FORMS = [
    form for form in sorted((FOLDER / "ISSUE_TEMPLATE").glob("*.yml")) if form.stem != "config"
]


def jobs(workflow: Path) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(workflow.read_text())["jobs"]
    return found


def steps(workflow: Path) -> list[dict[str, Any]]:
    return [step for job in jobs(workflow).values() for step in job["steps"]]


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda one: one.stem)
def test_a_workflow_may_read_unless_a_job_says_more(workflow: Path) -> None:
    document = yaml.safe_load(workflow.read_text())
    assert document["permissions"] == {"contents": "read"}
    assert all("timeout-minutes" in job for job in document["jobs"].values())
    assert "pull_request_target" not in workflow.read_text()


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda one: one.stem)
def test_no_secret_is_used_and_nothing_of_an_event_is_pasted_into_a_command(workflow: Path) -> None:
    assert "secrets." not in workflow.read_text()
    for step in steps(workflow):
        assert "${{" not in step.get("run", "")


def test_owner_and_repository_are_the_platform_s_own() -> None:
    for workflow in WORKFLOWS:
        text = workflow.read_text()
        owners = re.findall(r"ghcr\.io/(\S+)|github\.com/(\S+)", text)
        assert owners == []
    release = (FOLDER / "workflows" / "release.yaml").read_text()
    assert "GITHUB_REPOSITORY" in release


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda one: one.stem)
def test_an_action_is_a_commit_with_its_version_beside_it(workflow: Path) -> None:
    used = re.findall(r"uses: (.*)", workflow.read_text())
    assert used
    fixed = re.compile(r"[\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+")
    assert [one for one in used if not fixed.fullmatch(one)] == []


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda one: one.stem)
def test_what_a_step_runs_is_there(workflow: Path) -> None:
    for step in steps(workflow):
        script = step.get("run", "")
        subprocess.run(["bash", "-n", "-c", script], check=True)
        for target in re.findall(r"^make (\S+)|\bmake (\S+)$", script, re.MULTILINE):
            name = next(filter(None, target))
            subprocess.run(["make", "--dry-run", name], cwd=ROOT, capture_output=True, check=True)
        for module in re.findall(r"python -m (release\.\w+)", script):
            assert (ROOT / f"{module.replace('.', '/')}.py").exists()


def test_a_release_builds_on_the_base_by_its_digest() -> None:
    script = "\n".join(step.get("run", "") for step in steps(WORKFLOWS[-1]))
    assert '--build-context "$base=docker-image://$pinned"' in script
    assert "--platform linux/amd64,linux/arm64" in script
    assert "--sbom=true" in script


@pytest.mark.parametrize("form", FORMS, ids=lambda one: one.stem)
def test_an_issue_form_has_what_the_platform_demands(form: Path) -> None:
    document = yaml.safe_load(form.read_text())
    assert {"name", "description", "body"} <= set(document)
    ids = [part["id"] for part in document["body"]]
    assert len(set(ids)) == len(ids)
    assert all(isinstance(one, str) for one in ids)
    assert all(part["attributes"]["label"] for part in document["body"])
