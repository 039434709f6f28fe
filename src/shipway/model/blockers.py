"""Whether everything in a live directory belongs to what is being replaced."""

from __future__ import annotations

from collections.abc import Mapping

from shipway.model.derived import is_cache_directory, is_derived, sources_of
from shipway.model.entry import DEEPEST, DIRECTORY, KIND_NAMES, Entry, join, parent_of
from shipway.model.planning import Disk, PlanRequest, Seen, is_configuration, matches


class Blockers:
    """Finds the first thing in a directory that must not go with it; remembers what it found."""

    def __init__(self, request: PlanRequest) -> None:
        self._disk = request.disk
        self._old = [wish.old for wish in request.wishes if wish.old is not None]
        self._found: dict[tuple[str, bool], str] = {}

    def in_directory(self, path: str, *, going: bool = False) -> str:
        """What keeps a directory from being swapped as one, in words, or "".

        Where it is `going` for good a file that somebody changed is no reason (it goes to the undo area either way),
        unless it lies under etc/; so files need not be looked at, only their names.
        """
        going = going and not (path == "etc" or is_configuration(path))
        if (path, going) not in self._found:
            self._found[path, going] = self._search_names(path) if going else self._search(path)
        return self._found[path, going]

    def _listings(self, path: str) -> list[Mapping[str, Entry]]:
        return [manifest.directories[path].entries for manifest in self._old if path in manifest.directories]

    def _search(self, path: str) -> str:
        listings = self._listings(path)
        for name, seen in self._disk.names(path).items():
            entry = _first(listings, name)
            reason = self._judge(join(path, name), seen, entry)
            if reason:
                return reason
        return ""

    def _search_names(self, path: str) -> str:
        listings = self._listings(path)
        for name, kind in self._disk.kinds(path).items():
            entry = _first(listings, name)
            if entry is not None and entry.kind == kind != DIRECTORY:
                continue
            reason = self._judge_name(join(path, name), kind, entry)
            if reason:
                return reason
        return ""

    def _judge(self, path: str, seen: Seen, entry: Entry | None) -> str:
        reason = self._judge_kind(path, seen.kind, entry)
        if reason or entry is None or entry.derived:
            return reason
        if entry.kind == DIRECTORY:
            return self.in_directory(path)
        return "" if matches(self._disk, path, seen, entry) else f"{path} was changed"

    def _judge_name(self, path: str, kind: str, entry: Entry | None) -> str:
        reason = self._judge_kind(path, kind, entry)
        if reason or entry is None or entry.derived or entry.kind != DIRECTORY:
            return reason
        return self.in_directory(path, going=True)

    def _judge_kind(self, path: str, kind: str, entry: Entry | None) -> str:
        if entry is None:
            return "" if self._counts_for_nothing(path, kind) else f"{path} belongs to no package"
        if kind != entry.kind and not entry.derived:
            return f"{path} is no longer a {KIND_NAMES[entry.kind]}"
        return ""

    def _counts_for_nothing(self, path: str, kind: str) -> bool:
        if kind == DIRECTORY:
            return only_derived(self._disk, path)
        return is_derived(path) and (is_cache_directory(parent_of(path)) or self._has_source(path))

    def _has_source(self, path: str) -> bool:
        """Whether a file that lies beside its source, as 2.7 writes it, has one: else it is somebody's module."""
        sources = sources_of(path)
        packaged = any(manifest.entry(source) is not None for manifest in self._old for source in sources)
        return packaged or any(self._disk.look(source) is not None for source in sources)


def _first(listings: list[Mapping[str, Entry]], name: str) -> Entry | None:
    for listing in listings:
        if (entry := listing.get(name)) is not None:
            return entry
    return None


def only_derived(disk: Disk, path: str) -> bool:
    """Whether a directory holds derived files and nothing else (as a late importer leaves it behind)."""
    if path.count("/") > DEEPEST + 1:
        return False
    found = disk.kinds(path)
    return bool(found or is_cache_directory(path)) and all(
        only_derived(disk, join(path, name)) if kind == DIRECTORY else is_derived(join(path, name))
        for name, kind in found.items()
    )
