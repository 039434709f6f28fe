"""`shipway install`, `build` and `check`, as processes, on small packages."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.recipes import INSTALL, Yard, yard
from tests.cli.shop import command


@pytest.fixture
def place(tmp_path: Path) -> Yard:
    return yard(tmp_path)


def chain(place: Yard) -> None:
    place.recipe("low")
    place.recipe("middle", "low")
    place.recipe("top", "middle")


def until(condition: Callable[[], object], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come to pass"
        time.sleep(0.02)


def order_of(ran_err: str) -> list[str]:
    return re.findall(r"^(\w+) \S+ is in ", ran_err, re.MULTILINE)


# -- what is built, and when ---------------------------------------------------------------------------------------------


def test_what_is_needed_comes_first_and_once(place: Yard) -> None:
    chain(place)
    ran = place("install", "top")
    assert ran.code == 0, ran.err
    assert order_of(ran.err) == ["low", "middle", "top"]
    assert ran.out == f"3 packages built and in {place.root}\n"
    assert (place.root / "share/top/version").read_text() == "top 1\n"
    assert place.sound()
    assert not any(path.is_dir() for path in place.builds.glob("*/*/*")), "rooms are left"
    again = place("install", "top")
    assert (again.code, again.out) == (0, f"all is in {place.root} already; there was nothing to do\n")
    assert len(place.ask("history", "--json").json) == 3


def test_a_change_below_builds_what_is_above_again(place: Yard) -> None:
    chain(place)
    place("install", "top")
    place.recipe("low", version="2")
    plan = place.ask("plan", "--recipes", str(place.recipes), "top")
    assert "1 is installed, the recipe is of 2" in plan.out
    assert "low is built before it" in plan.out
    ran = place("install", "top", "--json")
    told = {each["name"]: each for each in ran.json["packages"]}
    assert {name: told[name]["deed"] for name in told} == {"low": "committed", "middle": "committed", "top": "kept"}
    assert told["low"]["old"] == "1"
    assert told["middle"]["reasons"] == ["low has changed"], "and came out as it was, so nothing above is built"


def test_what_came_out_the_same_builds_nothing_above_again(place: Yard) -> None:
    chain(place)
    place("install", "top")
    place.recipe("low", install=f"# other words\n{INSTALL}")
    told = {each["name"]: each for each in place("install", "top", "--json").json["packages"]}
    assert told["low"]["reasons"] == ["its recipe has changed"]
    assert {name: told[name]["deed"] for name in told} == {"low": "committed", "middle": "kept", "top": "kept"}


def test_only_what_is_named_or_only_what_it_needs(place: Yard) -> None:
    chain(place)
    refused = place("install", "top", "--no-deps")
    assert refused.code == 1
    assert "middle 1 is not installed" in refused.err and "shipway install middle" in refused.err
    assert place.installed == {}
    assert place("install", "top", "--only-deps").code == 0
    assert set(place.installed) == {"low", "middle"}
    assert place("install", "top", "--no-deps").code == 0
    assert set(place.installed) == {"low", "middle", "top"}
    assert place("install", "top", "--no-deps", "--only-deps").code == 2
    ran = place("install", "middle", "--rebuild", "--json").json
    assert {each["name"]: each["deed"] for each in ran["packages"]} == {"low": "kept", "middle": "committed"}


def test_what_is_experimental_is_asked_about(place: Yard) -> None:
    place.recipe("odd", more="")
    path = place.recipes / "odd/recipe.toml"
    path.write_text(path.read_text().replace('version = "1"', 'version = "1"\nexperimental = true'))
    refused = place("install", "odd")
    assert refused.code == 2 and "--yes" in refused.err
    assert place("install", "odd", "--yes").code == 0


# -- failures --------------------------------------------------------------------------------------------------------------


def test_a_failure_says_all_that_one_needs(place: Yard) -> None:
    chain(place)
    place.recipe("middle", "low", install="echo to the point >&2; exit 7")
    (place.root / "shipway.toml").write_text('prefix = "."\n[build]\ncontact = "help@example.org"\n')
    ran = place("install", "top")
    assert ran.code == 5
    assert "middle 1: install failed: sh -e" in ran.err
    assert "ended with status 7" in ran.err
    assert "| to the point" in ran.err
    assert f"{place.root}/var/lib/shipway/logs/middle-1.log is the whole log" in ran.err
    assert f"shipway -p {place.root} shell middle" in ran.err
    assert "tell help@example.org, with what shipway log --bundle middle writes" in ran.err
    assert "top was left out: it needs middle" in ran.err
    assert place.installed == {"low": "1"}
    place.recipe("middle", "low")
    mended = place("install", "top")
    assert order_of(mended.err) == ["middle", "top"], "what was committed stays"


def test_after_a_failure_the_rest_goes_on_if_wanted(place: Yard) -> None:
    place.recipe("bad", install="exit 1")
    place.recipe("above", "bad")
    place.recipe("good")
    ran = place("install", "above", "good", "-k", "-j1", "--json")
    assert ran.code == 5
    told = {each["name"]: each["deed"] for each in ran.json["packages"]}
    assert told == {"bad": "failed", "above": "left out", "good": "committed"}
    assert place.installed == {"good": "1"}


def test_a_shell_opens_where_it_failed(place: Yard) -> None:
    place.recipe("bad", install="echo left > note; exit 1")
    assert place("install", "bad").code == 5
    ran = place("shell", "bad", "sh", "-c", 'cat note; echo "$NAME for $PREFIX"; echo x > "$PREFIX/stray" || true')
    assert ran.code == 0, ran.err
    assert ran.out == f"left\nbad for {place.root}\n"


def test_a_full_disk_is_told_and_leaves_the_prefix_alone(place: Yard) -> None:
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", place.builds], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("needs root and a tmpfs of its own")
    try:
        place.recipe("big", install='head -c 8000000 /dev/zero > "$TMPDIR/much"')
        ran = place("install", "big")
        assert ran.code == 5
        assert "No space left on device" in ran.err
        assert place.installed == {}
        place.recipe("big")
        assert place("install", "big").code == 0
    finally:
        subprocess.run(["umount", place.builds], check=True)


# -- whose files -----------------------------------------------------------------------------------------------------------

apart = pytest.mark.skipif(os.geteuid() != 0, reason="needs namespaces")


@apart
@pytest.mark.parametrize(
    ("deed", "word"),
    [('rm "$PREFIX/share/low/version"', "deletes"), ('echo mine > "$PREFIX/share/low/version"', "changes")],
)
def test_what_touches_others_is_refused_with_both_names(place: Yard, deed: str, word: str) -> None:
    place.recipe("low")
    place("install", "low")
    place.recipe("bad", "low", install=f"{INSTALL}\n{deed}")
    ran = place("install", "bad")
    assert ran.code == 5
    assert f"bad {word} share/low/version, which belongs to low" in ran.err
    assert place.installed == {"low": "1"} and place.sound()


@apart
def test_what_others_have_is_theirs_when_written_as_it_was(place: Yard) -> None:
    place.recipe("low")
    place("install", "low")
    place.recipe("same", "low", install=f'{INSTALL}\necho "low 1" > "$PREFIX/share/low/version"')
    assert place("install", "same").code == 0
    owners = place.ask("owner", "share/low/version", "--json").json
    assert "same" not in str(owners)


@apart
def test_a_build_that_knows_no_destdir_is_staged_all_the_same(place: Yard) -> None:
    place.recipe("plain", install='mkdir -p "$PREFIX/share/plain"; echo here > "$PREFIX/share/plain/file"; sleep 0.5')
    running = place.start("install", "plain")
    file, early = place.root / "share/plain/file", 0
    while running.poll() is None:
        early += file.exists() and not place.installed
    running.communicate()
    assert (running.returncode, early) == (0, 0)
    assert (place.root / "share/plain/file").read_text() == "here\n"


def test_what_lies_outside_of_the_prefix_is_refused(place: Yard) -> None:
    place.recipe("out", install=f'{INSTALL}\nmkdir -p "$DESTDIR/etc"; echo x > "$DESTDIR/etc/out"')
    ran = place("install", "out")
    assert ran.code == 5
    assert "installs files outside of the prefix" in ran.err and "/etc" in ran.err
    assert place.installed == {}


def test_a_conflict_is_one_and_the_stage_is_kept(place: Yard) -> None:
    (place.root / "share/low").mkdir(parents=True)
    (place.root / "share/low/version").write_text("somebody's")
    place.recipe("low")
    ran = place("install", "low")
    assert ran.code == 3
    assert "share/low/version" in ran.err
    done = place("install", "low", "--on-conflict", "backup", "--json")
    assert done.code == 0, done.err
    assert len(list((place.root / "var/lib/shipway/logs").glob("low-1*.log"))) == 1, "it was built again"


# -- tests -----------------------------------------------------------------------------------------------------------------


def with_tests(place: Yard, *, before: bool, good: bool) -> None:
    code = "true" if good else "echo not good; exit 3"
    path = f'test -f "$PREFIX/share/low/version"\n{code}' if not before else code
    place.recipe("low", more=f"[check]\nbefore_commit = {str(before).lower()}")
    file = place.recipes / "low/recipe.toml"
    file.write_text(file.read_text() + f"check = '''\n{path}\n'''\n")


@pytest.mark.parametrize("before", [True, False])
def test_tests_decide_if_wanted(place: Yard, before: bool) -> None:
    with_tests(place, before=before, good=False)
    assert place("install", "low").code == 0, "nobody wanted tests"
    warned = place("install", "low", "--rebuild", "--check", "warn")
    assert warned.code == 0
    assert "check failed" in warned.err
    failed = place("install", "low", "--rebuild", "--check", "yes")
    assert failed.code == 5 and "| not good" in failed.err
    assert place("install", "low", "--rebuild", "--check", "yes", "--check", "low=no").code == 0
    with_tests(place, before=before, good=True)
    assert place("install", "low", "--check", "yes").code == 0


def test_a_package_whose_tests_fail_after_its_commit_is_taken_back(place: Yard) -> None:
    with_tests(place, before=False, good=False)
    ran = place("install", "low", "--check", "yes", "--undo-on-failure")
    assert ran.code == 5 and "was taken back" in ran.err
    assert place.installed == {} and not (place.root / "share/low").exists()


def test_a_package_whose_tests_fail_after_its_commit_stays_and_that_is_said(place: Yard) -> None:
    with_tests(place, before=False, good=False)
    place.recipe("bad", install="exit 3")
    ran = place("install", "low", "bad", "-k", "--check", "yes")
    number = place.ask("history", "--json").json[0]["id"]
    assert ran.code == 5
    assert "bad could not be built; " in ran.err
    assert (
        f"low is in {place.root} (`shipway undo {number}` takes it back), but what came after its commit failed"
        in ran.err
    )
    assert "low" in place.installed


def test_check_runs_tests_and_installs_nothing(place: Yard) -> None:
    with_tests(place, before=True, good=True)
    assert place("check", "low").code == 0
    with_tests(place, before=True, good=False)
    assert place("check", "low").code == 5
    assert place.installed == {}


# -- built before ------------------------------------------------------------------------------------------------------------


def test_what_was_built_is_taken_by_install(place: Yard) -> None:
    chain(place)
    missing = place("build", "top")
    assert missing.code == 1 and "shipway install middle" in missing.err
    place("install", "middle")
    built = place("build", "top")
    assert (built.code, built.out) == (0, "1 package built; 2 there already\n")
    assert "top" not in place.installed
    ran = place("install", "top")
    assert "top 1 is in" in ran.err and "made in a run before" in ran.err
    assert len(list((place.root / "var/lib/shipway/logs").glob("top-1*.log"))) == 1


# -- several at once, and the end of some ------------------------------------------------------------------------------------


def test_two_invocations_of_one_package_build_it_once(place: Yard) -> None:
    place.recipe("low", install=f"sleep 1\n{INSTALL}")
    both = [place.start("install", "low") for _ in range(2)]
    said = [each.communicate(timeout=120) for each in both]
    assert [each.returncode for each in both] == [0, 0], said
    assert len(place.ask("history", "--json").json) == 1
    assert "built by somebody else" in said[0][1] + said[1][1]
    assert place.sound()


def test_a_commit_waits_for_builds_with_what_it_moves_and_for_no_others(place: Yard) -> None:
    place.recipe("low")
    place.recipe("other")
    place("install", "low", "other")
    place.recipe("above", "low", install=f"while ! [ -e {place.place}/go ]; do sleep 0.05; done\n{INSTALL}")
    building = place.start("install", "above")
    log = place.root / "var/lib/shipway/logs/above-1.log"
    until(lambda: log.exists() and "phase install" in log.read_text())
    place.recipe("other", version="2")
    place.recipe("low", version="2")
    assert place("install", "other", "--wait", "5").code == 0, "nobody builds with it"
    held = place("install", "low", "--wait", "1")
    assert held.code == 4, held.err
    assert "above" in held.err
    (place.place / "go").touch()
    building.communicate(timeout=60)
    assert building.returncode == 0
    assert place("install", "low").code == 0
    assert place.installed == {"low": "2", "other": "2", "above": "1"}


def test_ctrl_c_ends_all_builds_and_says_what_stays(place: Yard) -> None:
    chain(place)
    place.recipe("middle", "low", install=f"echo $$ > {place.place}/pid; sleep 1000")
    running = place.start("install", "top")
    pid = place.place / "pid"
    until(lambda: pid.exists() and pid.read_text())
    running.send_signal(signal.SIGINT)
    _, err = running.communicate(timeout=60)
    assert running.returncode == 130, err
    assert "interrupted; low stays in the prefix" in err
    assert place.installed == {"low": "1"}
    assert "sleep 1000" not in processes(place)


def test_ctrl_c_while_a_commit_waits_is_no_failed_build(place: Yard) -> None:
    place.recipe("low")
    place("install", "low")
    holder = subprocess.Popen(
        command("-p", str(place.root), "exec", "--", "sleep", "1000"),
        env=place.environment(),
        stderr=subprocess.DEVNULL,
    )
    try:
        until(lambda: list((place.root / "var/lib/shipway/leases").glob("*.lease")))
        place.recipe("low", version="2")
        running = place.start("install", "low")
        until(lambda: list((place.root / "var/lib/shipway/leases").glob("*.intent")))
        running.send_signal(signal.SIGINT)
        _, err = running.communicate(timeout=60)
        assert running.returncode == 130, err
        assert "interrupted; nothing was changed" in err
    finally:
        holder.terminate()
        holder.wait()
    ran = place("install", "low")
    assert ran.code == 0 and "made in a run before" in ran.err, ran.err


@pytest.mark.parametrize("whole_group", [False, True])
def test_whoever_is_killed_leaves_no_process_and_the_next_run_goes_on(place: Yard, whole_group: bool) -> None:
    chain(place)
    place.recipe("middle", "low", install="sleep 1001")
    running = place.start("install", "top")
    log = place.root / "var/lib/shipway/logs/middle-1.log"
    until(lambda: log.exists() and "phase install" in log.read_text() and "sleep 1001" in processes(place))
    if whole_group:
        os.killpg(running.pid, signal.SIGKILL)
    else:
        running.kill()
    running.communicate()
    until(lambda: "sleep 1001" not in processes(place))
    place.recipe("middle", "low")
    ran = place("install", "top")
    assert ran.code == 0, ran.err
    assert order_of(ran.err) == ["middle", "top"]
    assert place.sound()


def test_a_build_that_is_killed_is_a_failure_like_others(place: Yard) -> None:
    place.recipe("low", install=f"echo $$ > {place.place}/pid; kill -9 $$")
    ran = place("install", "low")
    assert ran.code == 5
    assert "was killed by SIGKILL" in ran.err


def processes(place: Yard) -> str:
    """The command lines of all processes."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found.append(path.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
        except OSError:
            continue
    return "\n".join(found)


