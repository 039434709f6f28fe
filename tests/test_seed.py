"""The seed: a package is installed while other processes import it.

`cp -Rp "$STAGE/." "$PREFIX"` fails at it, with Python 2.7 on a `.pyc`, with 3.x on a `__pycache__`: shown here first, so that
the race is known to be run at all.  SHIPWAY_SEED_ROUNDS sets the number of rounds (20; 200 for the proof).
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from demo.fetch import Kitchen, find_python2
from demo.importers import Interpreter
from demo.rounds import Copy, Merge, Method, Race, Tally, Track

ROUNDS = int(os.environ.get("SHIPWAY_SEED_ROUNDS", "20"))
ROUNDS_OF_CP = max(10, ROUNDS // 4)
MOST_ROUNDS_OF_CP = 10 * ROUNDS_OF_CP
SHIPWAY = [sys.executable, "-m", "shipway"]

pytestmark = pytest.mark.alone


@pytest.fixture(scope="module", params=["2.7", "3"])
def python(request: pytest.FixtureRequest) -> Interpreter:
    """A Python 2.7, where one is found, and the one that runs the tests."""
    found = find_python2() if request.param == "2.7" else Interpreter.here()
    if found is None:
        pytest.skip("no Python 2.7 here")
    return found


@pytest.fixture(scope="module")
def kitchen(tmp_path_factory: pytest.TempPathFactory) -> Kitchen:
    return Kitchen(tmp_path_factory.mktemp("kitchen"))


@pytest.fixture(scope="module")
def fresh(kitchen: Kitchen, python: Interpreter) -> Race:
    """A package shaped like `future`, 220 modules, into a prefix that lacks it."""
    return kitchen.generated(python, ["1.0"])


@pytest.fixture(scope="module")
def upgrade(kitchen: Kitchen, python: Interpreter) -> Race:
    return kitchen.generated(python, ["1.0", "2.0"])


def tally(race: Race, method: Method, rounds: int, place: Path) -> Tally:
    track = Track(race, method, place)
    for _ in range(rounds):
        track.run_round()
    track.close()
    return track.tally


def caught(race: Race, enough: Callable[[Tally], bool], place: Path) -> Tally:
    """What `cp` did in so many rounds, and in more until it is `enough`: what it breaks hangs on moments."""
    track = Track(race, Copy(), place)
    for done in range(MOST_ROUNDS_OF_CP):
        if done >= ROUNDS_OF_CP and enough(track.tally):
            break
        track.run_round()
    track.close()
    return track.tally


def test_cp_fails_while_others_import(fresh: Race, tmp_path: Path) -> None:
    by_cp = caught(fresh, lambda tally: tally.failed > 0 and tally.seen.broken > 0, tmp_path)
    assert by_cp.failed > 0
    assert all("File exists" in complaint for complaint in by_cp.complaints)
    assert by_cp.seen.broken > 0


def test_merge_never_fails_while_others_import(fresh: Race, tmp_path: Path) -> None:
    by_merge = tally(fresh, Merge(SHIPWAY), ROUNDS, tmp_path)
    assert by_merge.complaints == []
    assert by_merge.seen.reasons == ()
    assert (by_merge.seen.broken, by_merge.missing, by_merge.wrong_after) == (0, 0, 0)
    assert by_merge.seen.absent > 0, "nobody imported before the package came"
    assert by_merge.seen.whole > 0, "nobody imported after the package came"


def test_cp_leaves_the_old_version_s_files_and_shows_half_files(upgrade: Race, tmp_path: Path) -> None:
    by_cp = caught(upgrade, lambda tally: tally.seen.broken + tally.seen.mixed > 0, tmp_path)
    assert by_cp.left_over > 0
    assert by_cp.seen.broken + by_cp.seen.mixed > 0


def test_an_upgrade_never_fails_and_leaves_nothing_old(upgrade: Race, tmp_path: Path) -> None:
    """What an import that is under way at the commit may see is measured by `make demo`, not promised here."""
    by_merge = tally(upgrade, Merge(SHIPWAY), ROUNDS // 2, tmp_path)
    assert by_merge.complaints == []
    assert (by_merge.missing, by_merge.left_over, by_merge.wrong_after) == (0, 0, 0)


def test_an_upgrade_is_one_step_for_programs_under_exec(upgrade: Race, tmp_path: Path) -> None:
    by_merge = tally(upgrade, Merge.with_leases(SHIPWAY), max(3, ROUNDS // 5), tmp_path)
    assert by_merge.complaints == []
    assert by_merge.seen.reasons == ()
    assert (by_merge.seen.broken, by_merge.seen.mixed, by_merge.wrong_after) == (0, 0, 0)


def test_the_bytecode_never_names_the_stage(fresh: Race, tmp_path: Path) -> None:
    track = Track(fresh, Merge(SHIPWAY), tmp_path)
    compiled = list(track.run_round().rglob("*.pyc"))
    assert track.tally.complaints == []
    assert len(compiled) >= len(list(fresh.after.tree.rglob("*.pyc")))
    assert not [path for path in compiled if str(fresh.after.tree).encode() in path.read_bytes()]


def test_removal_takes_the_bytecode_of_others_too(fresh: Race, tmp_path: Path) -> None:
    track = Track(fresh, Merge(SHIPWAY), tmp_path)
    prefix = track.run_round()
    assert track.tally.complaints == []
    site = prefix / fresh.after.interpreter.site
    optimised = f"import sys; sys.path.insert(0, {str(site)!r}); import neighbour, {', '.join(fresh.modules)}"
    subprocess.run(fresh.after.interpreter.command("-OO", "-c", optimised), check=True)
    removed = subprocess.run([*SHIPWAY, "-p", str(prefix), "remove", fresh.after.name], capture_output=True, text=True)
    assert removed.returncode == 0, removed.stderr
    assert {path.name.partition(".")[0] for path in site.rglob("*")} <= {"neighbour", "__pycache__"}
