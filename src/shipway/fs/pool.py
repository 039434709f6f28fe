"""Work on many items at once in forked children, results in order.

The children are forked for one call, so they have the items and everything else already: only indices
go to them, through one pipe from which every worker, this process among them, takes the next.
Results travel back pickled.  The price is one fork a job, about a millisecond each.

A child never gets out of here alive: it ends by `os._exit` whatever happens, is killed by the kernel
if its parent ends, and leaves Ctrl-C to the parent.
"""

from __future__ import annotations

import contextlib
import fcntl
import gc
import os
import pickle
import select
import signal
import struct
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Generic, NamedTuple, NoReturn, TypeVar

from shipway.errors import ShipwayError
from shipway.fs import libc as _loaded_before_forking  # noqa: F401
from shipway.fs import native

Item = TypeVar("Item")
Result = TypeVar("Result")

_TOKEN = struct.Struct("<I")
_MOST_TOKENS = 1000  # what fits into a pipe of one page, the smallest there is
_FRAME = struct.Struct("<IQ")
_DONE = 0xFFFFFFFF
_RESULT_PIPE = 1 << 20
_HELD_BACK = (signal.SIGINT, signal.SIGTERM)


class WorkerError(ShipwayError):
    """A worker process ended before its work was done."""


class WorkerTraceback(Exception):
    """The cause of an exception that came from a worker: where it was raised there, as text."""

    def __str__(self) -> str:
        return f"in a worker process:\n{self.args[0]}"


class _Share(NamedTuple):
    """What came of one token: the results, up to the first error."""

    results: list[Any]
    error: Exception | None


class _Start(NamedTuple):
    """What a child must know of its parent: pid, signal mask, and descriptors that are none of its business."""

    parent: int
    mask: Iterable[int]
    others: list[int]


def run(
    function: Callable[[Item], Result],
    items: Iterable[Item],
    jobs: int,
    *,
    initial: Callable[[], object] | None = None,
) -> Iterator[Result]:
    """`function` of every item, in the order of the items, worked on by `jobs` processes.

    Work begins when the first result is asked for; closing the iterator ends it.  An item should be
    worth a millisecond: make batches.  `initial` is called once in each process that works, before its
    first item.  Everything happens in this process where that is as good (one job, one item) or where a
    fork would be dangerous (there are threads).

    An exception of `function` is raised when its turn comes, as itself, with a WorkerTraceback as
    cause if it came from a child.  WorkerError if a child died.
    """
    work = list(items)
    children = min(jobs, len(work)) - 1
    if children < 1 or threading.active_count() > 1:
        return _inline(function, work, initial)
    return _forked(_Task(function, work, initial), children)


def _inline(
    function: Callable[[Item], Result], items: list[Item], initial: Callable[[], object] | None
) -> Iterator[Result]:
    if initial is not None and items:
        initial()
    for item in items:
        yield function(item)


