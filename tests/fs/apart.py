"""Children: to work as somebody else, under other mounts, or to be killed."""

from __future__ import annotations

import ctypes
import os
import pickle
import signal
import subprocess
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import NoReturn, TypeVar

import pytest

T = TypeVar("T")

NOBODY = 65534
CLONE_NEWNS = 0x00020000


def fork() -> int:
    """A fork that doesn't mind the test runner's threads; whatever happens, the child is gone after a minute."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        pid = os.fork()
    if pid == 0:
        signal.alarm(60)
    return pid


class Apart:
    """Runs a function in a forked child and hands back what it returned, or raises what it raised."""

    def __call__(self, function: Callable[[], T], *prepare: Callable[[], object]) -> T:
        reader, writer = os.pipe()
        pid = fork()
        if pid == 0:
            _tell(writer, function, prepare)
        os.close(writer)
        with open(reader, "rb") as answer:
            data = answer.read()
        os.waitpid(pid, 0)
        result, error, skipped = pickle.loads(data)
        if skipped:
            pytest.skip(skipped)
        if error is not None:
            raise error
        return result  # type: ignore[no-any-return]

    def as_nobody(self, function: Callable[[], T]) -> T:
        """As a user who may do nothing special."""
        if os.geteuid() != 0:
            return self(function)
        return self(function, lambda: os.setgroups([]), lambda: os.setgid(NOBODY), lambda: os.setuid(NOBODY))

    def under_mounts(self, commands: Sequence[Sequence[str]], function: Callable[[], T]) -> T:
        """With mounts of its own, made by these commands; they are gone afterwards."""
        if os.geteuid() != 0:
            pytest.skip("needs root, to mount")
        return self(function, _unshare_mounts, *(partial(_mount, command) for command in commands))


def _tell(writer: int, function: Callable[[], object], prepare: Sequence[Callable[[], object]]) -> NoReturn:
    """What a child does all its life: it must not come back as a second test run."""
    try:
        os.write(writer, pickle.dumps(_outcome(function, prepare)))
    finally:
        os._exit(0)


def _outcome(
    function: Callable[[], object], prepare: Sequence[Callable[[], object]]
) -> tuple[object, Exception | None, str]:
    try:
        for preparation in prepare:
            preparation()
        return function(), None, ""
    except pytest.skip.Exception as skipped:
        return None, None, str(skipped)
    except Exception as error:
        traceback.print_exc(file=sys.stderr)
        return None, error, ""


def _unshare_mounts() -> None:
    if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNS):
        pytest.skip("needs mount namespaces")
    _mount(["mount", "--make-rprivate", "/"])


def _mount(command: Sequence[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"cannot mount here: {done.stderr.strip()}")


@contextmanager
def child(work: Callable[[Callable[[str], None]], object]) -> Iterator[tuple[int, Callable[[], str]]]:
    """A forked child that runs `work(say)`: its pid, and a function that reads the next line it said ("" at its end).

    It is killed and reaped at the end, unless it has been already.
    """
    reader, writer = os.pipe()
    pid = fork()
    if pid == 0:
        _live(work, writer)
    os.close(writer)
    try:
        with open(reader, encoding="utf-8") as said:
            yield pid, lambda: said.readline().strip()
    finally:
        end(pid)


def _live(work: Callable[[Callable[[str], None]], object], writer: int) -> None:
    try:
        work(lambda line: void(os.write(writer, f"{line}\n".encode())))
    except Exception:
        traceback.print_exc(file=sys.stderr)
    finally:
        os._exit(0)


def void(_: object) -> None:
    """What a function without a result makes of a result."""


def end(pid: int) -> None:
    """Kill and reap; nothing if that has been done."""
    try:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    except (ProcessLookupError, ChildProcessError):
        return
