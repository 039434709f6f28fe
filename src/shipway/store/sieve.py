"""What a seal leaves out of a tree: bytecode (I6), libtool archives, and files that any package may generate."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from shipway.model.derived import is_cache_directory, is_derived, sources_of
from shipway.model.entry import join
from shipway.model.generated import generated_among
from shipway.store.request import BYTECODE, GENERATED, LIBTOOL
from shipway.store.walk import Listing

_LIBRARIES = ("lib", "lib64")


class Sieve:
    """Decides by names alone, once the whole tree is known: bytecode counts as such where its source is in the tree."""

    def __init__(self, listings: Iterable[Listing], *, keep_libtool: bool) -> None:
        self.keep_libtool = keep_libtool
        self._listings: dict[str, list[Listing]] = {}
        for listing in listings:
            self._listings.setdefault(listing.at, []).append(listing)
        self._known: tuple[str | None, frozenset[str]] = (None, frozenset())

    def dropped(self, listing: Listing) -> dict[str, str]:
        """The names of a listing that are left out, each with the reason."""
        names = [*listing.files, *(link.name for link in listing.links)]
        dropped = dict.fromkeys(generated_among(listing.at, names), GENERATED)
        if not self.keep_libtool and (listing.path in _LIBRARIES or listing.at in _LIBRARIES):
            dropped |= {name: LIBTOOL for name in names if name.endswith(".la")}
        dropped |= dict.fromkeys(self._bytecode(listing.at, names), BYTECODE)
        return dropped

    def empties(self, listing: Listing, dropped: dict[str, str]) -> bool:
        """Whether a directory goes too, because it was there for bytecode only and nothing stays in it."""
        if not is_cache_directory(listing.at) or listing.directories:
            return False
        return len(dropped) == len(listing.files) + len(listing.links)

    def _bytecode(self, directory: str, names: Sequence[str]) -> Iterator[str]:
        """Bytecode among the names of a directory; most directories are recognised as having none by one look at all names."""
        if not _may_be_derived("/".join(names)):
            return
        for name in names:
            if not name.endswith(".py") and _may_be_derived(name):
                path = join(directory, name)
                if is_derived(path) and any(self._holds(source) for source in sources_of(path)):
                    yield name

    def _holds(self, path: str) -> bool:
        parent, _, name = path.rpartition("/")
        if self._known[0] != parent:
            self._known = (parent, self._names(parent))
        return name in self._known[1]

    def _names(self, directory: str) -> frozenset[str]:
        """All names at one place; the sources of one directory's bytecode are asked for one after the other."""
        found = self._listings.get(directory, ())
        return frozenset(name for each in found for name in (*each.files, *(link.name for link in each.links)))


def _may_be_derived(text: str) -> bool:
    return ".py" in text or ".nb" in text or "$py" in text
