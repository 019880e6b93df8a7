"""What the recorder of behaviour masks, and above all what it does not."""

from pathlib import Path

import pytest

from benchmarks.behaviour.compare import compare
from benchmarks.behaviour.masks import mask_json, mask_table, mask_text, split_exposition

PAGE = """# HELP istio_port_up Whether.
istio_port_up{pod="b.pod",port="15021"} %s
istio_port_up{pod="a.pod",port="15020"} 0
istio_target_last_poll_timestamp_seconds{pod="a.pod"} %s
istio_port_exporter_polls_total %s
istio_port_exporter_targets{role="sidecar"} 2
"""


def test_samples_come_by_target_and_only_clocks_and_own_counts_are_masked() -> None:
    parts = split_exposition(PAGE % (1, 1795678436.5, 12), "metrics")
    assert parts == split_exposition(PAGE % (1, 1795678499.5, 13), "metrics")
    assert parts["b.pod", "metrics"] == 'istio_port_up{pod="b.pod",port="15021"} 1\n'
    assert 'istio_port_exporter_targets{role="sidecar"} 2' in parts["", "metrics"]
    assert parts != split_exposition(PAGE % (0, 1795678436.5, 12), "metrics")


def test_a_document_loses_times_but_no_verdict_no_count_and_no_null() -> None:
    first = {"polled": {"fast": 1795678436.5}, "up": True, "seconds": 0.1, "targets": 7}
    later = {**first, "polled": {"fast": 1795678499.5}, "seconds": 0.2}
    assert mask_json(first) == mask_json(later)
    others = ({"up": None}, {"up": False}, {"targets": 8}, {"seconds": None}, {"polled": {}})
    assert all(mask_json(first) != mask_json({**first, **other}) for other in others)


@pytest.mark.parametrize(
    "address", ["198.18.0.7", "198.19.255.1", "fd00:1590::7", "fd00:1590:3f::1c"]
)
def test_an_address_of_a_replay_is_masked(address: str) -> None:
    assert address not in mask_text(f"connections to {address} are refused")


def test_ports_and_other_addresses_are_not_masked() -> None:
    assert mask_text("127.0.0.1:15000 after 2 s, [::1]") == "127.0.0.1:15000 after 2 s, [::1]"


def test_a_table_is_the_same_whatever_its_width_and_the_order_of_what_is_unjudged() -> None:
    wide = "│ a   │ 15020✓ │\nNot judged from here:\n  causes: x, y\n  a port\n"
    narrow = "│ a │ 15020✓ │\nNot judged from here:\n  a port\n  causes: y, x\n"
    assert mask_table(wide) == mask_table(narrow)
    assert mask_table(wide) != mask_table(narrow.replace("✓", "✗"))


def test_a_comparison_ends_with_1_and_a_diff_where_records_differ(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, said in (("before", "up 1\n"), ("same", "up 1\n"), ("after", "up 0\n")):
        (tmp_path / name / "states").mkdir(parents=True)
        (tmp_path / name / "states" / "healthy.txt").write_text(said)
    assert compare(tmp_path / "before", tmp_path / "same") == 0
    assert compare(tmp_path / "before", tmp_path / "after") == 1
    assert "-up 1\n+up 0\n1 files compared, 1 differ." in capsys.readouterr().out
    assert compare(tmp_path / "before", tmp_path / "nowhere") == 2
