"""What the images of a prefix were built from: a note beside the store for each image that a recipe made.

A note is found by the image's name, so it needs no transaction: whatever is installed, undone or redone, the image that is there
has its own.
"""

from __future__ import annotations

import os
from collections.abc import Iterable

from shipway.errors import CorruptError
from shipway.prefix.site import Site
from shipway.schedule.ingredients import Ingredients


def read(site: Site, images: Iterable[str]) -> dict[str, Ingredients]:
    """The notes of some images, as far as there are any; one that cannot be read is told, and counts as none."""
    found = {}
    for image in images:
        try:
            with open(_path(site, image), encoding="utf-8") as file:
                note = Ingredients.decode(file.read())
        except (FileNotFoundError, PermissionError):
            continue
        except (CorruptError, UnicodeDecodeError) as error:
            site.tell("note", f"{_path(site, image)} is passed over: {error}")
            continue
        if note is not None:
            found[image] = note
    return found


def write(site: Site, image: str, note: Ingredients) -> None:
    """Keep a note; those of images that are gone go."""
    if not os.path.isdir(site.layout.builds):
        site.fs.mkdir(site.layout.builds, 0o755)
    path = _path(site, image)
    site.fs.write_file(f"{path}.{os.getpid()}.new", note.encode().encode(), 0o644)
    site.fs.replace(f"{path}.{os.getpid()}.new", path)
    for name in os.listdir(site.layout.builds):
        if name.endswith(".json") and not os.path.isdir(f"{site.layout.images}/{name.removesuffix('.json')}"):
            site.fs.remove_tree(f"{site.layout.builds}/{name}")


def _path(site: Site, image: str) -> str:
    return f"{site.layout.builds}/{image}.json"
