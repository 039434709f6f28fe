"""Bytecode of installed packages after their interpreter has become another one (I6).

Whose bytecode it is, is told by the bytecode: its name has the interpreter's tag, its first bytes are the magic number.  Where they
are not those of the interpreter that runs the prefix now, the package gets an image with the same files and other bytecode; a
transaction exchanges them.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NamedTuple

from shipway.compiling import compile_sources
from shipway.errors import ShipwayError
from shipway.model.derived import sources_of
from shipway.model.entry import DIRECTORY, Entry, with_entries
from shipway.model.facts import Installed
from shipway.model.projects import brings_interpreter
from shipway.prefix.library import Library
from shipway.prefix.retime import without_bytecode
from shipway.prefix.session import Session
from shipway.prefix.site import Site
from shipway.python.bytecode import levels_found, python_sources
from shipway.python.interpreter import Interpreter, from_image, inspect, of_prefix
from shipway.store.link import LinkMode, LinkRequest, link_out

_VERSIONED = re.compile(r"lib(?:64)?/python(\d+\.\d+)/")
_MAGIC = 4

Concern = Callable[[str], bool]
"""Whether an interpreter is the one that will run a source, by its path."""


class Renewal(NamedTuple):
    """What is to be compiled anew: by whom, and which sources of which packages."""

    interpreter: Interpreter
    packages: Mapping[str, Installed]
    concern: Concern

    def __str__(self) -> str:
        versions = ", ".join(sorted({each.python for each in self.packages.values()}))
        return f"bytecode of {_plural(len(self.packages))} was made for Python {versions}, and {version_of(self.interpreter)} runs now"


class Follower:
    """Adds packages to a transaction whose interpreter changes with it, or has changed: asked whenever the transaction is planned."""

    def __init__(self, site: Site, library: Library, renewal: Renewal) -> None:
        self.site = site
        self.library = library
        self.renewal = renewal
        self._made: dict[str, Installed] = {}

    def __call__(self, session: Session, installed: Mapping[str, Installed]) -> dict[str, Installed]:
        """The packages with their new images, of those that are installed as they were when the renewal was found necessary."""
        wanted = self.renewal.packages.items()
        return {
            identity: self._renewed(session, package)
            for identity, package in wanted if installed.get(identity) == package
        }  # fmt: skip

    def _renewed(self, session: Session, package: Installed) -> Installed:
        if package.image not in self._made:
            self._made[package.image] = renewed(self.site, session, self.library, package, self.renewal)
        made = self._made[package.image]
        return package._replace(image=made.image, files=made.files, size=made.size, python=made.python)


def renewed(site: Site, session: Session, library: Library, package: Installed, renewal: Renewal) -> Installed:
    """A package with an image of the same files, whose sources of concern are compiled anew; as it was if that cannot be done."""
    before = library(package.image)
    sources = [(path, entry) for path, entry in python_sources(before) if renewal.concern(path)]
    paths = {path for path, _ in sources}
    kept = without_bytecode(before, paths)
    made = f"{session.area}/compiled-{package.image[:16]}"
    site.fs.mkdir(made, 0o755)
    tree = f"{made}/tree"
    link_out(
        site.fs,
        LinkRequest(
            tree=site.layout.image(package.image), manifest=kept, path="", destination=tree,
            how=LinkMode.HARDLINK, for_image=True, jobs=site.options.jobs,
        ),
    )  # fmt: skip
    old = [path for path, entry in before.files() if entry.derived]
    done = compile_sources(site, renewal.interpreter, tree, sources, levels_found(old))
    if done.warnings and not done.entries:
        site.fs.remove_tree(made)
        return package
    manifest = with_entries(kept, done.entries)
    name = manifest.image_name()
    try:
        site.fs.take(made, os.path.dirname(site.layout.image(name)))
    except FileExistsError:
        site.fs.remove_tree(made)
    library.add(name, manifest)
    files, size = _counted(manifest.entries())
    return package._replace(image=name, python=version_of(renewal.interpreter), files=files, size=size)


# -- what is to be renewed ---------------------------------------------------------------------------------------


def for_upgrade(site: Site, library: Library, targets: Mapping[str, Installed | None]) -> Renewal | None:
    """What a transaction that brings another interpreter makes necessary; None if it brings none, or one with the same bytecode."""
    installed = site.database.installed()
    for identity, becomes in targets.items():
        if becomes is None or not brings_interpreter(library(becomes.image)):
            continue
        was = installed.get(identity)
        if was is not None and was.image == becomes.image:
            continue
        interpreter = _brought(site.layout.image(becomes.image))
        if interpreter is None:
            continue
        others = [
            p for p in installed.values() if p.identity not in targets and (was is None or p.python == was.python)
        ]
        return _renewal(site, interpreter, others, of_version(interpreter, neutral=was is not None))
    return None


def of_own(site: Site) -> Renewal | None:
    """What the prefix's own interpreter finds not to be its own; None if there is none, or all is."""
    packages = [package for package in site.database.installed().values() if package.python]
    path = of_prefix(site.layout.root) if packages else None
    if path is None:
        return None
    try:
        interpreter = inspect(path)
    except ShipwayError:
        return None
    return _renewal(site, interpreter, packages, of_version(interpreter))


