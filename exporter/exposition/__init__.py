"""From a target's record to the text that Prometheus reads.

`FAMILIES` has one row a family, `render` turns one record into one block of bytes per family when
a poll ends, `assemble` joins the blocks of all targets when Prometheus scrapes. Pure.
"""

from exporter.exposition.families import FAMILIES, PROFILES, selected
from exporter.exposition.text_format import (
    Blocks,
    Family,
    assemble,
    render,
    render_cluster,
    render_synced,
)
