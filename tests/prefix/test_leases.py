"""Leases and commits of real processes: who waits for whom, whatever dies, stops or nests."""

from __future__ import annotations

import json
import os
import random
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import shipway
from shipway.errors import LockedError, ShipwayError
from shipway.fs.lock import FileLock
from shipway.model.lease import INTENT, LEASE
from shipway.prefix import leases as module
from shipway.prefix.leases import VARIABLE, Lease, Options, ancestors_of_process, clear_way, live, take
from tests.prefix.strangers import open_place

PROGRAM = Path(__file__).with_name("lease_process.py")
SOURCE = Path(shipway.__file__).parent.parent
LONGEST = 60.0


class Process:
    """A running `lease_process.py`."""

    def __init__(self, directory: Path, *arguments: str, under: dict[str, str] | None = None) -> None:
        environment = {**os.environ, "PYTHONPATH": str(SOURCE), **(under or {})}
        command = [sys.executable, str(PROGRAM), str(directory), *arguments]
        self.popen = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, bufsize=0
        )
        self.unread = b""

    def event(self, *kinds: str) -> dict[str, Any]:
        """The next event of these kinds; others are passed over."""
        while True:
            while b"\n" not in self.unread:
                self.unread += self._read()
            line, _, self.unread = self.unread.partition(b"\n")
            event: dict[str, Any] = json.loads(line)
            if event["event"] in kinds:
                return event

    def _read(self) -> bytes:
        assert self.popen.stdout is not None
        ready, _, _ = select.select([self.popen.stdout], [], [], LONGEST)
        data = os.read(self.popen.stdout.fileno(), 65536) if ready else b""
        assert data, "the process has ended, or says nothing"
        return data

    def through(self) -> dict[str, Any]:
        return self.event("through")

    def end(self) -> None:
        assert self.popen.stdin is not None
        self.popen.stdin.close()
        self.popen.wait(LONGEST)

    def kill(self) -> None:
        self.popen.kill()
        self.popen.wait(LONGEST)

    def signal(self, number: int) -> None:
        self.popen.send_signal(number)


Start = Callable[..., Process]


@pytest.fixture
def room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv(VARIABLE, raising=False)
    directory = tmp_path / "leases"
    directory.mkdir()
    return directory


@pytest.fixture
def start(room: Path) -> Iterator[Start]:
    """Start processes that are gone, whatever happens, when the test ends."""
    started: list[Process] = []

    def run(*arguments: str, under: dict[str, str] | None = None) -> Process:
        started.append(Process(room, *arguments, under=under))
        return started[-1]

    yield run
    for process in started:
        process.popen.kill()
        process.popen.wait(LONGEST)
        for pipe in (process.popen.stdin, process.popen.stdout):
            assert pipe is not None
            pipe.close()


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + LONGEST
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def arrived(room: Path, count: int) -> None:
    """Return when so many parties are there, through or waiting: their order is settled."""
    until(lambda: len(live(str(room))) == count)


def names(room: Path) -> list[str]:
    return sorted(path.name for path in room.iterdir() if path.name != "mutex")


def refused(room: Path, *packages: str, exclusive: bool = False) -> LockedError:
    with pytest.raises(LockedError) as error:
        clear_way(str(room), packages, exclusive, wait=0)
    return error.value


def test_a_lease_keeps_commits_of_its_packages_out_and_no_others(room: Path) -> None:
    with take(str(room), ["x"]), take(str(room), ["x", "y"]):
        assert "on x" in str(refused(room, "x"))
        with clear_way(str(room), ["z"], wait=0):
            pass
        assert refused(room, "z", exclusive=True).exit_code == 4
    with clear_way(str(room), ["x", "y"], exclusive=True, wait=0):
        pass
    assert names(room) == []


def test_a_lease_on_everything_keeps_all_commits_out(room: Path) -> None:
    with take(str(room), "*"):
        assert "all packages" in str(refused(room, "x"))


