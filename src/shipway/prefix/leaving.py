"""Leaving a plain tree behind: everything is forgotten, and the state directory goes.

The record goes when all else is empty, so that whoever was killed on the way can do it again.  Strays that were saved stay, and what cannot be
removed goes under another name: neither keeps the prefix from being begun again.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Collection, Iterator

from shipway.fs.found import everything
from shipway.prefix.leftover import AGAIN, remove
from shipway.prefix.site import Site

_RECORD = "state.sqlite"


def leave(site: Site) -> None:
    """Remove the state directory, and what is empty then of the directories that were made for it.

    Call under the prefix lock, when nothing is unfinished and all undo areas are collected.  Tells what stays.
    """
    fs, state = site.fs, site.layout.state
    made = _made_for_state(site)
    site.database.close()
    kept = {os.path.basename(site.layout.lost)} if _holds_files(site.layout.lost) else set[str]()
    if [path for path in _contents(state, kept) if remove(fs, path)]:
        state = f"{state}.left-{os.urandom(4).hex()}"
        fs.take(site.layout.state, state)
    names = sorted(set(os.listdir(state)) - kept, key=lambda name: (not name.startswith(_RECORD), name))
    for name in names:
        left = remove(fs, f"{state}/{name}")
        if left:
            hint = left.hint.replace(AGAIN, f"`rm -r {shlex.quote(state)}`")
            site.tell("note", str(left._replace(hint=hint)))
    if kept:
        site.tell("note", f"what programs had written into old directories is kept in {state}/lost+found")
    for path in [state, *made] if state == site.layout.state else made:
        if os.path.isdir(path) and not os.listdir(path):
            fs.rmdir(path)


def _contents(state: str, kept: Collection[str]) -> Iterator[str]:
    """What lies in the directories of the state directory."""
    for name in sorted(os.listdir(state)):
        if name not in kept and os.path.isdir(f"{state}/{name}"):
            yield from (f"{state}/{name}/{each}" for each in sorted(os.listdir(f"{state}/{name}")))


def _made_for_state(site: Site) -> list[str]:
    """The directories above the state directory that were made for it, the deepest first."""
    made = site.database.meta("made") or ""
    return [site.layout.live(path) for path in reversed(made.split(":")) if path]


def _holds_files(path: str) -> bool:
    return os.path.isdir(path) and any(not os.path.isdir(each) or os.path.islink(each) for each in everything(path))
