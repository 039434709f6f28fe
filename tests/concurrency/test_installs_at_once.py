"""Invocations of the builder at once: overlapping sets, failures and kills among them; and a package that no build may see move."""

from __future__ import annotations

import itertools
import random
import signal
import threading
import time
from pathlib import Path

import pytest

from tests.cli.recipes import INSTALL, Yard, yard

NEEDS = {"base": (), "left": ("base",), "right": ("base",), "joint": ("left", "right"), "tool": (), "top": ("joint",)}


@pytest.fixture
def place(tmp_path: Path) -> Yard:
    return yard(tmp_path)


def recipe(place: Yard, name: str, *needs: str, exclusive: bool = False, **more: str) -> None:
    place.recipe(name, *needs, **more)
    if exclusive:
        file = place.recipes / name / "recipe.toml"
        file.write_text(f"exclusive = true\n{file.read_text()}")


def test_overlapping_sets_with_failures_and_kills(place: Yard) -> None:
    dice = random.Random(26990)
    for name, needs in NEEDS.items():
        recipe(place, name, *needs, exclusive=name in ("tool", "left"), install=f"sleep 0.3\n{INSTALL}")
    recipe(place, "bad", "base", install="sleep 0.2; exit 3")
    running, signalled = [], set()
    for number in range(8):
        names = dice.sample([*NEEDS, "bad"], 3)
        running.append(place.start("install", *names, "-k", f"-j{dice.randint(1, 3)}"))
        if number in (2, 5):
            signalled.add(number)
    time.sleep(1.5)
    running[2].send_signal(signal.SIGINT)
    running[5].kill()
    for number, each in enumerate(running):
        _, err = each.communicate(timeout=180)
        expected = {0, 5} | ({130, -signal.SIGINT, -signal.SIGKILL} if number in signalled else set())
        assert each.returncode in expected, err
        assert "Traceback" not in err
    assert place("install", *NEEDS).code == 0
    for name in NEEDS:
        assert (place.root / f"share/{name}/version").read_text() == f"{name} 1\n"
    assert place.sound()
    again = place("install", *NEEDS, "--json").json
    assert {each["deed"] for each in again["packages"]} == {"kept"}, "of each it is known what it was built from"


@pytest.mark.parametrize("exclusive", [True, False])
def test_a_stream_of_builds_neither_sees_toolchain_move_nor_keeps_it_waiting(place: Yard, exclusive: bool) -> None:
    """Builds look at a package that they do not declare, all the time.  The naive twin, which is not exclusive, moves under them."""
    recipe(place, "tool", exclusive=exclusive)
    assert place("install", "tool").code == 0
    look = f"for i in 1 2 3 4 5 6 7 8 9; do cat {place.root}/share/tool/version; sleep 0.1; done"
    for name in ("a", "b", "c"):
        recipe(place, name, install=f"{INSTALL}\n({look}) | sort -u | wc -l | grep -qx 1")
    over, codes = threading.Event(), list[int]()

    def build(*names: str) -> None:
        while not over.is_set():
            codes.append(place("install", *names, "--rebuild", "--no-isolation", "-j2", "-k").code)

    workers = [threading.Thread(target=build, args=names) for names in (("a", "b"), ("c",))]
    for each in workers:
        each.start()
    deadline = time.monotonic() + 120
    try:
        for version in itertools.count(2):
            time.sleep(1)
            recipe(place, "tool", exclusive=exclusive, version=str(version))
            ran = place("install", "tool", "--wait", "60")
            assert ran.code == 0, ran.err
            if (version >= 4 if exclusive else any(codes)) or time.monotonic() > deadline:
                break
    finally:
        over.set()
        for each in workers:
            each.join()
    assert codes
    assert (set(codes) == {0}) is exclusive