class _Task(Generic[Item, Result]):
    """What is to be done: the items, in runs of `stride`, each called for by a token, the index of its first."""

    def __init__(
        self, function: Callable[[Item], Result], items: list[Item], initial: Callable[[], object] | None
    ) -> None:
        self.function = function
        self.items = items
        self.initial = initial
        self.stride = -(-len(items) // _MOST_TOKENS)

    def starts(self) -> range:
        return range(0, len(self.items), self.stride)

    def prepare(self) -> None:
        if self.initial is not None:
            self.initial()

    def work(self, start: int) -> _Share:
        results: list[Result] = []
        try:
            results.extend(map(self.function, self.items[start : start + self.stride]))
        except Exception as error:  # noqa: BLE001 - it is raised when its turn comes
            return _Share(results, error)
        return _Share(results, None)


def _forked(task: _Task[Item, Result], children: int) -> Iterator[Result]:
    tokens = _token_pipe(task)
    crew = _Crew(task, tokens)
    try:
        for _ in range(children):
            crew.hire()
        task.prepare()
        for start in task.starts():
            share = crew.share(start)
            yield from share.results
            if share.error is not None:
                raise share.error
    finally:
        crew.dismiss()
        os.close(tokens)


def _token_pipe(task: _Task[Any, Any]) -> int:
    """The reading end of a pipe that holds all tokens and then ends; each read of one token is atomic."""
    reader, writer = os.pipe()
    try:
        os.write(writer, b"".join(map(_TOKEN.pack, task.starts())))
    finally:
        os.close(writer)
    return reader


def _next_token(tokens: int) -> int | None:
    token = os.read(tokens, _TOKEN.size)
    return _TOKEN.unpack(token)[0] if token else None


class _Crew:
    """The children of one call, and what has been done but not yet asked for."""

    def __init__(self, task: _Task[Any, Any], tokens: int) -> None:
        self._task = task
        self._tokens = tokens
        self._children: dict[int, int] = {}  # reading end of its pipe -> pid
        self._busy = select.poll()
        self._working = 0
        self._shares: dict[int, _Share] = {}

    def hire(self) -> None:
        """Fork one child.  Where no more processes are allowed, those that are there do the work."""
        reader, writer = _result_pipe()
        try:
            with _signals_held_back() as mask, contextlib.suppress(BlockingIOError):
                start = _Start(os.getpid(), mask, [reader, *self._children])
                pid = os.fork()
                if pid == 0:
                    _be_child(self._task, self._tokens, writer, start)
                self._children[reader] = pid
                self._busy.register(reader, select.POLLIN)
                self._working += 1
        finally:
            os.close(writer)
            if reader not in self._children:
                os.close(reader)

    def share(self, start: int) -> _Share:
        """The share that begins at this item: working on others until it is there."""
        while start not in self._shares:
            token = _next_token(self._tokens)
            if token is not None:
                self._shares[token] = self._task.work(token)
            self._collect(0 if token is not None else None)
        return self._shares.pop(start)

    def _collect(self, timeout: int | None) -> None:
        if timeout is None and not self._working:
            raise WorkerError("worker processes ended before their work was done")
        for reader, _ in self._busy.poll(timeout):
            self._receive(reader)

    def _receive(self, reader: int) -> None:
        try:
            start, size = _FRAME.unpack(_read(reader, _FRAME.size))
            if start == _DONE:
                self._busy.unregister(reader)
                self._working -= 1
            else:
                self._shares[start] = _decode(_read(reader, size))
        except EOFError:
            raise self._death_of(reader) from None

    def _death_of(self, reader: int) -> WorkerError:
        os.close(reader)
        how = _reap(self._children.pop(reader))
        return WorkerError(
            f"a worker process {how} before its work was done",
            hint="a kernel that is short of memory kills processes: try fewer jobs",
        )

    def dismiss(self) -> None:
        """End and reap all children; those that have nothing left to do are ending by themselves."""
        with _signals_held_back():
            for reader, pid in self._children.items():
                if self._working:
                    os.kill(pid, signal.SIGKILL)
                os.close(reader)
            for pid in self._children.values():
                _reap(pid)
            self._children.clear()


@contextlib.contextmanager
def _signals_held_back() -> Iterator[Iterable[int]]:
    """No Ctrl-C between a fork and the note of it, nor before the last child is reaped.  Gives the mask before."""
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, _HELD_BACK)
    try:
        yield mask
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _result_pipe() -> tuple[int, int]:
    """A pipe that holds many results, so that a child rarely waits for its parent to fetch them."""
    reader, writer = os.pipe()
    with contextlib.suppress(PermissionError):
        fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, _RESULT_PIPE)
    return reader, writer


def _reap(pid: int) -> str:
    """Wait for a child and say how it ended."""
    try:
        _, status = os.waitpid(pid, 0)
    except ChildProcessError:
        return "ended"
    if os.WIFSIGNALED(status):
        return f"was killed by {signal.Signals(os.WTERMSIG(status)).name}"
    return f"ended with status {os.WEXITSTATUS(status)}"


def _read(descriptor: int, size: int) -> bytes:
    """Exactly `size` bytes from a pipe; EOFError if it ends before."""
    data = os.read(descriptor, size)
    if len(data) == size:
        return data
    parts, missing = [data], size - len(data)
    while missing:
        if not parts[-1]:
            raise EOFError
        parts.append(os.read(descriptor, missing))
        missing -= len(parts[-1])
    return b"".join(parts)


# in the child


def _be_child(task: _Task[Any, Any], tokens: int, results: int, start: _Start) -> NoReturn:
    """Work until there are no tokens left; never returns."""
    status = 1
    try:
        _settle_in(start)
        task.prepare()
        while (token := _next_token(tokens)) is not None:
            _write(results, _frame(token, task.work(token)))
        _write(results, _FRAME.pack(_DONE, 0))
        status = 0
    finally:
        os._exit(status)


def _settle_in(start: _Start) -> None:
    native.die_with_parent()
    if os.getppid() != start.parent:
        os._exit(1)
    gc.disable()
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, start.mask)
    for descriptor in start.others:
        os.close(descriptor)


def _frame(token: int, share: _Share) -> bytes:
    payload = _encode(share)
    return _FRAME.pack(token, len(payload)) + payload


def _encode(share: _Share) -> bytes:
    """A share as bytes; what cannot be pickled is replaced by an error that says so."""
    import traceback

    trace = "" if share.error is None else "".join(traceback.format_exception(share.error))
    try:
        payload = pickle.dumps((share.results, share.error, trace), pickle.HIGHEST_PROTOCOL)
        if share.error is not None:
            pickle.loads(payload)
    except Exception as error:  # noqa: BLE001 - pickle raises whatever the values' own methods do
        unsendable = WorkerError(f"what a worker process had to say cannot be sent: {error}")
        payload = pickle.dumps(([], unsendable, trace or traceback.format_exc()))
    return payload


def _decode(payload: bytes) -> _Share:
    results, error, trace = pickle.loads(payload)
    if error is not None:
        error.__cause__ = WorkerTraceback(trace)
    return _Share(results, error)


def _write(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
