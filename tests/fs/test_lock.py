"""Locks belong to living processes, name their holders, and let go of those who give up."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from shipway.errors import LockedError, ShipwayError
from shipway.fs.lock import FileLock, Terms, Waiting, holders, is_locked, poll, range_holders
from shipway.fs.process import describe
from tests.fs.apart import Apart, child, end, fork

Put = Callable[..., str]
Say = Callable[[str], None]


@pytest.fixture
def path(area: str) -> str:
    return f"{area}/lock"


@contextmanager
def held(path: str, shared: bool = False) -> Iterator[int]:
    """A child that holds the lock until it is killed: its pid."""

    def hold(say: Say) -> None:
        FileLock(path).acquire(shared)
        say("held")
        signal.pause()

    with child(hold) as (pid, said):
        assert said() == "held"
        yield pid


def refusal(path: str, wait: float = 0) -> LockedError:
    with pytest.raises(LockedError) as caught:
        FileLock(path, what="the prefix").acquire(wait=wait)
    return caught.value


def test_a_lock_is_held_until_it_is_released(path: str) -> None:
    lock = FileLock(path)
    assert not is_locked(path)
    with lock:
        assert is_locked(path)
        os.fstat(lock.fileno())
    assert not lock.held
    assert not is_locked(path)
    assert os.path.exists(path)


def test_it_is_released_when_the_block_fails(path: str) -> None:
    def fail() -> None:
        with FileLock(path):
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert not is_locked(path)


def test_a_missing_lock_file_is_nobodys_lock_and_is_not_made(path: str) -> None:
    assert not is_locked(path)
    assert holders(path) == []
    assert not os.path.exists(path)


@pytest.mark.parametrize("umask", [0o000, 0o077])
def test_a_new_lock_file_has_its_mode_and_an_old_one_keeps_its_own(path: str, umask: int) -> None:
    before = os.umask(umask)
    try:
        for mode in (0o664, 0o600):
            with FileLock(path, mode=mode):
                assert os.stat(path).st_mode & 0o777 == 0o664
    finally:
        os.umask(before)


def test_a_symlink_is_no_lock_file(path: str, put: Put) -> None:
    os.symlink(put("elsewhere", ""), path)
    with pytest.raises(OSError, match="symbolic links"):
        FileLock(path).acquire(wait=0)


def test_a_reader_of_the_file_may_share_but_not_have_it_alone(path: str, put: Put, apart: Apart) -> None:
    os.chmod(put("lock", ""), 0o444)
    apart.as_nobody(lambda: FileLock(path).acquire(shared=True, wait=0))
    if os.geteuid() == 0:
        with pytest.raises(PermissionError):
            apart.as_nobody(lambda: FileLock(path).acquire(wait=0))


def test_wait_0_fails_at_once_and_names_the_holder(path: str) -> None:
    with held(path) as pid:
        told: list[Waiting] = []
        with pytest.raises(LockedError) as caught:
            FileLock(path, what="the prefix").acquire(wait=0, on_wait=told.append, announce_after=0)
        assert caught.value.message.startswith(f"the prefix is locked by process {pid} (")
        assert caught.value.exit_code == 4
        assert "--wait" in caught.value.hint
        assert told == []
        assert "shipway lock" not in names_of_threads()


def names_of_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate()]


def test_a_killed_holder_frees_it(path: str) -> None:
    with held(path) as pid:
        assert is_locked(path)
        end(pid)
        FileLock(path).acquire(wait=0)


def test_who_waits_gets_it_when_the_holder_is_killed(path: str) -> None:
    with held(path) as pid:
        told: list[Waiting] = []

        def kill(waiting: Waiting) -> None:
            told.append(waiting)
            end(pid)

        lock = FileLock(path, what="the prefix")
        lock.acquire(on_wait=kill, announce_after=0)
        assert lock.held
        assert [(w.what, [h.pid for h in w.holders]) for w in told] == [("the prefix", [pid])]
        assert "shipway lock" not in names_of_threads()
        lock.release()
    assert not is_locked(path)


def test_the_holder_is_named_again_and_again(path: str) -> None:
    with held(path) as pid:
        since: list[float] = []

        def listen(waiting: Waiting) -> None:
            since.append(waiting.since)
            if len(since) == 3:
                end(pid)

        FileLock(path).acquire(on_wait=listen, announce_after=0, repeat=0.01)
        assert since == sorted(since)
        assert since[0] >= 0


def test_a_wait_that_is_over_names_the_holder_and_leaves_nothing_behind(path: str) -> None:
    with held(path) as pid:
        assert f"process {pid} " in refusal(path, wait=0.01).message
        end(pid)
        with FileLock(path):
            assert [holder.pid for holder in holders(path)] == [os.getpid()]
    for thread in threading.enumerate():
        if thread.name == "shipway lock":
            thread.join()
    assert not is_locked(path)


def test_a_process_that_gave_up_never_keeps_the_lock(path: str) -> None:
    """The thread that it left behind gives the lock back, also where a forked child shares its descriptor."""

    def give_up(say: Say) -> None:
        with pytest.raises(LockedError):
            FileLock(path).acquire(wait=0.01)
        heir = fork()
        if heir:
            say(str(heir))
        signal.pause()

    with held(path) as pid, child(give_up) as (_, said):
        heir = int(said())
        end(pid)
        try:
            FileLock(path).acquire(wait=30)
        finally:
            os.kill(heir, signal.SIGKILL)


def test_the_living_child_of_a_holder_that_is_gone_is_named(path: str) -> None:
    def hand_on(say: Say) -> None:
        FileLock(path).acquire()
        heir = fork()
        if heir:
            say(str(heir))
        else:
            signal.pause()

    with child(hand_on) as (first, said):
        heir = int(said())
        os.waitpid(first, 0)
        try:
            assert [holder.pid for holder in holders(path)] == [heir]
            assert f"process {heir} (" in refusal(path).message
        finally:
            os.kill(heir, signal.SIGKILL)
        FileLock(path).acquire(wait=30)


def test_a_stopped_holder_is_told_as_stopped(path: str) -> None:
    with held(path) as pid:
        os.kill(pid, signal.SIGSTOP)
        os.waitpid(pid, os.WUNTRACED)
        error = refusal(path)
        assert error.message.endswith("which is stopped")
        assert f"kill -CONT {pid}" in error.hint


def test_a_holder_is_described(path: str) -> None:
    with held(path) as pid:
        (holder,) = holders(path)
        assert holder.pid == pid
        assert "py" in holder.command
        assert holder.state == "running"
        assert 0 < holder.started <= time.time() + 1
        assert holder.user in str(holder)


def test_the_holder_of_another_user_is_named(path: str, apart: Apart) -> None:
    with held(path) as pid:
        os.chmod(path, 0o666)
        assert apart.as_nobody(lambda: [holder.pid for holder in holders(path)]) == [pid]
        with pytest.raises(LockedError, match=f"process {pid} "):
            apart.as_nobody(lambda: FileLock(path).acquire(wait=0))


def test_a_holder_nobody_can_see_is_said_to_be_so(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shipway.fs.lock.holders", lambda path: [])
    with held(path):
        error = refusal(path)
    assert "cannot be seen" in error.message
    assert "another host" in error.hint


def test_ctrl_c_gets_through_to_who_waits(path: str) -> None:
    def wait(say: Say) -> None:
        try:
            FileLock(path).acquire(on_wait=lambda waiting: say("waiting"), announce_after=0)
        except KeyboardInterrupt:
            say("interrupted")
        signal.pause()

    with held(path) as holder, child(wait) as (waiter, said):
        assert said() == "waiting"
        os.kill(waiter, signal.SIGINT)
        assert said() == "interrupted"
        assert [h.pid for h in holders(path)] == [holder]
        end(holder)
        FileLock(path).acquire(wait=30)


def test_shared_holders_get_on_and_are_all_named(path: str) -> None:
    with held(path, shared=True) as a, held(path, shared=True) as b:
        with pytest.raises(LockedError) as caught:
            FileLock(path).acquire(wait=0)
        assert sorted(holder.pid for holder in holders(path)) == sorted([a, b])
        assert f"process {a} " in caught.value.message
        assert f"process {b} " in caught.value.message
        FileLock(path).acquire(shared=True, wait=0)


def test_a_shared_lock_waits_for_the_exclusive_one(path: str) -> None:
    with held(path) as pid:
        with pytest.raises(LockedError):
            FileLock(path).acquire(shared=True, wait=0)
        FileLock(path).acquire(shared=True, on_wait=lambda _: end(pid), announce_after=0)


def test_two_objects_of_one_process_exclude_each_other(path: str) -> None:
    with FileLock(path):
        assert f"process {os.getpid()} " in refusal(path).message
        assert f"process {os.getpid()} " in refusal(path, wait=0.01).message


def test_one_object_is_not_locked_twice(path: str) -> None:
    with FileLock(path) as lock, pytest.raises(RuntimeError, match="already"):
        lock.acquire()


def test_a_forked_child_does_not_release_its_parents_lock(path: str, apart: Apart) -> None:
    with FileLock(path) as lock:
        apart(lock.release)
        assert is_locked(path)


def test_a_lock_file_that_was_removed_meanwhile_is_not_what_is_locked(path: str) -> None:
    with held(path) as pid:

        def replace(_: Waiting) -> None:
            os.unlink(path)
            end(pid)

        lock = FileLock(path)
        lock.acquire(on_wait=replace, announce_after=0)
        assert os.path.samestat(os.stat(path), os.fstat(lock.fileno()))
        assert is_locked(path)
        lock.release()


def test_a_file_system_without_locks_is_told(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(descriptor: int, operation: int) -> None:
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr("fcntl.flock", unknown)
    with pytest.raises(ShipwayError, match="no locks"):
        FileLock(path).acquire()


def test_only_one_at_a_time_gets_in(path: str, put: Put) -> None:
    counter, rounds = Path(put("counter", "0")), 50

    def count(say: Say) -> None:
        for _ in range(rounds):
            with FileLock(path):
                counter.write_text(str(int(counter.read_text()) + 1))
        say("done")

    with child(count) as (_, a), child(count) as (_, b), child(count) as (_, c):
        assert [a(), b(), c()] == ["done"] * 3
    assert counter.read_text() == str(3 * rounds)


def test_whatever_else_somebody_has_open_holders_are_found(path: str, area: str) -> None:
    """The kernel does not tell paths that are longer than a page."""

    def lose_oneself(say: Say) -> None:
        os.chdir(area)
        for _ in range(25):
            os.mkdir("d" * 200)
            os.chdir("d" * 200)
        descriptor = os.open("file", os.O_CREAT | os.O_RDWR)
        say("open")
        signal.pause()
        os.close(descriptor)

    with child(lose_oneself) as (_, said), held(path) as pid:
        assert said() == "open"
        assert [holder.pid for holder in holders(path)] == [pid]


# -- locks of fcntl(2) on parts of a file ------------------------------------------------------------------------------


@contextmanager
def part_held(path: str, how: int, start: int, length: int, command: int = fcntl.F_SETLK) -> Iterator[int]:
    """A child that holds some bytes: its pid.  `how` is F_RDLCK or F_WRLCK."""

    def hold(say: Say) -> None:
        wanted = struct.pack("hhqqi4x", how, os.SEEK_SET, start, length, 0)
        fcntl.fcntl(os.open(path, os.O_RDWR), command, wanted)
        say("held")
        signal.pause()

    with child(hold) as (pid, said):
        assert said() == "held"
        yield pid


def pids(path: str, first: int, last: int, *, alone: bool = False) -> list[int]:
    return [holder.pid for holder in range_holders(path, first, last, alone=alone)]


def test_who_holds_a_part_of_a_file_is_found_by_the_part(put: Put) -> None:
    path = put("file", "content")
    with part_held(path, fcntl.F_RDLCK, 10, 5) as reader, part_held(path, fcntl.F_WRLCK, 100, 0) as writer:
        assert pids(path, 0, 9) == pids(path, 15, 99) == []
        assert pids(path, 0, 10) == pids(path, 14, 20) == [reader]
        assert pids(path, 1 << 40, 1 << 41) == [writer]
        assert pids(path, 0, 100) == sorted([reader, writer])
        assert pids(path, 0, 100, alone=True) == [writer]


def test_who_asks_is_no_holder_and_keeps_what_it_holds(put: Put, apart: Apart) -> None:
    path = put("file", "content")
    with open(path, "r+b") as file:
        fcntl.lockf(file, fcntl.LOCK_EX)
        assert pids(path, 0, 10) == []
        mine = os.getpid()
        assert apart(lambda: pids(path, 0, 10)) == [mine]


def test_a_lock_of_an_open_description_is_found_among_descriptors(put: Put) -> None:
    path = put("file", "content")
    with part_held(path, fcntl.F_RDLCK, 0, 10, fcntl.F_OFD_SETLK) as pid:
        assert pids(path, 0, 10) == [pid]


def test_another_user_s_lock_on_a_part_is_named(put: Put, apart: Apart) -> None:
    path = put("file", "content")
    with part_held(path, fcntl.F_RDLCK, 0, 10) as pid:
        assert apart.as_nobody(lambda: pids(path, 0, 10)) == [pid]


def test_holders_are_found_on_an_overlay_where_stat_tells_another_inode(area: str, apart: Apart) -> None:
    """In a lower layer of another file system the kernel's own numbers are not those of stat(2)."""
    for name in ("lower", "upper"):
        os.mkdir(f"{area}/{name}")
    there, options = f"{area}/there", f"lowerdir={area}/lower,upperdir={area}/upper,workdir={area}/work"

    def found() -> tuple[list[int], list[int], list[int]]:
        with open(f"{there}/file", "rb") as file:
            fcntl.lockf(file, fcntl.LOCK_SH, 10)
            fcntl.flock(file, fcntl.LOCK_SH)
            seen = Apart()(lambda: (pids(f"{there}/file", 0, 10), [h.pid for h in holders(f"{there}/file")]))
        return (*seen, [os.getpid()])

    mounts = [
        ["mount", "-t", "tmpfs", "tmpfs", f"{area}/lower"],
        ["sh", "-c", f"echo content > {area}/lower/file; mkdir {area}/work {there}"],
        ["mount", "-t", "overlay", "overlay", "-o", options, there],
    ]
    by_range, by_flock, mine = apart.under_mounts(mounts, found)
    assert by_range == mine
    assert by_flock[:1] == mine


def test_polling_tells_once_and_names_who_is_in_the_way_when_the_time_is_over() -> None:
    told: list[Waiting] = []
    us = [describe(os.getpid())]
    with pytest.raises(LockedError, match=f"^it is locked by process {os.getpid()} "):
        poll(lambda: False, Terms("it", 1.2, told.append), lambda: us, 0.01)
    assert [(waiting.what, waiting.holders) for waiting in told] == [("it", tuple(us))]
    answers = iter([False, True])
    poll(lambda: next(answers), Terms("it", 0.0), list, 0.01)
