"""The program that stands between Shipway and the commands of a build: it starts them apart, waits for them, leaves none behind.

It is run by `fs.apart` as a process of its own, since only a process with a single thread can leave a user namespace, and since
the process that runs Shipway shall stay where it is.  It is two processes:

    Shipway ── control ── keeper ── pulse ── inner ── the commands, and whatever they start
                          watches            goes apart, runs the commands one after the other, adopts orphans

`control` is a socket: the keeper reads from it what is to be done, and writes what came of it.  When its other end is closed, for
whatever reason, the keeper kills everything and ends.  `pulse` is a pipe that only `inner` holds: its end is the end of `inner`.

No process outlives the commands.  With a process namespace `inner` is its first process, and the kernel kills all others with it;
`inner` itself dies with the keeper.  Without one, whatever loses its parent becomes a child of `inner`, or, if that is gone too,
of the keeper, and both kill all their descendants.  Only a keeper that is itself killed by SIGKILL leaves some, and only then.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import select
import signal
import socket
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NoReturn

from shipway.fs import namespaces, native
from shipway.fs.process import command_of, descendants

GRACE = 1.0
"""Seconds that processes have which are still there when the last command has ended: a `tee` that has to write its last lines."""

NOT_FOUND, NOT_RUN = 127, 126

_OF_THE_TERMINAL = (signal.SIGINT, signal.SIGQUIT, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU)

_TOLD, _LINE = 20, 200
"""So many processes that were left are told, and so much of the command line of each."""


class _StepError(Exception):
    """A step of going apart was refused."""

    def __init__(self, step: str, error: OSError) -> None:
        super().__init__(step)
        self.report = {"step": step, "errno": error.errno or 0, "error": error.strerror or str(error)}


def main() -> NoReturn:
    """What `fs.apart` starts; the descriptor of `control` is the first argument."""
    control = socket.socket(fileno=int(sys.argv[1]))
    control.set_inheritable(False)
    orders = json.loads(_first_line(control))
    _reset_signals()
    namespaces.adopt_orphans()
    try:
        _leave(orders["apart"])
    except _StepError as error:
        _answer(control, error.report)
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        control.close()
        os.close(reader)
        _inner(orders, writer)
    os.close(writer)
    _answer(control, _watch(control, reader, child))


def _first_line(control: socket.socket) -> bytes:
    text = b""
    while not text.endswith(b"\n"):
        part = control.recv(1 << 16)
        if not part:
            os._exit(0)
        text += part
    return text


def _reset_signals() -> None:
    """As a program expects them, whatever Shipway was started with, but for what the terminal sends: that is for the commands.

    No core dumps beside the sources.
    """
    for number in set(signal.Signals) - {signal.SIGKILL, signal.SIGSTOP}:
        signal.signal(number, signal.SIG_IGN if number in _OF_THE_TERMINAL else signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    os.umask(0o022)


def _answer(control: socket.socket, report: Mapping[str, Any]) -> NoReturn:
    with contextlib.suppress(OSError):
        control.sendall(json.dumps(report).encode())
    os._exit(0)


# -- the keeper -----------------------------------------------------------------------------------------------------


def _watch(control: socket.socket, pulse: int, child: int) -> Mapping[str, Any]:
    """Wait for the end of `inner`, or of whoever started us.  Afterwards nothing is left of what was started."""
    text = b""
    poll = select.poll()
    for descriptor in (control.fileno(), pulse):
        poll.register(descriptor, select.POLLIN)
    while True:
        if control.fileno() in dict(poll.poll()):
            os.kill(child, signal.SIGKILL)
            break
        part = os.read(pulse, 1 << 16)
        if not part:
            break
        text += part
    _, status = os.waitpid(child, 0)
    _end_all()
    if text:
        return dict(json.loads(text))
    return {"step": "keep", "errno": 0, "error": f"ended by {os.waitstatus_to_exitcode(status)}"}


def _end_all() -> None:
    """Kill and reap every descendant.  They may fork meanwhile: what is new is found the next time round."""
    with contextlib.suppress(ChildProcessError):
        while True:
            for pid in descendants(os.getpid()):
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGKILL)
            os.wait()


# -- inner ----------------------------------------------------------------------------------------------------------


def _inner(orders: Mapping[str, Any], pulse: int) -> NoReturn:
    native.die_with_parent()
    namespaces.adopt_orphans()
    try:
        _enter(orders["apart"])
        report = _run_all(orders)
    except _StepError as error:
        report = error.report
    native.write_all(pulse, json.dumps(report).encode())
    os._exit(0)


def _run_all(orders: Mapping[str, Any]) -> dict[str, Any]:
    """Run commands until one fails.  The usage is that of everything that was started, and has ended by now."""
    begun = time.monotonic()
    statuses = [0]
    for directory, words in orders["commands"]:
        statuses.append(_run(directory, words, orders))
        if statuses[-1]:
            break
    left = _settle()
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = {"wall": time.monotonic() - begun, "user": used.ru_utime, "system": used.ru_stime, "peak": used.ru_maxrss}
    return {"status": statuses[-1], "number": max(len(statuses) - 2, 0), "left": left, **spent}


def _run(directory: str, words: Sequence[str], orders: Mapping[str, Any]) -> int:
    """Exit status, or the negative number of a signal."""
    child = os.fork()
    if child == 0:
        if orders["terminal"]:
            _take_terminal()
        _become(directory, words, orders["environment"])
    while True:
        ended, status = os.wait()
        if ended == child:
            return os.waitstatus_to_exitcode(status)


def _take_terminal() -> None:
    """Be in the foreground, in a group of its own: a shell wants to know a group that it can give the terminal back to."""
    with contextlib.suppress(OSError):
        os.setpgid(0, 0)
        os.tcsetpgrp(0, os.getpid())


def _become(directory: str, words: Sequence[str], environment: Mapping[str, str]) -> NoReturn:
    """The command itself, or an exit status as of a shell that cannot start it."""
    native.die_with_parent()
    for number in _OF_THE_TERMINAL:
        signal.signal(number, signal.SIG_DFL)
    what = directory
    try:
        os.chdir(directory)
        what = words[0]
        os.execvpe(what, list(words), environment)
    except OSError as error:
        missing = isinstance(error, FileNotFoundError)
        native.write_all(2, os.fsencode(f"{what}: {'not found' if missing else error.strerror}\n"))
        os._exit(NOT_FOUND if missing else NOT_RUN)


def _settle() -> list[str]:
    """Let what still runs come to its end, then kill it; the command lines of what had to be killed."""
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGCHLD])
    until = time.monotonic() + GRACE
    while _reap() and (rest := until - time.monotonic()) > 0:
        signal.sigtimedwait([signal.SIGCHLD], rest)
    left = [command_of(pid)[:_LINE] for pid in descendants(os.getpid())[:_TOLD]]
    _end_all()
    return left


def _reap() -> bool:
    """Whether there are children, once those that have ended are gone."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return False
    return True


