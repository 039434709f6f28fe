"""Images for a prefix that are put together from others, by links: nothing is read, hashed or compiled.

Where files cannot be as they are in those others (a group shares the prefix, a live symlink leads a directory elsewhere), what was put together is
sealed as a staged tree.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import NamedTuple

from shipway.errors import ShipwayError
from shipway.fs.found import look
from shipway.fs.tree import make_directories
from shipway.model.entry import DEEPEST, DIRECTORY, Manifest, join
from shipway.model.facts import Installed
from shipway.prefix.site import Site
from shipway.sealing import Image, Sealer, Staged
from shipway.store.assemble import Assembly, Parts, assemble
from shipway.store.mode import LinkMode
from shipway.store.request import PATH_MAX
from shipway.store.walk import RESERVED

_ROOM = 128 + 256
"""Bytes of a path beside the prefix's own and that of a directory: the store's, and a name."""


class Wanted(NamedTuple):
    """An image to be put together.  `name` is short, `identity` a PURL.

    `python` is the interpreter, if it should have to be compiled again, `version` its version.
    """

    identity: str
    name: str
    version: str
    parts: Parts
    python: str = ""
    python_version: str = ""


def assembled(sealer: Sealer, wanted: Sequence[Wanted]) -> list[Image]:
    """An image for each, in the prefix's store.

    Raises CorruptError or FileNotFoundError where a part is not what its manifest says,
    ShipwayError if a path cannot be, or two parts claim one.
    """
    site = sealer.site
    plans = [_planned(each) for each in wanted]
    for plan in plans:
        _refuse_paths(site, plan.manifest)
        sealer.refuse_folded(plan.manifest)
    sealed = [site.options.group is not None or _meets_symlink(site, plan.manifest) for plan in plans]
    areas = [sealer.room() for _ in wanted]
    trees = [
        f"{area}/{site.layout.root[1:]}" if odd else f"{area}/tree" for area, odd in zip(areas, sealed, strict=True)
    ]
    for tree in trees:
        make_directories(os.path.dirname(tree), 0o755, site.fs.mkdir)
    how = LinkMode.COPY if any(sealed) else site.options.link
    assemble(site.fs, list(zip(plans, trees, strict=True)), how, site.options.jobs)
    images = []
    for each, plan, area, odd in zip(wanted, plans, areas, sealed, strict=True):
        images.append(_sealed(sealer, each, area) if odd else _stored(sealer, each, plan.manifest, area))
    return images


def _planned(wanted: Wanted) -> Assembly:
    try:
        return Assembly(wanted.parts)
    except ValueError as error:
        raise ShipwayError(f"{wanted.name} {wanted.version} is not sound: {error}; nothing was changed") from error


def _stored(sealer: Sealer, wanted: Wanted, manifest: Manifest, area: str) -> Image:
    files = [entry for entry in manifest.entries() if entry.kind != DIRECTORY]
    size = sum(entry.size for entry in files)
    name = manifest.image_name()
    package = Installed(
        wanted.identity, wanted.name, wanted.version, name, len(files), size, False, wanted.python_version
    )
    image = Image(package, manifest, ())
    sealer.store(f"{area}/tree", image)
    return image


def _sealed(sealer: Sealer, wanted: Wanted, area: str) -> Image:
    staged = Staged(
        area,
        wanted.identity,
        wanted.name,
        wanted.version,
        move=True,
        destdir=True,
        python=wanted.python,
        allow_stage_paths=True,
    )
    return sealer.seal(staged, lambda _: None)


def _meets_symlink(site: Site, manifest: Manifest) -> bool:
    """Whether a directory of the manifest is a symlink in the prefix; looks only where the prefix has directories."""
    waiting = [""]
    while waiting:
        parent = waiting.pop()
        for entry in manifest.directories[parent].entries.values():
            found = look(site.layout.live(join(parent, entry.name))) if entry.kind == DIRECTORY else None
            if found is not None and found.kind == "l":
                return True
            if found is not None and found.kind == DIRECTORY:
                waiting.append(join(parent, entry.name))
    return False


def _refuse_paths(site: Site, manifest: Manifest) -> None:
    """What no image may hold: Shipway's own state, and paths that are too long or too deep for where they will lie."""
    longest = PATH_MAX - len(os.fsencode(site.layout.state)) - _ROOM
    for path in manifest.directories:
        if path == RESERVED:
            raise ShipwayError(f"{path}: belongs to Shipway itself; nothing was changed")
        if path.count("/") >= DEEPEST or (4 * len(path) > longest and len(os.fsencode(path)) > longest):
            raise ShipwayError(f"{path[:80]}…: too long, or too deep, for this prefix; nothing was changed")
    if manifest.entry(RESERVED) is not None:
        raise ShipwayError(f"{RESERVED}: belongs to Shipway itself; nothing was changed")
