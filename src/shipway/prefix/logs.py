"""What other programs said when they failed, kept for whoever wants to read all of it: PREFIX/var/lib/shipway/logs/."""

from __future__ import annotations

import os
import re
import time
from contextlib import suppress

from shipway.fs.tree import make_directories
from shipway.prefix.site import Site

KEPT = 20
"""How many logs are kept, the newest; those of builds are others' business."""

_OURS = re.compile(r"-\d{8}-\d{6}-\d+\.log\Z")


def keep_log(site: Site, name: str, text: str) -> str:
    """Keep a text; returns its path, or "" where it cannot be written: an error has to be told all the same."""
    path = f"{site.layout.logs}/{name}-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}.log"
    try:
        make_directories(site.layout.logs, site.shared_mode(0o700), site.fs.mkdir)
        site.fs.write_file(path, text.encode("utf-8", "surrogateescape"), site.shared_mode(0o600))
    except OSError:
        return ""
    for old in sorted(filter(_OURS.search, os.listdir(site.layout.logs)), key=_time)[:-KEPT]:
        with suppress(FileNotFoundError):
            site.fs.unlink(f"{site.layout.logs}/{old}")
    return path


def _time(name: str) -> str:
    return name.rpartition("-")[0][-len("20261122-134627") :]
