"""Work in forked children: results in order, errors as themselves, and nobody left behind."""

from __future__ import annotations

import errno
import os
import select
import signal
import threading
import time
from collections.abc import Callable
from functools import partial

import pytest

from shipway.errors import ShipwayError
from shipway.fs.pool import WorkerError, WorkerTraceback, run
from tests.fs.apart import child

pytestmark = pytest.mark.alone

HERE = os.getpid()


@pytest.fixture(autouse=True)
def _without_threads() -> None:
    if threading.active_count() > 1:
        pytest.skip("the pool forks only where there are no threads")


def double(number: int) -> int:
    return number * 2


def only_in_children(action: Callable[[int], object], number: int) -> tuple[int, int]:
    """The pid beside the number; what happens in children happens before."""
    if os.getpid() != HERE:
        action(number)
    return os.getpid(), number


def nobody_is_left() -> bool:
    try:
        os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        return True
    return False


def meet(pipes: list[tuple[int, int]], number: int) -> int:
    """Returns only when another process is here as well."""
    os.write(pipes[1 - number][1], b"!")
    assert select.select([pipes[number][0]], [], [], 30)[0]
    return os.getpid()


@pytest.mark.parametrize("jobs", [0, 1, 2, 3, 8])
@pytest.mark.parametrize("count", [0, 1, 2, 7, 999, 1000, 1001, 2500])
def test_results_come_in_the_order_of_the_items(jobs: int, count: int) -> None:
    assert list(run(double, range(count), jobs)) == [double(n) for n in range(count)]
    assert nobody_is_left()


def test_order_stays_whoever_is_slow() -> None:
    def wait(number: int) -> int:
        time.sleep(0.02 if number % 5 == 0 else 0)
        return number

    assert list(run(wait, iter(range(40)), 3)) == list(range(40))


def test_two_jobs_are_two_processes_and_one_is_this() -> None:
    pipes = [os.pipe(), os.pipe()]
    assert len({*run(partial(meet, pipes), range(2), 2)} - {os.getpid()}) == 1
    for reader, writer in pipes:
        os.close(reader)
        os.close(writer)


def test_one_job_or_one_item_needs_no_other_process() -> None:
    assert {*run(lambda _: os.getpid(), range(5), 1)} == {os.getpid()}
    assert {*run(lambda _: os.getpid(), range(1), 4)} == {os.getpid()}


def test_where_there_are_threads_nothing_is_forked() -> None:
    done = threading.Event()
    thread = threading.Thread(target=done.wait)
    thread.start()
    try:
        assert {*run(lambda _: os.getpid(), range(50), 4)} == {os.getpid()}
    finally:
        done.set()
        thread.join()


def test_each_process_prepares_once() -> None:
    prepared: list[int] = []

    def count(number: int) -> tuple[int, int]:
        return os.getpid(), len(prepared)

    for jobs in (1, 3):
        prepared.clear()
        found = list(run(count, range(300), jobs, initial=lambda: prepared.append(1)))
        assert {times for _, times in found} == {1}


class OddError(Exception):
    """Cannot be made again from its arguments."""

    def __init__(self, a: int, b: int) -> None:
        super().__init__(f"{a} and {b}")


def fail(error: Callable[[], Exception], number: int) -> int:
    if number == 30:
        raise error()
    return number


@pytest.mark.parametrize("jobs", [1, 2, 4])
def test_an_exception_comes_as_itself_when_its_turn_comes(jobs: int) -> None:
    def missing() -> Exception:
        return FileNotFoundError(errno.ENOENT, "no such thing", "/some/where", None, "/else/where")

    results = run(partial(fail, missing), range(100), jobs)
    assert [next(results) for _ in range(30)] == list(range(30))
    with pytest.raises(FileNotFoundError) as caught:
        next(results)
    error = caught.value
    assert (error.errno, error.filename, error.filename2) == (errno.ENOENT, "/some/where", "/else/where")
    assert nobody_is_left()
    with pytest.raises(StopIteration):
        next(results)


