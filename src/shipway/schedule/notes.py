"""What the images of a prefix were built from: a note beside the store for each image that a recipe made.

A note is found by the names of the image and of the package (images that hold the same are one), so it needs no transaction: whatever is
installed, undone or redone, the image that is there has its own.  It is written before the commit: whoever is killed after it leaves a
package of which it is known what it was built from.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterable

from shipway.errors import CorruptError
from shipway.model.facts import Installed
from shipway.prefix.site import Site
from shipway.schedule.ingredients import Ingredients


def read(site: Site, packages: Iterable[Installed]) -> dict[str, Ingredients]:
    """The notes of some packages, by identity, as far as there are any; one that cannot be read is told, and counts as none."""
    found = {}
    for package in packages:
        try:
            with open(_path(site, package), encoding="utf-8") as file:
                note = Ingredients.decode(file.read())
        except (FileNotFoundError, PermissionError):
            continue
        except (CorruptError, UnicodeDecodeError) as error:
            site.tell("note", f"{_path(site, package)} is passed over: {error}")
            continue
        if note is not None:
            found[package.identity] = note
    return found


def write(site: Site, package: Installed, note: Ingredients) -> None:
    """Keep a note of a package whose image is in the store; those of images that are gone go.  Raises OSError."""
    if not os.path.isdir(site.layout.builds):
        with contextlib.suppress(FileExistsError):
            site.fs.mkdir(site.layout.builds, 0o755)
    path = _path(site, package)
    new = f"{path}.{os.urandom(4).hex()}.new"
    site.fs.write_file(new, note.encode().encode(), 0o644)
    site.fs.replace(new, path)
    for name in os.listdir(site.layout.builds):
        if not os.path.isdir(f"{site.layout.images}/{name.partition('.')[0]}"):
            site.fs.remove_tree(f"{site.layout.builds}/{name}")


def _path(site: Site, package: Installed) -> str:
    whose = hashlib.sha256(package.identity.encode()).hexdigest()[:12]
    return f"{site.layout.builds}/{package.image}.{whose}.json"
