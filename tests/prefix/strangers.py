"""Being another user for a moment, in a place where others may look."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

NOBODY = 65534
RAISED = 99

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="becomes another user")


@contextmanager
def open_place() -> Iterator[Path]:
    """A directory that others may look into, unlike pytest's own."""
    place = Path(tempfile.mkdtemp(prefix="shipway-test-"))
    place.chmod(0o755)
    try:
        yield place
    finally:
        shutil.rmtree(place)


def as_nobody(action: Callable[[], int]) -> int:
    """Run in a forked process of another user; what the action returns, RAISED if it raised."""
    child = os.fork()
    if child == 0:
        code = RAISED
        try:
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
            code = action()
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