def of_places(site: Site, interpreter: Interpreter, places: Iterable[str]) -> Renewal | None:
    """What an interpreter that looks for modules in these directories (relative to the root) finds not to be its own."""
    starts = tuple(f"{place}/" if place else "" for place in places)
    packages = [package for package in site.database.installed().values() if package.python]
    return _renewal(site, interpreter, packages, lambda path: path.startswith(starts))


def of_version(interpreter: Interpreter, *, neutral: bool = False) -> Concern:
    """Sources in the interpreter's own directories, and (`neutral`) in those that are no version's."""
    own = f"{interpreter.version[0]}.{interpreter.version[1]}"

    def concern(path: str) -> bool:
        versioned = _VERSIONED.match(path)
        return versioned[1] == own if versioned else neutral

    return concern


def version_of(interpreter: Interpreter) -> str:
    """Its version as packages record it."""
    return ".".join(map(str, interpreter.version))


def _renewal(site: Site, interpreter: Interpreter, packages: Iterable[Installed], concern: Concern) -> Renewal | None:
    if not interpreter.caches:
        return None
    found = {
        package.identity: package
        for package in packages
        if package.python and _is_foreign(site.layout.image(package.image), interpreter, concern)
    }
    return Renewal(interpreter, found, concern) if found else None


def _is_foreign(tree: str, interpreter: Interpreter, concern: Concern) -> bool:
    """Whether bytecode of concern in an image, if it has any, is another interpreter's; all of an image is made at once."""
    for path in _bytecode(tree, ""):
        sources = [source for source in sources_of(path) if concern(source)]
        if sources and ".opt-" not in path:
            parent, _, name = sources[0].rpartition("/")
            expected = f"{parent}/{interpreter.bytecode_name(name, 0)}".lstrip("/")
            with open(f"{tree}/{path}", "rb") as file:
                return path != expected or file.read(_MAGIC) != interpreter.magic[:_MAGIC]
    return False


def _bytecode(tree: str, below: str) -> Iterator[str]:
    """Paths of bytecode in a tree, as they come."""
    try:
        names = sorted(os.scandir(f"{tree}/{below}"), key=lambda each: (each.is_dir(follow_symlinks=False), each.name))
    except OSError:
        return
    for each in names:
        path = f"{below}/{each.name}" if below else each.name
        if each.is_dir(follow_symlinks=False):
            yield from _bytecode(tree, path)
        elif each.name.endswith(".pyc"):
            yield path


def _brought(tree: str) -> Interpreter | None:
    try:
        return from_image(tree)
    except ShipwayError:
        return None


def _counted(entries: Iterable[Entry]) -> tuple[int, int]:
    sizes = [entry.size for entry in entries if entry.kind != DIRECTORY]
    return len(sizes), sum(sizes)


def _plural(count: int) -> str:
    return f"{count} package{'s' if count != 1 else ''}"
