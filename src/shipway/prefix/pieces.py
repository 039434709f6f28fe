"""A unit carried out piece by piece, where a directory cannot be renamed as a whole.

That is so in a lower layer of an overlay: a container's image that was committed in the middle of a transaction, which is
then recovered on top of it.  What is to be there is brought about under each name by itself:

1. Both contents are made again side by side in `work/TOKEN/pN`: hard links, in directories of the upper layer.  That name appears
   when they are complete and on disk.  From then on it says how this unit is carried out, forward and backward alike, and
   nobody asks any more what lies at the unit's path: that is a mixture.
2. The live directory is turned into the one or the other.  A file or symlink is exchanged, so a name that both have is never
   absent; a directory that only the wanted content has appears as a whole; what goes is taken name by name.

Neither content changes by that, so it may be killed and begun again at any step, in the other direction too.

    p7/new   the new content of unit 7, if it has any      p7/w3   something on its way to or from the live tree
    p7/old   the old, likewise                             p7/s3   what somebody else had put at a name

Only names that the contents have are touched.  What somebody else put into the directory stays in it (I9).
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from functools import cached_property
from itertools import count

from shipway.fs import native
from shipway.fs.found import DIRECTORY, everything, list_directory
from shipway.fs.mount import syncfs_reports_errors
from shipway.fs.relink import dress, is_alike, is_directory, is_unmovable, names, relink
from shipway.fs.system import FileSystem
from shipway.model.derived import is_derived
from shipway.model.entry import DEEPEST, join
from shipway.model.unit import rank

_ON_ITS_WAY = re.compile(r"w(\d+)(?:-out)?\Z")
_STRAY = re.compile(r"s(\d+)(?:-\d+)?\Z")

Wanted = Callable[[str], bool]


class Pieces:
    """One unit.  `there` is where its contents lie, `live` its absolute path, `path` the same relative to the prefix."""

    def __init__(self, fs: FileSystem, there: str, live: str, path: str) -> None:
        self.fs = fs
        self.there = there
        self.new = f"{there}/new"
        self.old = f"{there}/old"
        self.live = live
        self.path = path
        self.left: list[str] = []
        """Paths, relative to the prefix, that were to go and stay: something of somebody else lies there."""

    def begin(self, new: str, old: str, wanted: Wanted) -> None:
        """Make both contents again; "" where there is none.  `wanted` chooses what belongs to the one that is live."""
        made = f"{self.there}-made"
        self.fs.remove_tree(made)
        self.fs.mkdir(made, 0o700)
        for source, name in ((new, "new"), (old, "old")):
            if source:
                relink(self.fs, source, f"{made}/{name}", wanted if source == self.live else None)
        self._have_on_disk(made)
        self.fs.take(made, self.there)
        self.fs.flush(os.path.dirname(self.there))

    def turn(self, goal: str, other: str) -> None:
        """Have the content `goal` at the live path, and nothing of the content `other` that is not in it; "" is no content.

        Raises OSError where something stands in the way.
        """
        self._settle_all()
        coming = list(names(goal)) if goal else []
        going = [n for n in names(other) if not goal or not os.path.lexists(_at(goal, n))] if other else []
        for name in sorted(coming, key=lambda n: (self._rank(n), os.path.islink(_at(goal, n)), n)):
            self._come(goal, name)
        for name in sorted(
            going, key=lambda n: (-self._rank(n), not os.path.islink(_at(other, n)), -self._path(n).count("/"), n)
        ):
            self._go(other, name)
        for name in reversed(coming):
            if is_directory(_at(goal, name)):
                dress(self.fs, _at(goal, name), _at(self.live, name))

    def strays(self) -> Iterator[tuple[str, str]]:
        """What somebody else had put at a name meanwhile: that name relative to the prefix, and where it lies now."""
        for each in sorted(os.listdir(self.there)):
            if found := _STRAY.match(each):
                yield self._path(self._names[int(found[1])]), f"{self.there}/{each}"

    # -- one name --------------------------------------------------------------------------------------------

    def _come(self, goal: str, name: str) -> None:
        source, live = _at(goal, name), _at(self.live, name)
        if (is_directory(source) and is_directory(live)) or (not is_directory(source) and is_alike(source, live)):
            return None
        way = self._send(source, name)
        if not os.path.lexists(live):
            return self.fs.place(way, live)
        try:
            self._swap(way, live)
        except OSError as error:
            if not is_unmovable(error) or not is_directory(live):
                raise
            self._empty(name)
            self.fs.place(way, live)
        return self._settle(name)

    def _send(self, source: str, name: str) -> str:
        """A content's part made once more, complete when it has the name by which it is known."""
        way, made = self._way(name), f"{self.there}/made"
        relink(self.fs, source, made)
        self.fs.take(made, way)
        return way

    def _swap(self, way: str, live: str) -> None:
        """In one step; where the file system cannot, a name that changes its kind is absent for an instant."""
        try:
            return self.fs.exchange(way, live)
        except OSError as error:
            if error.errno not in native.UNSUPPORTED:
                raise
        if is_directory(way) or is_directory(live):
            self.fs.take(live, f"{way}-out")
            return self.fs.place(way, live)
        relink(self.fs, live, f"{way}-out")
        return self.fs.replace(way, live)

    def _empty(self, name: str) -> None:
        """Take a directory away where a file is to lie: it is absent for as long as that takes."""
        for each in reversed([_at(name, below).lstrip("/") for below in names(_at(self.live, name))]):
            live = _at(self.live, each)
            if is_directory(live):
                self.fs.rmdir(live)
            elif each in self._numbers:
                self.fs.take(live, self._way(each))
                self._settle(each)

    def _go(self, other: str, name: str) -> None:
        source, live = _at(other, name), _at(self.live, name)
        if not os.path.lexists(live):
            return None
        if not is_directory(live) and is_derived(name):
            return self.fs.unlink(live)
        if not is_directory(source) and is_alike(source, live):
            self.fs.take(live, self._way(name))
            return self._settle(name)
        if not is_directory(source) or not is_directory(live) or not only_derived(live):
            return self.left.append(self._path(name))
        return self.fs.remove_tree(live)

    # -- on its way ------------------------------------------------------------------------------------------

    @cached_property
    def _names(self) -> list[str]:
        """The names of both contents.  A name's number stays what it is, as the contents do."""
        return sorted({*names(self.new), *names(self.old)})

    @cached_property
    def _numbers(self) -> dict[str, int]:
        return {name: number for number, name in enumerate(self._names)}

    def _way(self, name: str) -> str:
        return f"{self.there}/w{self._numbers[name]}"

    def _settle_all(self) -> None:
        for each in os.listdir(self.there):
            if found := _ON_ITS_WAY.match(each):
                self._settle(self._names[int(found[1])])

    def _settle(self, name: str) -> None:
        """What is on its way and belongs to a content is there twice; what does not is somebody's, and is kept."""
        contents = (_at(self.new, name), _at(self.old, name))
        for way in (self._way(name), f"{self._way(name)}-out"):
            if not os.path.lexists(way):
                continue
            if is_derived(name) or any(is_alike(way, each) for each in contents):
                self.fs.remove_tree(way)
            else:
                self.fs.take(way, self._free(f"{self.there}/s{self._numbers[name]}"))

    def _free(self, path: str) -> str:
        numbered = (f"{path}-{number}" for number in count())
        return path if not os.path.lexists(path) else next(p for p in numbered if not os.path.lexists(p))

    def _rank(self, name: str) -> int:
        return rank(self._path(name))

    def _path(self, name: str) -> str:
        return join(self.path, name) if name else self.path

    def _have_on_disk(self, tree: str) -> None:
        descriptor = self.fs.open_for_sync(tree)
        try:
            self.fs.sync(descriptor)
        finally:
            os.close(descriptor)
        if not syncfs_reports_errors(tree):
            for path in everything(tree):
                if not os.path.islink(path):
                    self.fs.flush(path)


def only_derived(path: str, deepest: int = DEEPEST) -> bool:
    """Whether a directory holds nothing, or only what programs write beside sources at any time."""
    return deepest > 0 and all(
        only_derived(f"{path}/{f.name}", deepest - 1) if f.kind == DIRECTORY else is_derived(f"{path}/{f.name}")
        for f in list_directory(path)
    )


def _at(content: str, name: str) -> str:
    return f"{content}/{name}" if name else content
