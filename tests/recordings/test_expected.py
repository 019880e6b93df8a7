from exporter.demo import SHIPPED, load_states
from tests.recordings.expected import expected_of

STATES = {state.name: state for state in load_states(SHIPPED)}


def test_the_pod_view_is_laid_over_what_the_network_shows() -> None:
    state = STATES["istiod-down-at-start"]
    assert expected_of(state, "network").up[15000] is None
    assert expected_of(state, "pod").up[15000] == 1
    assert expected_of(state, "pod").up[15090] == 0


def test_every_state_has_a_cause_in_both_views() -> None:
    for state in STATES.values():
        for view in ("network", "pod"):
            causes = expected_of(state, view).causes
            assert causes
            assert all(isinstance(cause, str) for cause in causes)


def test_a_state_is_healthy_without_any_cause() -> None:
    healthy = {name for name, state in STATES.items() if state.is_healthy}
    assert healthy == {
        name for name in STATES if expected_of(STATES[name], "network").causes == ("none",)
    }
