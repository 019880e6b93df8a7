"""The project's addresses in the package's metadata, as `release/urls.py` has them."""

import sys
from pathlib import Path

from hatchling.metadata.plugin.interface import MetadataHookInterface


class Urls(MetadataHookInterface):
    """Sets `project.urls`; without `release/`, as where an image is built, there are none."""

    PLUGIN_NAME = "custom"

    def update(self, metadata: dict[str, object]) -> None:
        """Add the addresses to the metadata."""
        if (Path(self.root) / "release").is_dir():
            sys.path.insert(0, self.root)
            from release.urls import repository_of, urls_of

            metadata["urls"] = urls_of(repository_of())
