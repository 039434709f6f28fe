"""What is made once, and taken later: stages that were left, notes of what was built, invocations that meet."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.cli.recipes import INSTALL, Yard, yard


@pytest.fixture
def place(tmp_path: Path) -> Yard:
    return yard(tmp_path)


apart = pytest.mark.skipif(os.geteuid() != 0, reason="needs namespaces")


def killed_at(place: Yard, step: int, *words: str) -> bool:
    """Run an installation that is killed before one step that changes the disk, counted from the end of the build; False if it ended first."""
    code = f"""
import os, signal, sys
from shipway.fs.system import FileSystem
from shipway.schedule.rooms import Room
count, made = 0, Room.made
def step(self, *what):
    global count
    count += 1
    if count > {step}:
        os.kill(os.getpid(), signal.SIGKILL)
def note(self, *all):
    found = made(self, *all)
    FileSystem.step = step
    return found
Room.made = note
from shipway.cli.main import main
sys.exit(main(sys.argv[1:]))
"""
    _, _, _, *line = place.words("install", *words)
    done = subprocess.run(
        [place.words("install")[0], "-c", code, *line],
        env=place.environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode in (0, -signal.SIGKILL), done.stderr
    return done.returncode != 0


def test_wherever_a_commit_is_killed_the_whole_package_comes_in_by_the_next_run(place: Yard) -> None:
    place.recipe("low", install=f'{INSTALL}\nmkdir "$DESTDIR$PREFIX/bin"; echo x > "$DESTDIR$PREFIX/bin/low"')
    step, killed = 0, True
    while killed:
        place.recipe(
            "low",
            version=str(step),
            install=f'{INSTALL}\nmkdir "$DESTDIR$PREFIX/bin"; echo {step} > "$DESTDIR$PREFIX/bin/low"',
        )
        killed = killed_at(place, step, "low")
        ran = place("install", "low", "--json")
        assert ran.code == 0, ran.err
        assert (place.root / "share/low/version").read_text() == f"low {step}\n"
        assert (place.root / "bin/low").read_text() == f"{step}\n"
        assert [each["deed"] for each in place("install", "low", "--json").json["packages"]] == ["kept"]
        step += 9
    assert step > 9
    assert place.sound()


def test_packages_that_hold_the_same_have_each_their_note(place: Yard) -> None:
    place.recipe("one", install="true")
    place.recipe("other", install="true # in other words")
    place("install", "one", "other")
    again = place("install", "one", "other", "--json").json
    assert [each["deed"] for each in again["packages"]] == ["kept", "kept"]


@apart
def test_what_was_built_past_its_stage_is_taken_later(place: Yard) -> None:
    place.recipe("low")
    place("install", "low")
    place.recipe("same", install=f'{INSTALL}\necho "low 1" > "$PREFIX/share/low/version"')
    assert place("build", "same").code == 0
    ran = place("install", "same")
    assert ran.code == 0, ran.err
    assert "same" not in str(place.ask("owner", "share/low/version", "--json").json)


def test_a_recipe_that_is_changed_while_it_is_built_is_not_taken_for_what_it_was(place: Yard) -> None:
    place.recipe("low")
    home = place.recipes / "low"
    text = (home / "recipe.toml").read_text()
    (home / "recipe.toml").write_text(text[: text.index("[phases]")] + '[phases]\ninstall = { script = "go" }\n')
    (home / "go").write_text(f"{INSTALL}\nsleep 1\n")
    running = place.start("install", "low")
    log = place.root / "var/lib/shipway/logs/low-1.log"
    until(lambda: log.exists() and "phase install" in log.read_text())
    (home / "go").write_text(f"{INSTALL}\n")
    _, err = running.communicate(timeout=60)
    assert running.returncode == 5, err
    assert "were changed while it was built" in err
    assert place.installed == {}
    assert place("install", "low").code == 0


# -- invocations that meet -------------------------------------------------------------------------------------------------


def exclusive(place: Yard, name: str, install: str) -> None:
    place.recipe(name, install=install)
    file = place.recipes / name / "recipe.toml"
    file.write_text(f"exclusive = true\n{file.read_text()}")


def test_exclusive_packages_of_two_invocations_do_not_wait_for_each_other(place: Yard) -> None:
    """Each has built what the other wants to build next, and may not commit it while it builds something itself."""
    for name in ("xa", "xb"):
        exclusive(place, name, f"sleep 2\n{INSTALL}")
    for name in ("aa", "zz"):
        place.recipe(name, install=f"sleep 1\n{INSTALL}")
    place.recipe("above-xb", "xb")
    place.recipe("above-zz", "zz")
    one = place.start("install", "-j2", "xa", "aa", "xb")
    other = place.start("install", "-j2", "above-xb", "above-zz", "xa")
    for each in (one, other):
        try:
            _, err = each.communicate(timeout=60)
        except subprocess.TimeoutExpired:
            one.kill()
            other.kill()
            pytest.fail(f"they wait for ever: {one.communicate()[1]} {other.communicate()[1]}")
        assert each.returncode == 0, err
    assert set(place.installed) == {"xa", "xb", "aa", "zz", "above-xb", "above-zz"}


def test_ctrl_c_is_heard_at_once_by_who_waits_for_the_build_of_another(place: Yard) -> None:
    place.recipe("low", install=f"while ! [ -e {place.place}/go ]; do sleep 0.05; done\n{INSTALL}")
    building = place.start("install", "low")
    log = place.root / "var/lib/shipway/logs/low-1.log"
    until(lambda: log.exists() and "phase install" in log.read_text())
    waiting = place.start("install", "low")
    assert waiting.stderr is not None
    for line in waiting.stderr:
        if "waiting for the build of low" in line:
            break
    begun = time.monotonic()
    waiting.send_signal(signal.SIGINT)
    waiting.communicate(timeout=60)
    assert waiting.returncode == 130
    assert time.monotonic() - begun < 5
    (place.place / "go").touch()
    building.communicate(timeout=60)
    assert building.returncode == 0


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&- >&- 2>&-"])
def test_who_has_no_standard_streams_is_served_all_the_same(place: Yard, closed: str) -> None:
    place.recipe("low")
    line = f"{shlex.join(place.words('install', 'low'))} {closed}"
    done = subprocess.run(["sh", "-c", line], env=place.environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert place.installed == {"low": "1"} and place.sound()


# -- one error for each ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["nonsense.whl", "junk-1-py3-none-any.whl"])
def test_what_is_no_wheel_is_told_and_others_go_on(place: Yard, name: str) -> None:
    place.recipe("low")
    place.recipe("junk")
    (place.recipes / "junk/recipe.toml").write_text(
        f'name = "junk"\nversion = "1"\nbuild.system = "wheel"\nphases.build = \'echo > "$SOURCE/{name}"\'\n'
    )
    ran = place("install", "junk", "low", "-k", "-j1")
    assert ran.code == 5, ran.err
    assert "is no wheel" in ran.err and "Traceback" not in ran.err
    assert place.installed == {"low": "1"}


@apart
def test_a_room_that_is_full_or_cannot_be_emptied_is_named(place: Yard) -> None:
    place.recipe("low", install=f'{INSTALL}\nhead -c 900000 /dev/zero > "$TMPDIR/much" || true')
    place.recipe("other")
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", place.builds], check=True)
    try:
        ran = place("install", "low", "other", "-j1", "-k")
        assert ran.code == 5, ran.err
        room = next(place.builds.glob("*/*/low"))
        assert f"low cannot be built in {room}: [Errno 28]" in ran.err
        assert "--build-dir" in ran.err
    finally:
        subprocess.run(["umount", place.builds], check=True)
    assert place("install", "low", "--keep-build", "--build-dir", str(place.builds)).code == 0
    held = next(place.builds.glob("*/*/low")) / "held"
    held.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", held], check=True)
    try:
        ran = place("install", "low", "other", "--rebuild", "-k")
        assert ran.code == 5, ran.err
        assert f"low cannot be built in {held.parent}" in ran.err and "Traceback" not in ran.err
        assert "other" in place.installed
    finally:
        subprocess.run(["umount", held], check=True)


def test_ctrl_c_in_the_tests_after_a_commit_says_that_it_stays(place: Yard) -> None:
    place.recipe("low", more="[check]\nbefore_commit = false")
    file = place.recipes / "low/recipe.toml"
    file.write_text(f"{file.read_text()}check = 'echo begun; sleep 1000'\n")
    running = place.start("install", "low", "--check", "yes")
    log = place.root / "var/lib/shipway/logs/low-1.log"
    until(lambda: log.exists() and "| begun" in log.read_text())
    running.send_signal(signal.SIGINT)
    _, err = running.communicate(timeout=60)
    assert running.returncode == 130
    assert "interrupted; low stays in the prefix" in err


def until(condition: object, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < end, "it did not come to pass"
        time.sleep(0.02)