def test_a_commit_keeps_leases_on_what_it_moves_out_until_it_is_over(room: Path) -> None:
    with clear_way(str(room), ["x"]):
        with pytest.raises(LockedError, match="the commit of x"):
            take(str(room), ["x"], Options(wait=0))
        with take(str(room), ["y"], Options(wait=0)):
            pass
    with take(str(room), ["x"], Options(wait=0)):
        pass


def test_the_refusal_names_the_process_and_its_command(room: Path, start: Start) -> None:
    process = start("lease", "x")
    process.through()
    message = str(refused(room, "x"))
    assert "the lease of cmd-x on x" in message
    assert f"process {process.popen.pid} (" in message
    assert "lease_process.py" in message


def test_who_gives_up_leaves_nothing_and_lets_those_behind_go_on(room: Path, start: Start) -> None:
    with take(str(room), ["x"]):
        commit = start("intent", "x", "wait=4")
        arrived(room, 2)
        behind = start("lease", "x")
        arrived(room, 3)
        assert commit.event("refused", "through")["event"] == "refused"
        behind.through()
        assert len(names(room)) == 2


def test_a_waiting_commit_goes_on_when_the_lease_ends(room: Path, start: Start) -> None:
    lease = start("lease", "x")
    lease.through()
    commit = start("intent", "x")
    arrived(room, 2)
    lease.end()
    commit.through()


@pytest.mark.parametrize("ends", [Process.end, Process.kill])
def test_a_killed_holder_leaves_nothing_in_anybodys_way(
    room: Path, start: Start, ends: Callable[[Process], None]
) -> None:
    holders = [start("lease", "x"), start("lease", "y")]
    for holder in holders:
        holder.through()
    commit = start("intent", "x,y")
    arrived(room, 3)
    for holder in holders:
        ends(holder)
    commit.through()
    commit.kill()
    with take(str(room), ["x"], Options(wait=0)) as lease:
        assert names(room) == [f"{lease.token}.lease"]


def test_a_killed_commit_lets_the_leases_behind_it_go_on(room: Path, start: Start) -> None:
    with take(str(room), ["x"]):
        commit = start("intent", "x")
        arrived(room, 2)
        behind = start("lease", "x")
        arrived(room, 3)
        commit.kill()
        behind.through()


def test_a_stopped_holder_is_called_stopped_and_waited_for(room: Path, start: Start) -> None:
    lease = start("lease", "x")
    lease.through()
    lease.signal(signal.SIGSTOP)
    commit = start("intent", "x")
    event = commit.event("waiting", "through")
    assert event["what"] == "the lease of cmd-x on x"
    assert event["pids"] == [lease.popen.pid]
    assert event["states"] == ["stopped"]
    assert f"kill -CONT {lease.popen.pid}" in refused(room, "x").hint
    lease.signal(signal.SIGCONT)
    lease.end()
    commit.through()


def test_ctrl_c_while_waiting_leaves_nothing(room: Path, start: Start) -> None:
    with take(str(room), ["x"]) as lease:
        commit = start("intent", "x")
        arrived(room, 2)
        commit.signal(signal.SIGINT)
        commit.popen.wait(LONGEST)
        assert names(room) == [f"{lease.token}.lease"]


def test_a_stream_of_leases_does_not_starve_a_commit(room: Path, start: Start, tmp_path: Path) -> None:
    log = tmp_path / "log"
    first = start("lease", "x")
    first.through()
    commit = start("intent", "x", f"log={log}")
    arrived(room, 2)
    stream = [start("lease", "x", f"log={log}") for _ in range(5)]
    arrived(room, 7)
    first.end()
    commit.through()
    assert len(live(str(room))) == 6
    commit.end()
    for lease in stream:
        lease.through()
    lines = log.read_text().splitlines()
    assert lines[:2] == [f"{commit.popen.pid} {what} intent x False" for what in ("begin", "end")]


