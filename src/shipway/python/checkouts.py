"""Editable projects from repositories: a checkout that stays, in PREFIX/src as with pip.

pip clones into a staging area.  The clone gets its place by one rename, before the project is built there: complete or not at all, and
nothing leads to it before the transaction does.  A checkout that is there is never touched, since somebody may work in it: at the same
commit it is used as it is, at another one the new checkout gets a name of its own.  So undo finds the old one where it was.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Sequence
from pathlib import PurePath
from typing import NamedTuple

from shipway.errors import ConflictError, ShipwayError
from shipway.fs.system import FileSystem
from shipway.fs.tree import make_directories
from shipway.python.chosen import Chosen

_SHOWN = 12
"""Digits of a commit that tell checkouts apart."""


class Settled(NamedTuple):
    """Projects as they are to be built, and what is to be told."""

    chosen: tuple[Chosen, ...]
    notes: tuple[str, ...]


def settle(chosen: Sequence[Chosen], staged: str, home: str, fs: FileSystem) -> Settled:
    """Give clones below `staged` their places below `home`.  Raises ConflictError or ShipwayError."""
    settled, notes = [], []
    for each in chosen:
        name, _, below = each.directory[len(staged) + 1 :].partition("/")
        if not (each.editable and each.directory.startswith(f"{staged}/")):
            settled.append(each)
            continue
        place = _place(f"{staged}/{name}", home, fs)
        if os.path.basename(place) != name:
            notes.append(f"{home}/{name} is at another commit and stays as it is; {each.name} is in {place}")
        settled.append(_moved(each, f"{place}/{below}".rstrip("/")))
    return Settled(tuple(settled), tuple(notes))


def _place(clone: str, home: str, fs: FileSystem) -> str:
    """Where a clone is from now on, or a checkout of the same commit was before."""
    commit, name = _commit(clone), os.path.basename(clone)
    if not commit:
        raise ShipwayError(f"{name} is no git repository", hint="clone it, then: pip install -e DIRECTORY")
    places = [f"{home}/{name}", f"{home}/{name}-{commit[:_SHOWN]}"]
    for place in places:
        if _commit(place) == commit:
            return place
    free = [place for place in places if not os.path.lexists(place)]
    if not free:
        raise ConflictError(f"{places[-1]} is in the way of a checkout", hint="move it away")
    make_directories(home, 0o755, fs.mkdir)
    try:
        fs.place(clone, free[0])
    except FileExistsError:  # somebody else was quicker, with the same commit or another
        return _place(clone, home, fs)
    return free[0]


def _commit(directory: str) -> str:
    """The commit that is checked out, or ""."""
    if not os.path.lexists(f"{directory}/.git"):
        return ""
    words = ["git", "-C", directory, "rev-parse", "HEAD"]
    try:
        done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    except OSError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def _moved(chosen: Chosen, directory: str) -> Chosen:
    url = PurePath(directory).as_uri()
    return chosen._replace(url=url, direct_url=json.dumps({**json.loads(chosen.direct_url), "url": url}))
