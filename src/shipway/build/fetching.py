"""Fetching what recipes need: from what is here already, else from the places of each source in their order.

Files are fetched side by side, each under a lock of its own; what is fetched is final only when its digest was checked.  A place that
fails is told in a word and the next one tried; a host that did not answer once is not asked again.
"""

from __future__ import annotations

import os
import queue
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from shipway.build import git, pypi
from shipway.build.debian import Archives
from shipway.build.distfiles import DISTFILES, Distfiles, Slot, look_into
from shipway.build.download import DumbError, SilentError, download, host_of
from shipway.build.places import TIMEOUT, PlaceError, StoppedError, Wanted, Watch, described, shown, wanted
from shipway.build.recipe import Place, Source
from shipway.build.recipe_file import Found
from shipway.build.web import Access
from shipway.errors import ShipwayError
from shipway.fs.lock import Waiting
from shipway.fs.system import FileSystem
from shipway.model.event import Event, Listener, silent

JOBS = 4
_LEAVING = 2.0
_PATIENCE = 2


class Options(NamedTuple):
    """How to fetch.  `cache` is the user's cache, "" for none; `distfiles` are directories that are searched before it.

    `timeout` is how many seconds of silence a server is granted.
    """

    cache: str
    distfiles: tuple[str, ...] = ()
    offline: bool = False
    jobs: int = JOBS
    timeout: float = TIMEOUT


class Fetched(NamedTuple):
    """One source of a recipe, on this disk: `path` is an archive, or a directory for a place of kind `path`.

    `place` is that of the source which it is from, or might be from, with its patches; `origin` is "distfiles", "cache", or the kind of
    the place that it was fetched from just now.
    """

    source: Source
    place: Place
    path: str
    origin: str


class Harvest(NamedTuple):
    """What was fetched for each recipe, and what went wrong, one line for each place that failed."""

    files: tuple[tuple[Found, tuple[Fetched, ...]], ...]
    failures: tuple[str, ...]


class FetchError(ShipwayError):
    """A source is to be had from none of its places."""