def test_a_stream_of_commits_does_not_starve_a_lease(room: Path, start: Start, tmp_path: Path) -> None:
    log = tmp_path / "log"
    first = start("intent", "x")
    first.through()
    lease = start("lease", "x", f"log={log}")
    arrived(room, 2)
    stream = [start("intent", "x", "exclusive", f"log={log}") for _ in range(3)]
    arrived(room, 5)
    first.end()
    lease.through()
    lease.end()
    for commit in stream:
        commit.through()
    lines = log.read_text().splitlines()
    assert lines[:2] == [f"{lease.popen.pid} {what} lease x False" for what in ("begin", "end")]


def test_a_command_under_a_lease_may_commit_what_is_leased(room: Path, start: Start) -> None:
    outer = start("lease", "x").through()["environment"]
    inner = start("lease", "x", under=outer).through()["environment"]
    assert len(inner[VARIABLE].split(":")) == 2
    commit = start("intent", "x", "exclusive", "wait=0", under=inner)
    commit.through()
    commit.end()
    assert start("intent", "x", "wait=0").event("through", "refused")["event"] == "refused"


def test_only_the_leases_it_runs_under_let_a_commit_pass(room: Path, start: Start) -> None:
    outer = start("lease", "x").through()["environment"]
    start("lease", "x").through()
    assert start("intent", "x", "wait=0", under=outer).event("through", "refused")["event"] == "refused"


def test_a_lease_under_a_lease_goes_ahead_of_a_waiting_commit_which_waits_for_both(room: Path, start: Start) -> None:
    outer = start("lease", "x")
    environment = outer.through()["environment"]
    commit = start("intent", "x,y")
    arrived(room, 2)
    inner = start("lease", "y", "wait=0", under=environment)
    inner.through()
    outer.kill()
    assert commit.event("waiting", "through")["what"] == "the lease of cmd-y on y"
    inner.end()
    commit.through()


def test_the_later_of_two_that_would_wait_for_each_other_is_told_so(room: Path, start: Start) -> None:
    one = start("lease", "x").through()["environment"]
    other = start("lease", "y").through()["environment"]
    waiting = start("intent", "y", under=one)
    arrived(room, 3)
    event = start("intent", "x", under=other).event("through", "refused")
    assert event["event"] == "refused"
    assert event["code"] == 4
    assert "would wait for the lease of cmd-x on x" in event["message"]
    assert len(event["details"]) == 4
    assert len(live(str(room))) == 3
    assert waiting.popen.poll() is None


def test_tokens_of_the_dead_mean_nothing(room: Path, start: Start) -> None:
    gone = start("lease", "x")
    environment = gone.through()["environment"]
    gone.kill()
    start("lease", "x").through()
    assert start("intent", "x", "wait=0", under=environment).event("through", "refused")["event"] == "refused"


def test_a_program_started_by_the_holder_does_not_hold_the_lease(room: Path) -> None:
    lease = take(str(room), ["x"])
    with subprocess.Popen(["sleep", "1000"], close_fds=False) as child:
        lease.release()
        with clear_way(str(room), ["x"], wait=0):
            child.kill()


def test_a_forked_child_does_not_end_the_lease(room: Path) -> None:
    with take(str(room), ["x"]) as lease:
        child = os.fork()
        if child == 0:
            with lease:
                pass
            os._exit(0)
        os.waitpid(child, 0)
        assert refused(room, "x").exit_code == 4
        assert names(room) == [f"{lease.token}.lease"]


def test_files_that_nobody_holds_are_removed_by_whoever_meets_them(room: Path) -> None:
    (room / "0123.lease").write_text("not a record")
    (room / "4567.intent").write_bytes(b"")
    (room / "README").write_text("kept")
    assert live(str(room)) == []
    assert names(room) == ["README"]


def test_a_held_file_that_says_nothing_is_in_nobodys_way(room: Path) -> None:
    """As somebody makes it who comes too late to wait for a lease that has just ended."""
    with FileLock(str(room / "0123.lease")), clear_way(str(room), ["x"], exclusive=True, wait=0):
        pass


