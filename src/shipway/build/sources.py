"""From what was fetched to a tree that can be built: unpacked, put together, patched."""

from __future__ import annotations

import os
from collections.abc import Sequence

from shipway.build.fetching import Fetched
from shipway.build.patching import apply
from shipway.build.places import safe_name, wanted
from shipway.build.recipe import Recipe
from shipway.build.recipe_file import Found
from shipway.errors import ShipwayError
from shipway.fs.duplicate import copy_tree
from shipway.fs.system import FileSystem
from shipway.fs.tree import make_directories
from shipway.fs.unpack import is_archive, unpack

_NO_TIME = 315532800 * 10**9
"""1980, in nanoseconds: a file that comes alone says nothing of its time, and when it was fetched must not matter."""
_PACKED = (".tar", ".tgz", ".tbz", ".tbz2", ".txz", ".tlz", ".tzst", ".zip")


def prepare(found: Found, files: Sequence[Fetched], directory: str) -> str:
    """Put the sources of a recipe into an empty directory, made if need be, and patch them.  Returns the directory of the source.

    That is the first source's own; the others lie below it, where the recipe says.  First a place's patches are applied to what came
    from it, in the end the recipe's to the whole.  A wheel of a recipe that installs it, and what is no archive, is there as a file.
    Raises ShipwayError (ArchiveError, PatchError) that names recipe, archive and entry; what is in the directory then is of no use.
    """
    fs = FileSystem()
    make_directories(os.path.abspath(directory), 0o755, fs.mkdir)
    work = _Preparation(fs, found, os.path.abspath(directory))
    for file in files:
        work.add(file)
    make_directories(work.source, 0o755, fs.mkdir)
    for patch in found.recipe.patches:
        apply(patch, found.directory, work.source)
    return work.source


class _Preparation:
    """One tree on its way; `source` is the directory of the first source, once it is there."""

    def __init__(self, fs: FileSystem, found: Found, directory: str) -> None:
        self.fs = fs
        self.found = found
        self.directory = directory
        self.source = f"{directory}/{_name_of(found.recipe)}"

    def add(self, file: Fetched) -> None:
        """Unpack one source where it belongs, and apply the patches of the place that it came from."""
        area = f"{self.directory}/.unpacking"
        self.fs.remove_tree(area)
        top = self._unpacked(file, area)
        is_first = not os.path.lexists(self.source)
        if is_first and file.source.directory == "." and top != area:
            self.source = f"{self.directory}/{os.path.basename(top)}"
        target = os.path.normpath(f"{self.source}/{file.source.directory}")
        self._move(top, target, file)
        self.fs.remove_tree(area)
        for patch in file.place.patches:
            apply(patch, self.found.directory, target)

    def _unpacked(self, file: Fetched, area: str) -> str:
        """Where the content of a source lies now: `area`, or the single directory in it."""
        if os.path.isdir(file.path):
            self._refuse_itself(file.path)
            copy_tree(self.fs, file.path, area)
            return area
        if not self._is_packed(file):
            self.fs.mkdir(area, 0o755)
            name = wanted(self.found.recipe, file.place).name
            self.fs.copy_file(file.path, f"{area}/{name}", 0o644, _NO_TIME)
            return area
        return unpack(self.fs, file.path, area)

    def _is_packed(self, file: Fetched) -> bool:
        name = os.path.basename(file.path).lower()
        if name.endswith(".whl") and self.found.recipe.build.system == "wheel":
            return False
        return name.endswith(_PACKED) or ".tar." in name or is_archive(file.path)

    def _refuse_itself(self, path: str) -> None:
        if f"{os.path.realpath(self.directory)}/".startswith(f"{os.path.realpath(path)}/"):
            raise ShipwayError(f"{path} cannot be copied into itself", hint="build elsewhere: --build-dir DIR")

    def _move(self, top: str, target: str, file: Fetched) -> None:
        """Give the content its final place; where something lies there already, beside that."""
        if not os.path.lexists(target):
            make_directories(os.path.dirname(target), 0o755, self.fs.mkdir)
            self.fs.place(top, target)
            return
        for name in sorted(os.listdir(top)):
            try:
                self.fs.place(f"{top}/{name}", f"{target}/{name}")
            except (FileExistsError, NotADirectoryError) as error:
                what = os.path.basename(file.path)
                raise ShipwayError(
                    f"{self.found.recipe.name}: {what} brings {name}, which another source brings too"
                ) from error


def _name_of(recipe: Recipe) -> str:
    return safe_name(f"{recipe.name}-{recipe.version}")
