from hypothesis import given
from hypothesis import strategies as st

from exporter.model import Outcome, Role, Target, TargetKey, TargetRecord, Verdict, View
from exporter.report.not_judged import not_judged


def record_of(pod: str, *verdicts: Verdict, undetected: tuple[str, ...] = ()) -> TargetRecord:
    target = Target(key=TargetKey("n", pod), role=Role.SIDECAR, addresses=("10.0.0.7",))
    return TargetRecord(target=target, verdicts=verdicts, undetected=undetected)


def unjudged(port: int, detail: str = "", *, structural: bool = False) -> Verdict:
    outcome = Outcome.NO_ACCESS
    return Verdict(port, "envoy", None, outcome, View.NETWORK, detail=detail, structural=structural)


def test_a_port_and_a_cause_are_listed_once_for_all_targets() -> None:
    verdicts = (unjudged(15000, structural=True), unjudged(15002, structural=True))
    records = [
        record_of(pod, *verdicts, undetected=("xds_disconnected",)) for pod in ("one", "two")
    ]
    reason = "listens inside the pod only; give the target a netns to reach it"
    assert not_judged(records) == (
        f"port 15000 (sidecar): {reason}",
        f"port 15002 (sidecar): {reason}",
        "causes that these polls could not show: xds_disconnected",
    )


@given(st.permutations(range(6)))
def test_the_order_in_which_polls_end_changes_no_sentence(order: list[int]) -> None:
    records = [
        record_of(
            f"pod-{one}",
            unjudged((15053, 15090, 15000)[one % 3], structural=True),
            unjudged(15020, ("No right.", "No such network namespace.")[one % 2]),
            undetected=(("admin_slow", "xds_disconnected")[one % 2],),
        )
        for one in range(6)
    ]
    assert not_judged(records[one] for one in order) == not_judged(records)


def test_causes_that_could_not_show_for_some_targets_alone_have_their_number() -> None:
    records = [record_of("one"), record_of("two", undetected=("xds_disconnected",))]
    sentence = "causes that these polls could not show for 1 of 2 targets: xds_disconnected"
    assert not_judged(records) == (sentence,)


def test_a_reason_that_several_targets_share_is_listed_once_with_their_number() -> None:
    missing = unjudged(15020, "No right.")
    records = [record_of(pod, missing, missing) for pod in ("one", "two")]
    assert not_judged(records) == ("2 targets: No right.",)
    assert not_judged(records[:1]) == ("n/one: No right.",)


def test_pods_without_an_address_are_one_sentence() -> None:
    waiting = [Target(key=TargetKey("shop", pod), role=Role.SIDECAR, addresses=()) for pod in "ab"]
    assert not_judged([TargetRecord(target=target) for target in waiting]) == (
        "2 pods have no address yet: nothing of them can be probed",
    )


def test_plain_connects_have_no_result_where_pods_were_seen_from_inside_only() -> None:
    inside = Verdict(15020, "pilot-agent", up=True, outcome=Outcome.OK, view=View.POD)
    (sentence,) = not_judged([record_of("a", inside)])
    assert "none was tried over the network" in sentence
    tried = Verdict(15021, "envoy", up=True, outcome=Outcome.OK, view=View.POD, naive=True)
    assert not_judged([record_of("a", inside, tried)]) == ()
