from exporter.exposition import FAMILIES
from exporter.model.family_names import FAMILY_NAMES


def test_the_names_are_those_of_the_families() -> None:
    assert set(FAMILY_NAMES) == {family.name for family in FAMILIES}
    assert len(FAMILY_NAMES) == len(FAMILIES)
