"""A prefix that was moved or copied: what the record says against where it is, and which files still name the old path.

The record itself does not mind, all its paths are relative.  What packages have written into scripts, configuration and
libraries does: that is listed, not changed.  A copy gets an id of its own, so that nobody takes it for the original.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from shipway.errors import ShipwayError
from shipway.model.entry import FILE, LINK
from shipway.prefix.database import Database
from shipway.prefix.layout import Layout
from shipway.prefix.site import Site, record_terms

_HEAD = 8192
_BEYOND = rb"(?![A-Za-z0-9._+~-])"


class Mention(NamedTuple):
    """A file that names the old path: `kind` is "text", "binary" or "symlink"."""

    path: str
    package: str
    kind: str


class Rehomed(NamedTuple):
    """Where the prefix was and is.  `copied`: the old one is still there, so that this one got an id of its own."""

    was: str
    now: str
    copied: bool
    mentions: tuple[Mention, ...]

    @property
    def moved(self) -> bool:
        """Whether there was anything to do."""
        return self.was != self.now


def rehome(site: Site) -> Rehomed:
    """Find out, and correct the record.  Raises ShipwayError if this user may not write."""
    now = site.layout.root
    was = site.database.meta("root") or now
    if was == now:
        return Rehomed(was, now, False, ())
    if not site.database.writable:
        raise ShipwayError(f"you may not write in {now}", hint="ask its owner, or use sudo")
    copied = _lives_on(site, was)
    mentions = tuple(_mentions(site, was))
    site.database.set_meta({"root": now, **({"id": os.urandom(16).hex()} if copied else {})})
    return Rehomed(was, now, copied, mentions)


def _lives_on(site: Site, was: str) -> bool:
    """Whether the prefix at the old path is still the one that this one was made from."""
    path = Layout(was).database
    if not os.path.exists(path):
        return False
    if not os.access(path, os.R_OK):
        return True
    original = Database(path, record_terms(Layout(was), site.options, site.listener), write=False)
    try:
        return original.meta("id") == site.database.meta("id")
    finally:
        original.close()


def _mentions(site: Site, was: str) -> Iterator[Mention]:
    sought = re.compile(re.escape(os.fsencode(was)) + _BEYOND)
    for package in sorted(site.database.installed().values()):
        for path, entry in site.database.manifest(package.image).files():
            kind = _kind(site.layout.live(path), sought) if entry.kind in (FILE, LINK) and not entry.derived else ""
            if kind:
                yield Mention(path, package.name, kind)


def _kind(live: str, sought: re.Pattern[bytes]) -> str:
    """How a file names what is sought, or ""; one that is gone or may not be read doesn't."""
    try:
        if os.path.islink(live):
            return "symlink" if sought.match(os.fsencode(os.readlink(live))) else ""
        content = Path(live).read_bytes()
    except (FileNotFoundError, NotADirectoryError, PermissionError, IsADirectoryError):
        return ""
    if not sought.search(content):
        return ""
    return "binary" if b"\0" in content[:_HEAD] else "text"
