"""How kubelet and shell make the words of a process, and which ports follow from them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.discovery.command_lines import flags_of, words_of
from exporter.model import Role, Target
from tests.discovery.pod_builders import STATUS_ANNOTATION, document, proxy, targets

VARIABLES = {"STATUS": "15120", "FLAGS": "--proxyAdminPort", "LONG": "9" * 600}
OLD_FLAGS = ("--statusPort", "15120", "--proxyAdminPort", "15100", "--concurrency", "2")

WORDS = {
    "a variable": (("--statusPort=$(STATUS)",), ("--statusPort=15120",)),
    "a word that is one": (("$(FLAGS)", "1"), ("--proxyAdminPort", "1")),
    "two in a word": (("$(STATUS):$(STATUS)",), ("15120:15120",)),
    "an unknown one": (("$(POD_NAMESPACE).svc",), ("$(POD_NAMESPACE).svc",)),
    "an escaped one": (("$$(STATUS)",), ("$(STATUS)",)),
    "one that is very long": (("$(LONG)",), ("$(LONG)",)),
    "the shell's, without a shell": (("$STATUS", "${STATUS}"), ("$STATUS", "${STATUS}")),
    "spaces, without a shell": (("proxy sidecar",), ("proxy sidecar",)),
}
SCRIPTS = {
    "exec pilot-agent proxy sidecar": ("exec", "pilot-agent", "proxy", "sidecar"),
    "pilot-agent proxy --statusPort '15120' ;": ("pilot-agent", "proxy", "--statusPort", "15120"),
    'sleep 5 && proxy --domain="a b"': ("sleep", "5", "proxy", "--domain=a b"),
    "proxy --statusPort=${STATUS}": ("proxy", "--statusPort=15120"),
    "proxy --statusPort=$STATUS": ("proxy", "--statusPort=15120"),
    "proxy --statusPort=$(STATUS)": ("proxy", "--statusPort=15120"),
    "proxy \\\n  router": ("proxy", "router"),
    "proxy $UNKNOWN": ("proxy", "$UNKNOWN"),
    'an "open quote': ("an", "open", "quote"),
    "": (),
}


@pytest.mark.parametrize(("words", "expected"), WORDS.values(), ids=WORDS)
def test_the_kubelet_puts_in_variables(words: tuple[str, ...], expected: tuple[str, ...]) -> None:
    assert words_of((), words, VARIABLES) == expected
    assert words_of(words, (), VARIABLES) == expected


@pytest.mark.parametrize(
    "shell", [("/bin/sh", "-c"), ("bash", "-ec"), ("busybox", "sh", "-c"), ("/bin/sh", "-e", "-c")]
)
@pytest.mark.parametrize(("script", "expected"), SCRIPTS.items())
def test_a_shells_script_is_the_words_in_it(
    shell: tuple[str, ...], script: str, expected: tuple[str, ...]
) -> None:
    assert words_of((*shell, script), (), VARIABLES) == (*shell, *expected)
    assert words_of(shell, (script, "$(STATUS)"), VARIABLES) == (*shell, *expected, "15120")


@given(st.lists(st.text(), max_size=6), st.dictionaries(st.text(), st.text()))
def test_no_text_breaks_them(texts: list[str], variables: dict[str, str]) -> None:
    flags_of(words_of(("sh", "-c"), texts, variables))
    flags_of(words_of((), texts, variables))


def injected(command: list[str], *args: str, env: dict[str, str]) -> Target:
    container = proxy(env=env, image="istio/proxyv2:1.6.14") | {"command": command, "args": args}
    (target,) = targets(document(container, annotations=STATUS_ANNOTATION))
    return target


SHELL = ["/bin/sh", "-c"]
EXEC = "exec /usr/local/bin/pilot-agent proxy sidecar "
WAYS = {
    "arguments": ([], ("proxy", "sidecar", *OLD_FLAGS)),
    "joined": ([], ("proxy", "sidecar", "--statusPort=15120", "--proxyAdminPort=15100")),
    "before the role": ([], ("proxy", *OLD_FLAGS, "sidecar")),
    "command": (["/usr/local/bin/pilot-agent", "proxy", "sidecar", *OLD_FLAGS], ()),
    "a shell": (SHELL, (EXEC + " ".join(OLD_FLAGS),)),
    "a shell and its arguments": (SHELL, ('exec pilot-agent "$@"', "-", "proxy", *OLD_FLAGS)),
    "variables in a shell": (SHELL, (EXEC + "--statusPort ${STATUS} --proxyAdminPort $ADMIN",)),
    "variables": ([], ("proxy", "--statusPort=$(STATUS)", "--proxyAdminPort", "$(NESTED)")),
}


@pytest.mark.parametrize(("command", "args"), WAYS.values(), ids=WAYS)
def test_the_flags_of_old_agents_move_their_ports_however_they_are_given(
    command: list[str], args: tuple[str, ...]
) -> None:
    env = {"STATUS": "15120", "ADMIN": "15100", "NESTED": "$(ADMIN)"}
    target = injected(command, *args, env=env)
    assert target.role is Role.SIDECAR
    assert (target.settings.status_port, target.settings.admin_port) == (15120, 15100)
