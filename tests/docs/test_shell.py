"""Commands for a shell do what they promise when they are pasted as they are printed.

In: the lines of each `sh` block of the pages, the commands in their sentences, and what the
catalogue has to be run by hand for each port. A shell must not expand them, kubectl must print what
a program writes, and nothing may wait for a process that hangs.
"""

import re
from collections.abc import Iterator

import pytest

from exporter.catalogue import PORTS
from tests.charts.render import pod_specs, render
from tests.docs.pages import ROOT, code_spans, fences, pages

_QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"|#.*")
_IN_PROXY = re.compile(r" -c istio-proxy -- (\S+)")
_IN_DEFAULT_IMAGE = {"cat", "curl", "date", "kdig", "pilot-agent", "sh"}
"""What Istio's image has; the head of docs/diagnosis.md lists it for those of distroless ones."""

_PROGRAMS = ("curl", "helm", "istioctl", "kubectl", "openssl", "pilot-agent", "promtool", "sed")

DIAGNOSIS = ROOT / "docs" / "diagnosis.md"


def on_pages() -> Iterator[tuple[str, str]]:
    """Each line of the pages, with where it is."""
    for page in pages():
        for fence in fences(page):
            if fence.language in ("sh", "bash", "console"):
                for line in fence.text.replace("\\\n", " ").splitlines():
                    yield fence.where, line


def in_sentences() -> Iterator[tuple[str, str]]:
    """Each command of the pages' sentences and tables, with its page."""
    for page in pages():
        for text in code_spans(page):
            if re.match(rf"({'|'.join(_PROGRAMS)}) ", text):
                yield str(page.relative_to(ROOT)), text


def by_hand() -> Iterator[tuple[str, str]]:
    """Each command of the catalogue, with its port."""
    for row in PORTS:
        yield f"{row.role} {row.number}", row.by_hand


LINES = [*on_pages(), *in_sentences(), *by_hand()]
OF_PROXIES = [line for line in LINES if "docs/" not in line[0] or "diagnosis.md" in line[0]]
"""Those that are sent to a process which may hang."""


def wrong(line: str) -> str:
    """What a shell or kubectl would make of it; empty where all is well."""
    bare = _QUOTED.sub("", line)
    globs = [word for word in bare.split() if re.search(r"[?*]", word)]
    if [word for word in globs if not list(ROOT.glob(word))]:
        return "a pattern of file names that no file matches: quote it"
    if re.search(r"<[a-z]+>", bare):
        return "a placeholder that a shell takes for a redirection: write NAME"
    if "kubectl debug" in line and "kubectl debug -it" not in line:
        return "kubectl debug prints nothing without -it"
    if re.search(r"ss -\w*p|gdb", bare) and "debug" in line and "--profile=general" not in line:
        return "another user's processes need SYS_PTRACE"
    inside = _IN_PROXY.search(line)
    if inside and inside[1] not in _IN_DEFAULT_IMAGE:
        return f"Istio's image has no {inside[1]}"
    return ""


def test_every_command_is_for_a_shell() -> None:
    assert [(where, line, wrong(line)) for where, line in LINES if wrong(line)] == []


@pytest.mark.parametrize(
    "line",
    [
        "curl http://POD_IP:15020/debug?debug=1",
        "kubectl auth can-i list pods --as system:serviceaccount:<namespace>:<name>",
        "kubectl debug -n NAMESPACE POD --image=busybox -- netstat -ltn",
        "kubectl debug -it POD --target=APP_CONTAINER -- ss -ltnp",
        "kubectl exec POD -c istio-proxy -- dig @127.0.0.1 kubernetes.default",
    ],
)
def test_a_command_that_does_nothing_is_found(line: str) -> None:
    assert wrong(line)


def test_nothing_waits_for_a_process_that_hangs() -> None:
    for where, line in OF_PROXIES:
        if re.search(r"\bcurl\b", line):
            assert re.search(r" -m \d", line), (where, line)
        if "openssl s_client" in line:
            assert "</dev/null" in line, (where, line)


def test_the_programs_of_istios_image_are_named_for_distroless_ones() -> None:
    head = DIAGNOSIS.read_text(encoding="utf-8").partition("\n## ")[0]
    used = {found[1] for _, line in LINES if (found := _IN_PROXY.search(line))}
    assert used <= _IN_DEFAULT_IMAGE
    assert all(f"`{program}`" in head for program in _IN_DEFAULT_IMAGE)


def test_a_check_in_the_pod_has_the_configuration_of_the_pod() -> None:
    (pod,) = pod_specs(render({}))
    (flag,) = [word for word in pod["containers"][0]["args"] if word.startswith("--config.file=")]
    checks = [line for _, line in LINES if "exec EXPORTER -- istio-port-exporter check" in line]
    assert checks
    assert all(flag.replace("=", " ") in line for line in checks)
