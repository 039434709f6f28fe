"""Manifests by image name: those just sealed, and those the record holds, each read once."""

from __future__ import annotations

from shipway.model.entry import Manifest
from shipway.prefix.database import Database


class Library:
    """Call it with an image's name to get its manifest."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._known: dict[str, Manifest] = {}
        self.fresh: dict[str, Manifest] = {}

    def add(self, name: str, manifest: Manifest) -> None:
        """An image that was sealed in this session and may not be recorded yet."""
        self.fresh[name] = manifest

    def __call__(self, name: str) -> Manifest:
        """The manifest of an image.  Raises CorruptError if there is no such image."""
        if name in self.fresh:
            return self.fresh[name]
        if name not in self._known:
            self._known[name] = self._database.manifest(name)
        return self._known[name]

    def settle(self) -> None:
        """What was sealed is committed: from now on its files may have been changed through a hard link."""
        self._known |= self.fresh
        self.fresh.clear()
