"""From what a shipway.toml says to how a prefix is worked on."""

from __future__ import annotations

import grp

from shipway.cli.place import Place
from shipway.errors import UsageError
from shipway.prefix.site import Options
from shipway.store.mode import LinkMode

_NO_GROUP = 2**32 - 1
"""The number that stands for no group at all (chown(2))."""


def options_of(place: Place) -> Options:
    """The options of a prefix without those of the command line.  Raises UsageError for a group that doesn't exist."""
    config = place.config
    options = Options(
        link=LinkMode(config.link),
        group=_group(config.group, place.file) if config.group else None,
        umask=0o002 if config.umask is None else config.umask,
        keep=config.keep,
        keep_bytes=config.keep_bytes,
        copied=config.copied,
    )
    return options._replace(jobs=config.jobs) if config.jobs else options


def _group(name: str, file: str) -> int:
    if name.isdecimal() and int(name) < _NO_GROUP:
        return int(name)
    try:
        return grp.getgrnam(name).gr_gid
    except (KeyError, ValueError) as error:
        raise UsageError(f"{file}: share.group: there is no group {name}") from error
