"""An open prefix: its paths, its record, its file system, and how its owner wants things done."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from functools import partial
from itertools import accumulate
from typing import NamedTuple

from shipway.errors import CorruptError, ShipwayError, UsageError
from shipway.fs.found import everything
from shipway.fs.lock import FileLock, Terms, Waiting
from shipway.fs.mount import syncfs_reports_errors
from shipway.fs.system import FileSystem
from shipway.model.entry import join
from shipway.model.event import Event, Listener, silent
from shipway.prefix.connection import HINT
from shipway.prefix.database import Database
from shipway.prefix.layout import STATE, Layout
from shipway.store.mode import LinkMode

_PROCESSORS = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1

CACHE_TAG = (
    b"Signature: 8a477f597d28d172789f06886806bc55\n"
    b"# Images of installed files, kept by shipway for repair and undo; a backup may leave them out.\n"
    b"# See https://bford.info/cachedir/\n"
)


class Options(NamedTuple):
    """How a prefix is worked on.

    `wait` is how many seconds to wait for a lock (None: for ever).  `group` is the id of a group that shares the prefix; then what its
    owner may do the group may do too, but for what `umask` takes away.
    `keep` and `keep_bytes` are the undo horizon: so many transactions, and so much in their undo areas.
    `copied` are patterns (fnmatch) of paths that are never linked from the store.  `cache` is that of the user, whose
    depot wheels are linked from, "" for none.
    """

    wait: float | None = None
    jobs: int = _PROCESSORS
    link: LinkMode = LinkMode.AUTO
    group: int | None = None
    umask: int = 0o002
    keep: int = 20
    keep_bytes: int = 10 << 30
    copied: tuple[str, ...] = ()
    cache: str = ""


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
        tell_waiting(self.listener, waiting)

    def shared_mode(self, mode: int) -> int:
        """The mode of a file or directory that a package wants, as it is where a group shares the prefix."""
        if self.options.group is None:
            return mode
        return mode | ((mode & 0o700) >> 3 & ~self.options.umask)

    @property
    def private_mode(self) -> int:
        """The mode of a directory that only those who commit may look into."""
        return 0o700 if self.options.group is None else 0o2770

    @property
    def lock_mode(self) -> int:
        """The mode of a lock that only those who commit may open."""
        return 0o600 if self.options.group is None else 0o660

    def sync(self, descriptor: int, trees: Iterable[str], directories: Iterable[str]) -> None:
        """Have on disk what was written: the file system at once, and where that cannot be relied on each file too.

        `trees` are what was written, `directories` those in which names changed.  Errors are raised.
        """
        self.fs.sync(descriptor)
        if not syncfs_reports_errors(self.layout.state):
            from shipway.fs.pool import run

            written = [p for tree in trees for p in everything(tree) if not os.path.islink(p)]
            for _ in run(self.fs.flush, [*written, *filter(os.path.isdir, directories)], self.options.jobs):
                pass

    def prefix_lock(self) -> FileLock:
        """The lock of whoever commits."""
        return FileLock(self.layout.lock, mode=self.lock_mode, what=f"{self.layout.root}")

    def queue_lock(self) -> FileLock:
        """The lock of whoever comes next."""
        return FileLock(self.layout.queue, mode=self.lock_mode, what=f"{self.layout.root}")


def tell_waiting(listener: Listener, waiting: Waiting) -> None:
    """Emit the event for somebody who waits."""
    who = ", ".join(
        f"process {h.pid} ({h.command or 'of another user'}){', which is stopped' if h.state == 'stopped' else ''}"
        for h in waiting.holders
    )
    text = f"waiting for {waiting.what}, held by {who or 'somebody who cannot be seen'}, for {waiting.since:.0f} s"
    pids = [h.pid for h in waiting.holders]
    listener(Event("waiting", text, {"what": waiting.what, "pids": pids, "seconds": waiting.since}))


def record_terms(layout: Layout, options: Options, listener: Listener) -> Terms:
    """On what terms the record is waited for."""
    return Terms(f"the record of {layout.root}", options.wait, partial(tell_waiting, listener))


def open_site(
    root: str, options: Options, listener: Listener = silent, fs: FileSystem | None = None, *, write: bool = True
) -> Site:
    """Open a prefix for whoever asks, with what rights he has.

    A writer finds the state directory made; a reader without write permission gets a record that can be read only.
    Without `write` everybody is such a reader; what a dead process left half written is then read in a private copy.
    Raises UsageError if there is no such directory, ShipwayError if nothing was ever installed there and we may not write,
    LockedError if somebody holds the record.
    """
    real = os.path.realpath(root)
    if not os.path.isdir(real):
        raise UsageError(f"{root} is not a directory", hint=f"mkdir {root}, or name another prefix with -p")
    layout, fs = Layout(real), fs or FileSystem()
    write = write and os.access(layout.state if os.path.isdir(layout.state) else real, os.W_OK | os.X_OK)
    _refuse_lost(layout)
    made = _make_state(layout, fs, options) if write else ()
    if not write and not os.path.exists(layout.database):
        raise ShipwayError(f"nothing is installed in {root} by shipway, and you may not write there")
    write = write and os.access(layout.work, os.W_OK | os.X_OK)
    database = Database(layout.database, record_terms(layout, options, listener), write=write, step=fs.step)
    if write and database.meta("id") is None:
        database.set_meta({"id": os.urandom(16).hex(), "root": real, "made": ":".join(made)})
        fs.chmod(layout.database, 0o644 if options.group is None else 0o664)
    return Site(layout, database, fs, options, listener)


def _make_state(layout: Layout, fs: FileSystem, options: Options) -> list[str]:
    """Make the state directory; what is in it is made by whoever comes first, and the database last.

    Returns which of the directories above it were made for it.
    """
    if os.path.exists(layout.database):
        return []
    *above, _ = accumulate(STATE.split("/"), join)
    made = [path for path in above if _ensure(fs, layout.live(path), 0o755)]
    _ensure(fs, layout.state, 0o755)
    for path in (layout.images, layout.work, layout.leases):
        _ensure(fs, path, 0o755)
    for path in (layout.undo, layout.lost):
        _ensure(fs, path, 0o700)
    if options.group is not None:
        _share(layout, fs, options.group, made)
    if not os.path.exists(f"{layout.images}/CACHEDIR.TAG"):
        _once(lambda: fs.write_file(f"{layout.images}/CACHEDIR.TAG", CACHE_TAG, 0o644))
    return made


def _refuse_lost(layout: Layout) -> None:
    """Raise CorruptError where the record is empty or gone, and what it told of is there: a new one would know nothing."""
    if os.path.exists(layout.database) and os.path.getsize(layout.database):
        return
    names = [name for place in (layout.images, layout.undo) if os.access(place, os.R_OK) for name in os.listdir(place)]
    if set(names) - {"CACHEDIR.TAG"}:
        raise CorruptError(f"{layout.database} is empty or gone, and what it told of is still there", hint=HINT)


def _share(layout: Layout, fs: FileSystem, group: int, made: Iterable[str]) -> None:
    """Give the state directory to a group, and the directories that were made for it: packages lie in them too."""
    above = map(layout.live, made)
    for path in (*above, layout.state, layout.images, layout.work, layout.leases, layout.undo, layout.lost):
        fs.chown(path, -1, group)
        fs.chmod(path, 0o2770 if path in (layout.undo, layout.lost) else 0o2775)


def _ensure(fs: FileSystem, path: str, mode: int) -> bool:
    return _once(lambda: fs.mkdir(path, mode))


def _once(make: Callable[[], None]) -> bool:
    """Whether it was us who made it."""
    try:
        make()
    except FileExistsError:
        return False
    return True
