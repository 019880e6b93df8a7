"""The text format: escaping, numbers, one target's blocks, and all targets' blocks joined.

Sources: prometheus/docs instrumenting/exposition_formats.md (text 0.0.4) and the OpenMetrics
1.0 specification. A sample line is the same in both; only the headers of counters differ.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from math import isfinite, isnan
from operator import attrgetter, is_, itemgetter

from exporter.bounds import LABEL_VALUE, SERIES, cut_text
from exporter.model import ClusterRecord, TargetRecord

TARGETS_PER_CHUNK = 512
"""How many targets' blocks are joined in one go: about 0.2 MB of a family with seven series."""

Sample = tuple[str, float]
"""Labels, as `labelled` writes them, and a value."""

Samples = Callable[[TargetRecord], Iterable[Sample]]
"""What a family has of a record. An unknown value has no sample."""

_ClusterSamples = Callable[[ClusterRecord], Iterable[Sample]]
"""As `Samples`, of the mesh as a whole."""


def no_samples(_record: object) -> tuple[()]:
    """What a family of the cluster has of a target, and the other way round."""
    return ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """One metric family: a row of `FAMILIES`.

    `type` is gauge or counter. `profile` is the smallest profile that has the family. `stability`
    is stable, or experimental: then it may change with any release; `brief` is what the profiles
    below full show of it, where that is not everything. A family of the cluster has
    `cluster_samples` in place of `samples`, and none of a target's labels. `from_istiod`: not the
    target's own poll shows it but the istiods, for every proxy of the cluster. `timed`: its values
    are times or numbers of polls, which differ though nothing else does.
    """

    name: str
    help: str
    type: str = "gauge"
    profile: str = "standard"
    stability: str = "stable"
    labels: tuple[str, ...] = ()
    samples: Samples = no_samples
    cluster_samples: _ClusterSamples = no_samples
    brief: Samples | None = None
    from_istiod: bool = False
    timed: bool = False


_SHORT = LABEL_VALUE // 4
"""Of so many characters none takes more bytes than a label's value may have."""


def escaped(value: str) -> str:
    """A label value with backslash, quote and line feed escaped; a very long one is cut."""
    if len(value) > _SHORT:
        value = cut_text(value, LABEL_VALUE)
    if "\\" in value:
        value = value.replace("\\", "\\\\")
    if '"' in value:
        value = value.replace('"', '\\"')
    if "\n" in value:
        value = value.replace("\n", "\\n")
    return value


def labelled(**labels: str) -> str:
    """Labels as they follow the target's own: `,name="value"` each."""
    return "".join([f',{name}="{escaped(value)}"' for name, value in labels.items()])


def number(value: float) -> str:
    """A sample's value as both formats read it; booleans are 1 and 0."""
    if value is True or value is False:
        return "1" if value else "0"
    if isfinite(value):
        return repr(value)
    if isnan(value):
        return "NaN"
    return "+Inf" if value > 0 else "-Inf"


Blocks = tuple[bytes, ...]
"""What is rendered of one target: one block a family, in their order."""


def render(
    record: TargetRecord,
    families: Sequence[Family],
    last: tuple[TargetRecord, Blocks] | None = None,
) -> Blocks:
    """One block of sample lines per family, in their order; empty without samples.

    A pair of labels that comes twice keeps its last value: a repeated series would cost
    Prometheus the whole scrape.

    `last`: the record of the target before, rendered with the same families. A block is taken
    from there where the parts that its samples are made of are the very same. A target that was
    not polled yet has the `timed` families alone: its counters begin at 0.
    """
    if last is not None and all(map(is_, _LASTING_PARTS(record), _LASTING_PARTS(last[0]))):
        return tuple(
            [
                _renewed(family, record, block) if family.timed else block
                for family, block in zip(families, last[1], strict=True)
            ]
        )
    target = _labels_of(record)
    if record.polls == 0:
        return tuple(
            [
                _block(family.name, target, family.samples(record)) if family.timed else b""
                for family in families
            ]
        )
    return tuple([_block(family.name, target, family.samples(record)) for family in families])


