"""Places to seal in."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator

import pytest

from shipway.fs.system import FileSystem
from tests.fs.apart import Apart
from tests.store.trees import Sealer


@pytest.fixture
def area() -> Iterator[str]:
    """A directory that is open to all, as other users work in it too."""
    path = tempfile.mkdtemp(prefix="shipway-test-")
    os.chmod(path, 0o777)
    yield path
    shutil.rmtree(path)


@pytest.fixture
def sealer(area: str) -> Sealer:
    return Sealer(area)


@pytest.fixture
def fs() -> FileSystem:
    return FileSystem()


@pytest.fixture
def apart() -> Apart:
    return Apart()


@pytest.fixture(params=["copy", "adopt"])
def way(request: pytest.FixtureRequest) -> str:
    """The two ways from a stage to an image."""
    return str(request.param)
