"""The columns of the catalogue with what moves a port and what switches it."""

from collections.abc import Callable
from dataclasses import fields, replace

import pytest

from exporter.catalogue import NEWEST_VERSION, PORTS, PORTS_BY_ROLE, Port
from exporter.catalogue.movers import port_number, port_of_address, port_or_off
from exporter.model import Expectation, Interception, Role, Settings

DEFAULTS = Settings()
KINDS = {field.name: type(getattr(DEFAULTS, field.name)) for field in fields(Settings)}
EVERYTHING = replace(
    DEFAULTS,
    hbone=True,
    dns_capture=True,
    secure_stats_port=15091,
    secure_merged_port=15092,
)


def name_of(row: Port) -> str:
    return f"{row.role}-{row.number}"


def line_of(row: Port) -> tuple[int, int]:
    return row.until or NEWEST_VERSION


@pytest.mark.parametrize("row", PORTS, ids=name_of)
def test_a_port_has_a_setting_exactly_where_something_moves_it(row: Port) -> None:
    assert bool(row.setting) == bool(row.moved_by)
    if row.setting:
        assert KINDS[row.setting] is int
        assert getattr(DEFAULTS, row.setting) in (row.number, 0)


@pytest.mark.parametrize("role", Role)
def test_no_two_ports_of_a_role_share_a_setting(role: Role) -> None:
    settings = [row.setting for row in PORTS_BY_ROLE[role] if row.setting]
    assert len(settings) == len(set(settings))


@pytest.mark.parametrize("row", [row for row in PORTS if row.setting], ids=name_of)
def test_the_setting_is_the_ports_number_and_0_is_off(row: Port) -> None:
    moved = replace(EVERYTHING, **{row.setting: 17001})
    assert row.number_in(moved) == 17001
    assert row.expectation_in(moved, line_of(row)) is not Expectation.ABSENT
    off = replace(EVERYTHING, **{row.setting: 0})
    assert row.expectation_in(off, line_of(row)) is Expectation.ABSENT


SWITCHES = [(row, switch) for row in PORTS for switch in row.switches]


@pytest.mark.parametrize(("row", "switch"), SWITCHES, ids=lambda one: getattr(one, "setting", ""))
def test_a_switch_decides_what_its_port_is_expected_to_be(row: Port, switch: object) -> None:
    setting, default = switch.setting, switch.default  # type: ignore[attr-defined]
    assert KINDS[setting] is bool
    assert getattr(DEFAULTS, setting) is default
    expected = {
        row.expectation_in(replace(DEFAULTS, **{setting: value}), line_of(row))
        for value in (True, False)
    }
    assert len(expected) == 2


def test_what_moves_a_port_is_printed() -> None:
    for row in PORTS:
        for mover in row.moved_by:
            assert all(name in row.moved_by_text for name in mover.names)
        for switch in row.switches:
            assert all(name in row.moved_by_text for name in switch.variables)


def test_the_virtual_listeners_are_only_there_where_traffic_is_captured() -> None:
    none = replace(DEFAULTS, interception=Interception.NONE)
    absent = [
        row.number
        for row in PORTS_BY_ROLE[Role.SIDECAR]
        if row.expectation_in(EVERYTHING, line_of(row))
        is not row.expectation_in(replace(EVERYTHING, interception=none.interception), line_of(row))
    ]
    assert absent == [15001, 15006]


NUMBERS = {
    15100: ("15100", 15100, " 15100 "),
    0: ("0", 0),
    None: ("many", "", True, False, -1, "-1", "65536", None),
}
ADDRESSES = {
    8080: (":8080", "0.0.0.0:8080", "[::1]:8080", "localhost:8080"),
    0: ("", " ", ":0"),
    None: ("8080", ":http", ":", 8080, None),
}
OR_OFF = {15015: ("15015",), 0: ("0", "-1"), None: ("many",)}


@pytest.mark.parametrize(
    ("parse", "table"),
    [(port_number, NUMBERS), (port_of_address, ADDRESSES), (port_or_off, OR_OFF)],
)
def test_a_number_is_read_as_its_program_reads_it(
    parse: Callable[[object], int | None], table: dict[int | None, tuple[object, ...]]
) -> None:
    for number, values in table.items():
        for value in values:
            assert parse(value) == number, repr(value)