def test_who_stopped_while_arriving_is_named(room: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MUTEX_WITHIN", 0.1)
    with FileLock(str(room / "mutex")):
        assert f"process {os.getpid()}" in str(refused(room, "x"))


def test_releasing_twice_is_releasing_once(room: Path) -> None:
    lease = take(str(room), ["x"])
    lease.release()
    with take(str(room), ["x"]):
        lease.release()
        assert len(live(str(room))) == 1


def test_parties_are_told_in_the_order_of_their_arrival(room: Path) -> None:
    with take(str(room), ["x"], Options("make")), take(str(room), ["y"]), clear_way(str(room), ["z"]):
        assert [(party.kind, party.command) for party in live(str(room))] == [
            (LEASE, "make"),
            (LEASE, ""),
            (INTENT, ""),
        ]


def test_the_environment_says_what_a_process_runs_under() -> None:
    assert ancestors_of_process({}) == ()
    assert ancestors_of_process({VARIABLE: ""}) == ()
    assert ancestors_of_process({VARIABLE: "a:b"}) == ("a", "b")


@pytest.mark.parametrize(("mode", "expected"), [(0o755, 0o600), (0o2770, 0o660), (0o2775, 0o660)])
def test_files_are_open_to_the_group_that_the_directory_is_open_to(room: Path, mode: int, expected: int) -> None:
    room.chmod(mode)
    previous = os.umask(0o077)
    try:
        with take(str(room), ["x"]):
            assert {path.stat().st_mode & 0o7777 for path in room.iterdir()} == {expected}
    finally:
        os.umask(previous)


def as_another_user(group: int, action: Callable[[], None]) -> int:
    """Run in a child that has given up being root; 0 if it went well, 3 for a ShipwayError, 1 for anything else."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    code = 1
    try:
        os.setgroups([group])
        os.setgid(65534)
        os.setuid(65534)
        action()
        code = 0
    except ShipwayError:
        code = 3
    finally:
        os._exit(code)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_a_group_takes_leases_where_the_administrator_let_it_and_meets_those_of_root() -> None:
    group = 54321

    def use(room: Path, held: Lease) -> None:
        take(str(room), ["y"], Options(wait=0)).release()
        with pytest.raises(LockedError):
            clear_way(str(room), ["x"], wait=0)

    with open_place() as place:
        room = place / "leases"
        room.mkdir()
        assert as_another_user(group, lambda: take(str(room), ["x"]).release()) == 3
        os.chown(room, 0, group)
        room.chmod(0o2770)
        (room / "mutex").unlink(missing_ok=True)
        with take(str(room), ["x"]) as lease:
            assert as_another_user(group, lambda: use(room, lease)) == 0


def test_many_processes_at_once_never_move_what_is_leased_and_all_get_through(
    room: Path, start: Start, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    dice = random.Random(11)
    running: list[Process] = []
    for _ in range(40):
        kind = dice.choice(["lease", "intent"])
        packages = ",".join(sorted(dice.sample("xyz", dice.randint(1, 2))))
        exclusive = ["exclusive"] if kind == "intent" and dice.random() < 0.2 else []
        process = start(kind, packages, f"log={log}", *exclusive)
        assert process.popen.stdin is not None
        running.append(process)
        if dice.random() < 0.1:
            process.popen.kill()
        elif dice.random() < 0.9:
            process.popen.stdin.close()  # ends as soon as it is through
    for process in running:
        assert process.popen.stdin is not None
        process.popen.stdin.close()
    for process in running:
        process.popen.wait(LONGEST)
    check_log(log.read_text().splitlines(), {p.popen.pid for p in running if p.popen.returncode})
    with clear_way(str(room), ["x"], exclusive=True, wait=0):
        assert len(names(room)) == 1


def check_log(lines: list[str], killed: set[int]) -> None:
    """No lease and commit of one package overlap, as far as those tell that were not killed."""
    inside: dict[int, tuple[str, set[str], bool]] = {}
    for line in lines:
        pid, what, kind, packages, exclusive = line.split(" ")
        if int(pid) in killed:
            continue
        if what == "end":
            del inside[int(pid)]
            continue
        new = (kind, set(packages.split(",")), exclusive == "True")
        for other in inside.values():
            assert new[0] == other[0] or not (new[1] & other[1] or new[2] or other[2]), line
        inside[int(pid)] = new
    assert not inside