class Fetcher:
    """Fetches one source after another; several threads may use it at once.  `index` is in the place of pip's settings."""

    def __init__(self, fs: FileSystem, options: Options, watch: Watch, index: pypi.Settings | None = None) -> None:
        self.fs = fs
        self.options = options
        self.watch = watch
        self._cache = Distfiles(fs, f"{options.cache}/{DISTFILES}" if options.cache else "")
        self._archives = Archives(fs, f"{options.cache}/apt")
        self._silent: dict[str, str] = {}
        self._dumb: Counter[str] = Counter()
        self._index = index
        self._mutex = threading.Lock()

    def fetch(self, found: Found, source: Source) -> Fetched:
        """One source of a recipe.  Raises FetchError, whose details say why each place failed."""
        places = [wanted(found.recipe, place) for place in source.places]
        here = self._here(found, source, places)
        if here is not None:
            return here
        problems = []
        for each in places:
            try:
                return Fetched(source, each.place, self._fetched(each), each.place.kind)
            except PlaceError as error:
                self.watch.tell(Event("missed", error.message))
                problems += [f"{found.recipe.name}: {line}" for line in (error.message, *error.details)]
        hint = "shipway fetch --distfiles DIR takes what lies in DIR"
        raise FetchError(f"{places[0].name} is not to be had", details=problems, hint=hint)

    def _here(self, found: Found, source: Source, places: Sequence[Wanted]) -> Fetched | None:
        """What is on this disk already, of whichever place."""
        names = [each.name for each in places]
        for each in places:
            path, origin = "", ""
            if each.digest:
                path, wrong = look_into(self.options.distfiles, names, each.digest)
                origin = "distfiles" if path else "cache"
                path = path or self._cache.find(each.digest)
                if not path:
                    self._tell_of_wrong(wrong, [other.digest for other in places])
            elif each.place.git:
                path, origin = git.archive_of(self._repositories, each.place), "cache"
            elif each.place.path:
                path, origin = os.path.join(found.directory, each.place.path), "path"
            if path and os.path.exists(path):
                return Fetched(source, each.place, path, origin)
        return None

    def _tell_of_wrong(self, paths: Sequence[str], digests: Sequence[str]) -> None:
        """A file of the name and not of the digest of any place."""
        for path in paths:
            if not any(look_into([os.path.dirname(path)], [os.path.basename(path)], digest)[0] for digest in digests):
                self.watch.tell(Event("note", f"{path} is not what the recipe asks for: it has another SHA-256"))

    @property
    def _repositories(self) -> str:
        return f"{self.options.cache}/git"

    def _fetched(self, each: Wanted) -> str:
        """The path of what one place gives.  Raises PlaceError."""
        self.watch.check()
        if each.place.path:
            raise PlaceError(f"path {each.place.path}: there is no such directory beside the recipe")
        if self.options.offline:
            each = _offline(each)
        if each.place.git:
            self.watch.tell(Event("fetching", shown(each.place.git), {"file": each.name}))
            return git.export(self.fs, self._repositories, each, self.watch)
        with self._cache.slot(each.digest, each.name, self._waiting) as slot:
            path = self._cache.find(each.digest)
            if not path:
                self._fill(slot, each)
            return path or slot.path

    def anew(self, each: Wanted) -> tuple[str, str]:
        """What a place gives now, whatever its digest was: the path and the digest.  Raises PlaceError."""
        with self._cache.unknown(each.name) as slot:
            self._fill(slot, each._replace(place=each.place.model_copy(update={"sha256": None})))
            return slot.path, slot.digest

    def _fill(self, slot: Slot, each: Wanted) -> None:
        ways = {"url": self._from_urls, "pypi": self._from_index, "debian": self._from_debian}
        ways[each.place.kind](each, slot)
        self.watch.tell(Event("fetched", each.name, {"file": each.name}))

    def _waiting(self, waiting: Waiting) -> None:
        holders = " and ".join(map(str, waiting.holders))
        self.watch.tell(
            Event("waiting", f"waiting for {waiting.what}, fetched by {holders}, for {waiting.since:.0f} s")
        )

    # -- places ------------------------------------------------------------------------------------------------------

    def _from_urls(self, each: Wanted, slot: Slot) -> None:
        problems = []
        for url in each.urls:
            try:
                self._from_url(url, slot, Access(self.options.timeout))
            except PlaceError as error:
                problems.append(error.message)
            else:
                return
        raise PlaceError(problems[0], details=problems[1:])

    def _from_index(self, each: Wanted, slot: Slot) -> None:
        told, problems = self.settings(), list[str]()
        with slot.page() as page:
            for candidate in pypi.candidates(told, each, page, self.watch._replace(tell=silent), problems):
                try:
                    self._from_url(candidate.url, slot, told.access(self.watch))
                    _insist(slot, candidate)
                except PlaceError as error:
                    problems.append(error.message)
                else:
                    return
        raise PlaceError(problems[0], details=problems[1:])

    def on_offer(self, project: str) -> list[pypi.Candidate]:
        """All files of a project of the package index.  Raises PlaceError."""
        with self._cache.unknown("page") as slot, slot.page() as page:
            return pypi.all_files(self.settings(), project, page, self.watch._replace(tell=silent))

    def _from_debian(self, each: Wanted, slot: Slot) -> None:
        self.watch.tell(Event("fetching", "the distribution", {"file": each.name}))
        with slot.scratch() as area:
            self._take(slot, self._archives.fetch(each, area, self.watch), described(each))

    def settings(self) -> pypi.Settings:
        """Those of pip, asked for once.  Raises PlaceError."""
        with self._mutex:
            if self._index is None:
                self._index = pypi.settings(self.watch)
            return self._index

    def _from_url(self, url: str, slot: Slot, access: Access) -> None:
        """Raises PlaceError.  What was begun by somebody else and came out wrong is fetched once more, whole."""
        host = host_of(url)
        if host in self._silent:
            raise PlaceError(f"{shown(url)}: {self._silent[host]}")
        if not self._download(url, slot, access):
            self._download(url, slot, access)

    def _download(self, url: str, slot: Slot, access: Access) -> bool:
        """False if it came out wrong, and might not had it been fetched whole."""
        with slot.part() as part:
            resumed = part.size
            try:
                download(url, part, access, self.watch)
            except PlaceError as error:
                self._remember(host_of(url), error)
                if slot.digest and part.size and slot.take(part.path) == slot.digest:
                    return True
                raise
        try:
            self._take(slot, part.path, shown(url))
        except PlaceError:
            slot.discard()
            if resumed:
                return False
            raise
        return True

    def _remember(self, host: str, error: PlaceError) -> None:
        """Whom not to ask again: who does not answer a call, or has said nothing to several."""
        self._dumb[host] += isinstance(error, DumbError)
        if isinstance(error, SilentError) or self._dumb[host] >= _PATIENCE:
            self._silent[host] = error.message.partition(": ")[2]

    def _take(self, slot: Slot, path: str, what: str) -> None:
        found = slot.take(path)
        if slot.digest != found:
            page = " (a web page, it seems)" if _is_page(path) else ""
            raise PlaceError(f"{what}: gives another file{page}: its SHA-256 is {found}, not {slot.digest}")


