"""Whether everything in a live directory belongs to what is being replaced."""

from __future__ import annotations

from shipway.model.derived import is_cache_directory, is_derived, sources_of
from shipway.model.entry import DIRECTORY, KIND_NAMES, Entry, join, parent_of
from shipway.model.planning import Disk, PlanRequest, Seen, matches


class Blockers:
    """Finds the first thing in a directory that must not go with it; remembers what it found."""

    def __init__(self, request: PlanRequest) -> None:
        self._disk = request.disk
        self._old = [wish.old for wish in request.wishes if wish.old is not None]
        self._found: dict[str, str] = {}

    def in_directory(self, path: str) -> str:
        """What keeps a directory from going as one, in words, or ""."""
        if path not in self._found:
            self._found[path] = self._search(path)
        return self._found[path]

    def _search(self, path: str) -> str:
        listings = [manifest.directories[path].entries for manifest in self._old if path in manifest.directories]
        for name, seen in self._disk.names(path).items():
            entry = next((listing[name] for listing in listings if name in listing), None)
            reason = self._judge(join(path, name), seen, entry)
            if reason:
                return reason
        return ""

    def _judge(self, path: str, seen: Seen, entry: Entry | None) -> str:
        if entry is None:
            return "" if self._counts_for_nothing(path, seen) else f"{path} belongs to no package"
        if entry.derived:
            return ""
        if seen.kind != entry.kind:
            return f"{path} is no longer a {KIND_NAMES[entry.kind]}"
        if entry.kind == DIRECTORY:
            return self.in_directory(path)
        return "" if matches(self._disk, path, seen, entry) else f"{path} was changed"

    def _counts_for_nothing(self, path: str, seen: Seen) -> bool:
        if seen.kind == DIRECTORY:
            return only_derived(self._disk, path)
        return is_derived(path) and (is_cache_directory(parent_of(path)) or self._has_source(path))

    def _has_source(self, path: str) -> bool:
        """Whether a file that lies beside its source, as 2.7 writes it, has one: else it is somebody's module."""
        sources = sources_of(path)
        packaged = any(manifest.entry(source) is not None for manifest in self._old for source in sources)
        return packaged or any(self._disk.look(source) is not None for source in sources)


def only_derived(disk: Disk, path: str) -> bool:
    """Whether a directory holds derived files and nothing else (as a late importer leaves it behind)."""
    found = disk.names(path)
    return bool(found or is_cache_directory(path)) and all(
        only_derived(disk, join(path, name)) if seen.kind == DIRECTORY else is_derived(join(path, name))
        for name, seen in found.items()
    )
