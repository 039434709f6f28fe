"""An open prefix: its paths, its record, its file system, and how its owner wants things done."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from shipway.errors import ShipwayError, UsageError
from shipway.fs.lock import FileLock, Waiting
from shipway.fs.system import FileSystem
from shipway.model.event import Event, Listener, silent
from shipway.prefix.database import Database
from shipway.prefix.layout import STATE, Layout
from shipway.store.mode import LinkMode

CACHE_TAG = (
    b"Signature: 8a477f597d28d172789f06886806bc55\n"
    b"# Images of installed files, kept by shipway for repair and undo; a backup may leave them out.\n"
    b"# See https://bford.info/cachedir/\n"
)


@dataclass(frozen=True, slots=True)
class Options:
    """How a prefix is worked on.

    `wait` is how many seconds to wait for a lock (None: for ever).  `group` is the id of a group that shares the prefix.
    `keep` and `keep_bytes` are the undo horizon: so many transactions, and so much in their undo areas.
    `copied` are patterns (fnmatch) of paths that are never linked from the store.
    """

    wait: float | None = None
    jobs: int = field(default_factory=lambda: len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1)
    link: LinkMode = LinkMode.AUTO
    group: int | None = None
    keep: int = 20
    keep_bytes: int = 10 << 30
    copied: tuple[str, ...] = ()


class Site(NamedTuple):
    """An open prefix.  `database` may be read-only: then nothing can be changed."""

    layout: Layout
    database: Database
    fs: FileSystem
    options: Options
    listener: Listener = silent

    def tell(self, kind: str, text: str, **data: object) -> None:
        """Emit an event."""
        self.listener(Event(kind, text, data))

    def on_wait(self, waiting: Waiting) -> None:
        """Say for whom we wait, and since when (I8)."""
        who = ", ".join(
            f"process {h.pid} ({h.command or 'of another user'}){', which is stopped' if h.state == 'stopped' else ''}"
            for h in waiting.holders
        )
        text = f"waiting for {waiting.what}, held by {who or 'somebody who cannot be seen'}, for {waiting.since:.0f} s"
        pids = [h.pid for h in waiting.holders]
        self.tell("waiting", text, what=waiting.what, pids=pids, seconds=waiting.since)

    def prefix_lock(self) -> FileLock:
        """The lock of whoever commits."""
        return FileLock(self.layout.lock, mode=0o660 if self.options.group else 0o600, what=f"{self.layout.root}")

    def queue_lock(self) -> FileLock:
        """The lock of whoever comes next."""
        return FileLock(self.layout.queue, mode=0o660 if self.options.group else 0o600, what=f"{self.layout.root}")


def open_site(
    root: str,
    options: Options,
    listener: Listener = silent,
    fs: FileSystem | None = None,
) -> Site:
    """Open a prefix for whoever asks, with what rights he has.

    A writer finds the state directory made; a reader without write permission gets a record that can be read only.
    Raises UsageError if there is no such directory, ShipwayError if nothing was ever installed there and we may not write.
    """
    real = os.path.realpath(root)
    if not os.path.isdir(real):
        raise UsageError(f"{root} is not a directory", hint=f"mkdir {root}, or name another prefix with -p")
    layout, fs = Layout(real), fs or FileSystem()
    write = os.access(layout.state if os.path.isdir(layout.state) else real, os.W_OK | os.X_OK)
    if write:
        _make_state(layout, fs, options)
    elif not os.path.exists(layout.database):
        raise ShipwayError(f"nothing is installed in {root} by shipway, and you may not write there")
    write = write and os.access(layout.work, os.W_OK | os.X_OK)
    database = Database(layout.database, write=write, step=fs.step)
    if write and database.meta("id") is None:
        database.set_meta({"id": os.urandom(16).hex(), "root": real})
    return Site(layout, database, fs, options, listener)


def _make_state(layout: Layout, fs: FileSystem, options: Options) -> None:
    if os.path.exists(layout.database):
        return
    shared = 0o2770 if options.group else 0o755
    above = [layout.live("/".join(STATE.split("/")[: i + 1])) for i in range(len(STATE.split("/")))]
    for path in above:
        _ensure(fs, path, 0o755)
    for path in (layout.images, layout.work):
        _ensure(fs, path, shared | 0o755)
    for path in (layout.undo, layout.lost):
        _ensure(fs, path, 0o700 if not options.group else 0o2770)
    _ensure(fs, layout.leases, 0o755)
    if options.group:
        for path in (layout.state, layout.images, layout.work, layout.undo, layout.lost, layout.leases):
            fs.chown(path, -1, options.group)
            fs.chmod(path, 0o2775 if path not in (layout.undo, layout.lost) else 0o2770)
    if not os.path.exists(f"{layout.images}/CACHEDIR.TAG"):
        _once(lambda: fs.write_file(f"{layout.images}/CACHEDIR.TAG", CACHE_TAG, 0o644))


def _ensure(fs: FileSystem, path: str, mode: int) -> None:
    _once(lambda: fs.mkdir(path, mode))


def _once(make: Callable[[], None]) -> None:
    try:
        make()
    except FileExistsError:
        return