def _renewed(family: Family, record: TargetRecord, block: bytes) -> bytes:
    """The block with new values; of a family with one sample all but the value stays."""
    samples = family.samples(record)
    if isinstance(samples, tuple | list) and len(samples) == 1 and block.count(b"\n") == 1:
        labels, value = samples[0]
        before = block[: block.rindex(b" ")]
        if before.endswith(f"{labels}}}".encode()):
            return b"%b %b\n" % (before, number(value).encode())
    return _block(family.name, _labels_of(record), samples)


_LASTING_PARTS = attrgetter(
    "target",
    "verdicts",
    "ready",
    "diagnosis",
    "proxy",
    "control_plane",
    "certificates",
    "spiffe_id",
    "root",
    "version",
    "servers",
    "listening",
)
"""The parts of a record that families are made of which are not `timed`."""


def render_synced(
    record: TargetRecord,
    families: Sequence[Family],
    last: tuple[TargetRecord, Blocks] | None = None,
) -> Blocks:
    """As `render`, with the families that come from istiods alone."""
    del last  # it differs whenever it is published
    target = _labels_of(record)
    return tuple(
        [
            _block(family.name, target, family.samples(record)) if family.from_istiod else b""
            for family in families
        ]
    )


def render_cluster(record: ClusterRecord, families: Sequence[Family]) -> tuple[bytes, ...]:
    """As `render`, of the cluster: its families' blocks in their places, the others empty."""
    return tuple([_block(row.name, "{", row.cluster_samples(record), None) for row in families])


def _labels_of(record: TargetRecord) -> str:
    key = record.target.key
    return (
        f'{{namespace="{escaped(key.namespace)}",pod="{escaped(key.pod)}"'
        f',role="{record.target.role.value}"'
    )


def _block(name: str, target: str, samples: Iterable[Sample], most: int | None = SERIES) -> bytes:
    if not samples:
        return b""
    opening = name + target
    if isinstance(samples, tuple | list) and len(samples) == 1:
        labels, value = samples[0]
        return f"{opening}{labels}}} {number(value)}\n".encode("utf-8", "replace")
    series = islice(dict(samples).items(), most)
    lines = [f"{opening}{labels}}} {number(value)}\n" for labels, value in series]
    return "".join(lines).encode("utf-8", "replace") if lines else b""


def assemble(
    families: Sequence[Family],
    blocks: Iterable[tuple[bytes, ...]],
    openmetrics: bool,  # noqa: FBT001
    names: frozenset[str] | None = None,
) -> Iterator[bytes]:
    """The exposition in chunks: each family once, its header and then every target's samples.

    `blocks` were rendered with the same families. `names` keeps only these families (what
    `?name[]=` selects; a counter answers with and without `_total`). A family without a
    sample has no header either. No `# EOF`: the exporter's own metrics follow. Chunks are empty
    where a family has no sample of their targets, so that others can go on in between.
    """
    rows = list(blocks)
    groups = [rows[at : at + TARGETS_PER_CHUNK] for at in range(0, len(rows), TARGETS_PER_CHUNK)]
    for index, family in enumerate(families):
        if names is not None and names.isdisjoint((family.name, base_name(family))):
            continue
        opening = header(family, openmetrics=openmetrics)
        block_of = itemgetter(index)
        for group in groups:
            chunk = b"".join(map(block_of, group))
            yield opening + chunk if chunk else b""
            opening = b"" if chunk else opening


def header(family: Family, *, openmetrics: bool) -> bytes:
    """The HELP and TYPE lines; OpenMetrics names a counter's family without `_total`."""
    name = base_name(family) if openmetrics else family.name
    return f"# HELP {name} {family.help}\n# TYPE {name} {family.type}\n".encode()


def base_name(family: Family) -> str:
    """The family's name in OpenMetrics."""
    return family.name.removesuffix("_total") if family.type == "counter" else family.name
