"""Immutable files in an interrupted transaction that has become a lower layer: what cannot go stays, is told, and goes later.

That needs root.  (I3, I4, I9, I10)
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from shipway.api import Prefix
from shipway.prefix.layout import STATE
from tests.crash.test_mounted_layers import Layers, Scene, room
from tests.crash.test_transaction_crash import check_whole
from tests.harness import FINISHED, OPTIONS, in_child

__all__ = ["room"]

STAGED = f"{STATE}/work/*/u*"
UPGRADE = "upgrade with swap"


@contextmanager
def immutable(paths: list[Path]) -> Iterator[None]:
    """Skips where that cannot be done."""
    try:
        for path in paths:
            if subprocess.run(["chattr", "+i", str(path)], capture_output=True, check=False).returncode:
                pytest.skip("no chattr +i here")
        yield
    finally:
        release(paths)


def release(paths: list[Path]) -> None:
    for path in paths:
        subprocess.run(["chattr", "-i", str(path)], capture_output=True, check=False)


def release_below(root: Path) -> None:
    subprocess.run(["chattr", "-R", "-f", "-i", str(root)], capture_output=True, check=False)


def recovered(root: Path) -> tuple[list[str], list[str]]:
    """What recovery says, and the states then."""
    said: list[str] = []
    with Prefix(str(root), options=OPTIONS, listener=lambda event: said.append(event.text)) as prefix:
        prefix.recover()
        assert prefix.verify().ok
        return said, [past.row.state.value for past in prefix.history()]


@pytest.mark.parametrize("pattern", ["lib/pkg/a.py", f"{STAGED}/**/a.py"], ids=["live", "in the area"])
@pytest.mark.parametrize("deed", [UPGRADE, "remove"])
def test_what_is_held_fast_makes_no_recovery_fail(deed: str, pattern: str, room: Path) -> None:
    scene = Scene(room, deed, "exchange")
    tried = 0
    for _ in scene.moments():
        held = [path for path in (scene.lower / "prefix").glob(pattern) if path.is_file()]
        with immutable(held), Layers(scene) as layers:
            tried += bool(held)
            root = layers.add()

            def recover(root: Path = root, held: list[Path] = held) -> None:
                said, states = recovered(root)
                assert set(states) <= {"done", "undone", "applied"}
                work = list((root / STATE / "work").iterdir())
                assert not work or held
                assert not work or any("it is immutable" in text for text in said), said

            assert in_child(recover) == FINISHED
            assert in_child(recover) == FINISHED
            release_below(root)
            check_whole(root, [scene.old, scene.new])
            release(held)
    assert tried
