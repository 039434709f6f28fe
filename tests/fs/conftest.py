"""Places to work in."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from shipway.fs.system import FileSystem
from tests.fs.apart import Apart


def _areas() -> list[str]:
    memory = "/dev/shm"
    return [tempfile.gettempdir()] + ([memory] if os.access(memory, os.W_OK) else [])


@pytest.fixture(params=_areas())
def area(request: pytest.FixtureRequest) -> Iterator[str]:
    """A directory on a disk, and one in memory: open to all, as other users work in it too."""
    path = tempfile.mkdtemp(prefix="shipway-test-", dir=request.param)
    os.chmod(path, 0o777)
    yield path
    if shutil.which("chattr"):
        subprocess.run(["chattr", "-R", "-f", "-i", "-a", path], capture_output=True)
    shutil.rmtree(path)


@pytest.fixture
def apart() -> Apart:
    return Apart()


@pytest.fixture
def fs() -> FileSystem:
    return FileSystem()


Put = Callable[..., str]


@pytest.fixture
def put(area: str) -> Put:
    """Makes a file (or, without content, a directory) in the area, with its parents; gives its full path."""

    def make(name: str, content: str | None = None) -> str:
        path = Path(area, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        if content is None:
            path.mkdir(exist_ok=True)
        else:
            path.write_text(content)
        return str(path)

    return make