def test_what_was_made_is_not_made_again_wherever_the_commit_was_killed(place: Yard) -> None:
    """Killed at one moment after another: the stage is finished, or it is not; the log says whether it was built again."""
    counted = place.place / "count"
    place.recipe("low", install=f"echo x >> {counted}\n{INSTALL}")
    for delay in [each / 20 for each in range(4, 40, 3)]:
        running = place.start("install", "low")
        time.sleep(delay)
        running.kill()
        running.communicate()
    ran = place("install", "low")
    assert ran.code == 0, ran.err
    assert place.installed == {"low": "1"} and place.sound()
    assert not list((place.root / "var/lib/shipway/work").iterdir()) or place.ask("recover").code == 0


def test_what_others_run_with_stays_unless_they_go_too(place: Yard) -> None:
    chain(place)
    place("install", "top")
    refused = place.ask("remove", "low")
    assert refused.code == 3
    assert "middle runs with low" in refused.err and "top runs with middle" in refused.err
    assert "--cascade" in refused.err
    assert place.ask("remove", "top").code == 0
    assert place.ask("remove", "low", "middle").code == 0, "who goes too is not in the way"
    place("install", "top")
    assert place.ask("remove", "--cascade", "low").code == 0
    assert place.installed == {}
    assert len(place.ask("history", "--json").json) == 3 + 2 + 3 + 1


def test_an_image_in_a_file_is_committed_by_who_owns_the_prefix(place: Yard) -> None:
    chain(place)
    place("install", "middle")
    file = place.place / "top.tar.zst"
    built = place("build", "top", "-o", str(file))
    assert (built.code, built.out.splitlines()[-1]) == (0, str(file))
    assert "top" not in place.installed
    assert place.ask("merge", str(file)).code == 0
    assert place.installed["top"] == "1" and place.sound()
    again = place("install", "top", "--json")
    assert [each["deed"] for each in again.json["packages"]] == ["kept"] * 3, "it is known what it was built from"
    assert place("build", "top", "low", "-o", str(file)).code == 2
    place.recipe("bad", install="exit 1")
    assert place("build", "bad", "-o", str(place.place / "bad")).code == 5
    assert not (place.place / "bad").exists()
