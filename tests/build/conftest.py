"""Builds as whoever runs the tests, and as nobody; kept apart, and not."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import shipway
from shipway.fs import apart
from tests.build.building import OTHERS_PYTHON, Workshop, workshop
from tests.build.mirrors import Mirror, serving
from tests.fs.apart import NOBODY, Apart


class Crew:
    """Runs a test's body with a workshop."""

    def __init__(self, place: Path, *, apart: bool, nobody: bool) -> None:
        self.place = place
        self.apart = apart
        self.nobody = nobody

    def __call__(self, body: Callable[[Workshop], None]) -> None:
        if self.nobody:
            Apart().as_nobody(lambda: self._as_nobody(body))
        else:
            body(workshop(self.place / "shop", apart=self.apart))

    def _as_nobody(self, body: Callable[[Workshop], None]) -> None:
        """Keepers need an interpreter and a package that nobody may read."""
        apart.PYTHON, apart.PACKAGE = OTHERS_PYTHON, str(self.place / "package")
        body(workshop(self.place / "shop", apart=self.apart))


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory that others may look into, unlike pytest's own."""
    made = Path(os.path.realpath(tempfile.mkdtemp(prefix="shipway-test-")))
    made.chmod(0o755)
    yield made
    subprocess.run(["chmod", "-R", "u+rwx", str(made)], check=False)
    shutil.rmtree(made)


def crew_of(place: Path, kind: str) -> Crew:
    nobody, together = "nobody" in kind, "together" in kind
    if nobody:
        if os.geteuid() != 0:
            pytest.skip("becomes another user")
        if subprocess.run([OTHERS_PYTHON, "-c", "import sys; sys.exit(sys.version_info < (3, 11))"]).returncode:
            pytest.skip(f"no {OTHERS_PYTHON} that is new enough")
        shutil.copytree(Path(shipway.__file__).parent, place / "package" / "shipway")
        os.chown(place, NOBODY, NOBODY)
    return Crew(place, apart=not together, nobody=nobody)


@pytest.fixture(params=["apart", "apart as nobody", "together", "together as nobody"])
def crew(place: Path, request: pytest.FixtureRequest) -> Crew:
    return crew_of(place, request.param)


@pytest.fixture(params=["apart", "apart as nobody"])
def lonely(place: Path, request: pytest.FixtureRequest) -> Crew:
    """Kept apart; skipped where that is not to be had."""
    return crew_of(place, request.param)


@pytest.fixture
def shop(place: Path) -> Workshop:
    return workshop(place / "shop")


@pytest.fixture
def mirror() -> Iterator[Mirror]:
    """A server that misbehaves by the path it is asked for."""
    with serving() as found:
        yield found


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The directory of the user's cache; no proxy is in the way to it."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setenv("SHIPWAY_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"