def in_a_child(function: Callable[[int], object]) -> list[object]:
    """What a function gave that only a child works on: this process waits until one does."""
    reader, writer = os.pipe()

    def work(number: int) -> object:
        if os.getpid() != HERE:
            os.write(writer, b"!")
            return function(number)
        assert select.select([reader], [], [], 30)[0]
        return None

    try:
        return [result for result in run(work, range(2), 2) if result is not None]
    finally:
        os.close(reader)
        os.close(writer)


def test_an_exception_for_users_keeps_hint_and_details_and_says_where_it_was_raised() -> None:
    with pytest.raises(ShipwayError) as caught:
        in_a_child(lambda _: fail(lambda: ShipwayError("no", hint="do", details=["a", "b"]), 30))
    error = caught.value
    assert (error.message, error.hint, error.details) == ("no", "do", ("a", "b"))
    assert isinstance(error.__cause__, WorkerTraceback)
    assert "in fail" in str(error.__cause__)


@pytest.mark.parametrize("unsendable", [lambda _: lambda: None, lambda n: fail(lambda: OddError(1, 2), 30)])
def test_what_cannot_be_sent_is_told(unsendable: Callable[[int], object]) -> None:
    with pytest.raises(WorkerError, match="cannot be sent") as caught:
        in_a_child(unsendable)
    assert isinstance(caught.value.__cause__, WorkerTraceback)
    assert nobody_is_left()


@pytest.mark.parametrize("death", [lambda _: os.kill(os.getpid(), signal.SIGKILL), lambda _: os._exit(0)])
def test_a_child_that_dies_is_told(death: Callable[[int], object]) -> None:
    with pytest.raises(
        WorkerError, match=r"worker process (was killed by SIGKILL|ended with status 0) before its work"
    ):
        in_a_child(death)
    assert nobody_is_left()


def test_a_child_that_exits_never_runs_on_as_this_process() -> None:
    def leave(_: int) -> object:
        raise SystemExit(0)

    with pytest.raises(WorkerError, match="ended with status 1"):
        in_a_child(leave)


def test_who_has_seen_enough_leaves_no_children() -> None:
    results = run(partial(only_in_children, lambda n: time.sleep(60) if n > 500 else None), range(1000), 3)
    next(results)
    results.close()  # type: ignore[attr-defined]
    assert nobody_is_left()


def test_ctrl_c_is_this_process_own_affair() -> None:
    def go_on(_: int) -> str:
        os.kill(os.getpid(), signal.SIGINT)
        return "went on"

    assert {*in_a_child(go_on)} == {"went on"}

    def interrupted(number: int) -> int:
        if os.getpid() == HERE:
            raise KeyboardInterrupt
        return number

    with pytest.raises(KeyboardInterrupt):
        list(run(interrupted, range(1000), 2))
    assert nobody_is_left()


def test_children_do_not_outlive_their_parent() -> None:
    def supervise(say: Callable[[str], None]) -> None:
        def stay(_: int) -> None:
            say(str(os.getpid()))
            signal.pause()

        list(run(stay, range(2), 2))

    with child(supervise) as (parent, said):
        pids = {int(said()), int(said())}
        (orphan,) = pids - {parent}
        handle = os.pidfd_open(orphan)
        os.kill(parent, signal.SIGKILL)
        assert select.select([handle], [], [], 30)[0]
        os.close(handle)


def test_big_results_come_through() -> None:
    size = 5_000_000
    assert [len(data) for data in run(lambda n: bytes([n]) * size, range(6), 3)] == [size] * 6


def test_no_descriptor_is_left_open() -> None:
    before = os.listdir("/proc/self/fd")
    list(run(double, range(100), 4))
    results = run(double, range(100), 4)
    next(results)
    del results
    assert len(os.listdir("/proc/self/fd")) == len(before)


def test_where_no_process_can_be_made_the_work_is_done_here(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> int:
        raise BlockingIOError(errno.EAGAIN, "no more processes")

    before = os.listdir("/proc/self/fd")
    monkeypatch.setattr("os.fork", refuse)
    assert list(run(double, range(100), 4)) == [double(n) for n in range(100)]
    assert len(os.listdir("/proc/self/fd")) == len(before)


def test_signals_are_dealt_with_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, [])
    handler = signal.getsignal(signal.SIGINT)
    list(run(double, range(10), 2))
    assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == mask
    assert signal.getsignal(signal.SIGINT) is handler