# -- going apart ----------------------------------------------------------------------------------------------------


def _leave(apart: Mapping[str, Any]) -> None:
    """Leave the namespaces that are not to be shared.  A user namespace comes first, as it allows the others."""
    flags = namespaces.MOUNTS | namespaces.IPC if apart else 0
    kinds = {"user": namespaces.USERS, "processes": namespaces.PROCESSES, "network": namespaces.NETWORK}
    flags |= sum(flag for name, flag in kinds.items() if apart.get(name))
    uid, gid = os.geteuid(), os.getegid()
    with _step("unshare"):
        if flags:
            namespaces.unshare(flags)
        if apart.get("user"):
            namespaces.keep_user(uid, gid)


def _enter(apart: Mapping[str, Any]) -> None:
    """Make the mounts.  What is to stay writable is bound to itself first, since only whole mounts can be read-only."""
    if not apart:
        return
    with _step("mount"):
        namespaces.keep_mounts_private()
    if apart["read_only"]:
        with _step("read-only"):
            _write_only_to(apart["writable"])
    inside = [(path, os.open(path, os.O_PATH | os.O_CLOEXEC)) for path in apart["inside"]]
    if apart["overlay"]:
        with _step("overlay"):
            namespaces.mount_overlay(apart["prefix"], **apart["overlay"])
        with _step("inside"):
            for path, descriptor in inside:
                namespaces.bind(f"/proc/self/fd/{descriptor}", path)
    elif apart["read_only"] and apart["prefix"] != "/":
        with _step("read-only"):
            _protect(apart["prefix"], apart["writable"])
    if apart["processes"]:
        with _step("processes"):
            namespaces.mount_processes()
    if apart["network"]:
        with _step("network"):
            namespaces.raise_loopback()


def _write_only_to(paths: Sequence[str]) -> None:
    for path in paths:
        namespaces.bind(path, path)
    namespaces.make_read_only("/")
    for path in paths:
        namespaces.make_writable(path)


def _protect(prefix: str, writable: Sequence[str]) -> None:
    """It may lie in a place that is writable, and a place that is writable may lie in it."""
    namespaces.bind(prefix, prefix)
    namespaces.make_read_only(prefix)
    for path in writable:
        if path.startswith(f"{prefix}/"):
            namespaces.make_writable(path)


@contextlib.contextmanager
def _step(name: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise _StepError(name, error) from error