def _insist(slot: Slot, candidate: pypi.Candidate) -> None:
    """What may be anything must at least be what the index says."""
    if candidate.digest not in ("", slot.digest):
        raise PlaceError(
            f"{shown(candidate.url)}: its SHA-256 is {slot.digest}, not {candidate.digest} as the index says"
        )


def _offline(each: Wanted) -> Wanted:
    """What of a place can be had without a network.  Raises PlaceError if nothing can."""
    urls = tuple(url for url in each.urls if url.startswith("file:"))
    if not urls:
        raise PlaceError(f"{described(each)}: not fetched before, and --offline")
    return each._replace(urls=urls)


def _is_page(path: str) -> bool:
    with open(path, "rb") as file:
        return file.read(512).lstrip().lower().startswith((b"<!doctype html", b"<html"))


# -- many at once --------------------------------------------------------------------------------------------------------


class _Task(NamedTuple):
    """One source, and where the result goes."""

    number: int
    found: Found
    source: Source


class _End(NamedTuple):
    """What became of a task."""

    task: _Task
    fetched: Fetched | None
    error: BaseException | None


def fetch(fs: FileSystem, founds: Sequence[Found], options: Options, listener: Listener = silent) -> Harvest:
    """The sources of recipes, as many at once as `options.jobs`; `listener` is called in this thread.

    A source that is not to be had does not keep the others from coming.  Raises what is nobody's place to fail of: OSError
    for a full disk, LockedError.  On Ctrl-C what was begun is left for the next time.
    """
    events: queue.SimpleQueue[Event | _End] = queue.SimpleQueue()
    watch = Watch(threading.Event(), events.put, options.timeout)
    fetcher = Fetcher(fs, options, watch)
    pairs = [(found, source) for found in founds for source in found.recipe.source]
    tasks = [_Task(number, *pair) for number, pair in enumerate(pairs)]
    threads = _start(fetcher, tasks, events.put)
    ends: list[_End] = []
    try:
        while len(ends) < len(tasks):
            event = events.get()
            if isinstance(event, Event):
                listener(event)
            else:
                ends.append(event)
                _raise_if_ours(event)
    finally:
        watch.stop.set()
        deadline = time.monotonic() + _LEAVING
        for thread in threads:
            thread.join(max(0.0, deadline - time.monotonic()))
    return _harvest(founds, ends)


def _start(fetcher: Fetcher, tasks: Iterable[_Task], put: Callable[[_End], None]) -> list[threading.Thread]:
    waiting: queue.SimpleQueue[_Task] = queue.SimpleQueue()
    for task in tasks:
        waiting.put(task)

    def work() -> None:
        while not fetcher.watch.stop.is_set():
            try:
                task = waiting.get_nowait()
            except queue.Empty:
                return
            put(_attempt(fetcher, task))

    count = min(fetcher.options.jobs, waiting.qsize())
    threads = [threading.Thread(target=work, name="shipway fetch", daemon=True) for _ in range(count)]
    for thread in threads:
        thread.start()
    return threads


def _attempt(fetcher: Fetcher, task: _Task) -> _End:
    try:
        return _End(task, fetcher.fetch(task.found, task.source), None)
    except BaseException as error:  # noqa: BLE001 - it is raised in the thread that waits for it
        return _End(task, None, error)


def _raise_if_ours(end: _End) -> None:
    if end.error is not None and not isinstance(end.error, FetchError | StoppedError):
        raise end.error


def _harvest(founds: Sequence[Found], ends: Sequence[_End]) -> Harvest:
    ordered = sorted(ends, key=lambda end: end.task.number)
    files = [(found, tuple(e.fetched for e in ordered if e.task.found is found and e.fetched)) for found in founds]
    failures = [line for end in ordered if isinstance(end.error, FetchError) for line in end.error.details]
    return Harvest(tuple(files), tuple(failures))
