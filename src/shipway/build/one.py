"""One build, from an unpacked source to a stage: its phases, one after the other, each run apart.

Nothing is fetched, scheduled, sealed or recorded here.  What comes out is a value: `Built`, or `Failure`.
"""

from __future__ import annotations

import contextlib
import os
import platform
import re
import shlex
import time
from collections.abc import Iterator
from typing import NamedTuple

from shipway import __version__
from shipway.build.directory import Directory
from shipway.build.environment import Target, Tools, environment
from shipway.build.failure import Failure
from shipway.build.log import Log, name_of
from shipway.build.phases import BEFORE_COMMIT, Steps, beside, steps
from shipway.build.recipe_file import Found
from shipway.build.run import Ears, Ran, run
from shipway.build.stage import Staged, gather
from shipway.errors import Interrupted, ShipwayError, UsageError
from shipway.fs.apart import NONE, ApartError, Ended, Isolation, Orders, View
from shipway.fs.overlay import make_own
from shipway.fs.stop import Stop
from shipway.fs.system import FileSystem
from shipway.model.event import Event, Listener, silent
from shipway.store.walk import RESERVED

OLDEST = 315532800
"""1980, the first time that a ZIP archive can hold."""

_SECRET = re.compile(r"TOKEN|SECRET|PASS|KEY|CREDENTIAL|AUTH|COOKIE", re.IGNORECASE)


class Request(NamedTuple):
    """What is to be built, and how.

    `directory` is made and has the source in it, `source` is where that was unpacked to.  `logs` is the directory of logs.  A
    failure of a phase among `tolerated` is remembered and the next one run.  `contact` is for recipes that name nobody.
    `writable` are directories that builds may write to besides their own.  `continued` says that the directory was built in
    before, in the same run: then the log goes on.
    """

    found: Found
    prefix: str
    directory: Directory
    source: str
    logs: str
    tools: Tools = Tools()
    isolation: Isolation = NONE
    phases: tuple[str, ...] = BEFORE_COMMIT
    tolerated: frozenset[str] = frozenset()
    jobs: int = 1
    contact: str = ""
    writable: tuple[str, ...] = ()
    continued: bool = False

    @property
    def target(self) -> Target:
        """What the pure functions of this package are asked about."""
        recipe, directory = self.found
        beside_it = os.path.abspath(directory)
        epoch = epoch_of(self.source, self.directory)
        return Target(recipe, self.prefix, self.directory, self.source, beside_it, self.jobs, epoch)

    @property
    def view(self) -> View:
        """What its phases see of the disk."""
        live = os.path.realpath(self.prefix)
        return View(live, (live,), self.directory.upper, self.directory.work, (self.directory.root, *self.writable))


class Phase(NamedTuple):
    """A phase that ended well, and what it took."""

    name: str
    ended: Ended


class Built(NamedTuple):
    """A build that succeeded.

    `wheels` are those of Python packages, which can go in as wheels instead of `staged`.  `warnings` are failures that were
    tolerated.
    """

    staged: Staged
    wheels: tuple[str, ...]
    phases: tuple[Phase, ...]
    warnings: tuple[Failure, ...]
    log: str


def run_build(
    request: Request, listener: Listener = silent, stop: Stop | None = None, fs: FileSystem | None = None
) -> Built | Failure:
    """Run the phases of a request, and gather what they made.

    May be called again for the same directory, for the phases after the commit (`continued`).  Raises UsageError or ShipwayError where it cannot
    be built here, Interrupted if `stop` was asked; then, as after any exception, nothing runs any more.
    """
    refuse(request)
    with contextlib.ExitStack() as stack:
        stop = stop or stack.enter_context(Stop())
        recipe = request.found.recipe
        fs = fs or FileSystem()
        path = f"{request.logs}/{name_of(recipe.name, recipe.version)}"
        log = Log.go_on(path, fs) if request.continued else Log.begin(path, fs)
        stack.callback(log.close)
        return _Build(request, listener, stop, log, fs).run()


def refuse(request: Request) -> None:
    """Raise what stands against a request, before anything has been done for it."""
    recipe = request.found.recipe
    if recipe.build.system == "host":
        raise UsageError(f"{recipe.name} is not built: only the host can provide it")
    if not recipe.build.destdir and not request.isolation.overlay and "install" in request.phases:
        lacks = "; ".join(request.isolation.lacks) or "builds are not kept apart"
        raise ShipwayError(
            f"{recipe.name} cannot be staged: its install phase is known to write into the prefix itself",
            details=[f"nothing here can catch what it writes: {lacks}"],
            hint="build it where there are namespaces, or in another --build-dir; or mend its install phase to heed DESTDIR",
        )


class _Build:
    def __init__(self, request: Request, listener: Listener, stop: Stop, log: Log, fs: FileSystem) -> None:
        self.request = request
        self.listener = listener
        self.stop = stop
        self.log = log
        self.fs = fs
        self.target = request.target
        self.recipe = request.found.recipe
        self.done: list[Phase] = []
        self.warnings: list[Failure] = []

    def run(self) -> Built | Failure:
        if not self.request.continued:
            self.log.say(*header(self.request, self.target))
        if beside(self.target) and not os.path.isdir(self.target.directory.build):
            self.fs.mkdir(self.target.directory.build, 0o755)
        if self.request.isolation.user and self.request.isolation.overlay:
            live = os.path.realpath(self.request.prefix)
            make_own(live, self.target.directory.upper, f"{live}/{RESERVED}", self.fs)
        for phase in self.request.phases:
            failure = self._phase(phase)
            if failure is None:
                continue
            if phase not in self.request.tolerated:
                self.log.say(f"failed: {failure.message}")
                return failure
            self.warnings.append(failure)
        built = Built(self._gathered(), self._wheels(), tuple(self.done), tuple(self.warnings), self.log.path)
        self.log.say(*_summary(built))
        self._tell_trouble()
        return built

    def _phase(self, name: str) -> Failure | None:
        todo = steps(self.target, self.request.tools.python, name)
        if not todo.commands:
            return None
        self._tell("step", f"{self.recipe.name}: {name}", phase=name)
        self.log.say(f"phase {name}", *(f"in {place}: {shlex.join(words)}" for place, words in todo.commands))
        ran = self._ran(name, todo)
        self._tell_end(name, ran.ended)
        if ran.ended.status == 0:
            self.done.append(Phase(name, ran.ended))
            return None
        return self._failure(name, todo, ran)

    def _ran(self, name: str, todo: Steps) -> Ran:
        if todo.text:
            self._write_script(todo)
        ears = Ears(self.log, lambda lines: self._tell("output", "\n".join(lines), phase=name, lines=lines))
        try:
            return run(self._orders(name, todo), ears, self.stop)
        except ApartError as error:
            self.log.say(f"failed: {error}")
            raise ShipwayError(f"{self.recipe.name}: {name} could not be run: {error}") from error
        except Interrupted:
            self.log.say(f"interrupted: {name}")
            raise Interrupted(f"{self.recipe.name}: {name} was interrupted") from None
        except KeyboardInterrupt:
            self.log.say(f"interrupted: {name}")
            raise

    def _write_script(self, todo: Steps) -> None:
        path = todo.commands[0].words[-1]
        with contextlib.suppress(FileNotFoundError):
            self.fs.unlink(path)
        self.fs.write_file(path, todo.text.encode(), 0o644)

    def _orders(self, name: str, todo: Steps) -> Orders:
        variables = environment(self.target, self.request.tools, name)
        return Orders(todo.commands, variables, self.request.isolation, self._view(name), self.recipe.network)

    def _view(self, name: str) -> View:
        """What tests write into the prefix is thrown away: they see what was written before, under a layer of their own."""
        view = self.request.view
        if name != "check":
            return view
        aside = f"{self.target.directory.root}/check"
        self.fs.remove_tree(aside)
        for path in (aside, f"{aside}/written", f"{aside}/overlay"):
            self.fs.mkdir(path, 0o755)
        return view._replace(lower=(view.upper, *view.lower), upper=f"{aside}/written", work=f"{aside}/overlay")

    def _failure(self, name: str, todo: Steps, ran: Ran) -> Failure:
        return Failure(
            package=self.recipe.name,
            version=self.recipe.version,
            phase=name,
            command=shlex.join(todo.commands[ran.ended.number].words),
            status=ran.ended.status,
            last=ran.last,
            log=self.log.path,
            contact=self.recipe.contact or self.request.contact,
            shell=shlex.join(["shipway", "-p", self.request.prefix, "shell", self.recipe.name]),
        )

    def _gathered(self) -> Staged:
        try:
            return gather(self.target.directory, self.request.prefix, self.fs)
        except ShipwayError as error:
            self.log.say(f"failed: {error.message}", *error.details)
            raise

    def _wheels(self) -> tuple[str, ...]:
        made = self.target.directory.wheels if self.recipe.build.system == "python" else self.request.source
        if self.recipe.build.system not in ("python", "wheel"):
            return ()
        return tuple(f"{made}/{name}" for name in sorted(os.listdir(made)) if name.endswith(".whl"))

    # -- telling

    def _tell(self, kind: str, text: str, **data: object) -> None:
        self.listener(Event(kind, text, {"package": self.recipe.name, **data}))

    def _tell_end(self, name: str, ended: Ended) -> None:
        took = f"{ended.wall:.1f} s (user {ended.user:.1f} s, system {ended.system:.1f} s, at most {ended.peak / 1024:.1f} MiB)"
        self.log.say(f"ended {name}: {took}" + (f", status {ended.status}" if ended.status else ""))
        self._tell("timing", f"{self.recipe.name}: {name} took {took}", phase=name, ended=ended)
        for command in ended.left:
            line = f"{name} left a process behind, which was killed: {command}"
            self.log.say(line)
            self._tell("note", f"{self.recipe.name}: {line}", phase=name)

    def _tell_trouble(self) -> None:
        if self.log.trouble:
            self._tell("note", f"{self.recipe.name}: the log is not whole: {self.log.path}: {self.log.trouble}")


def header(request: Request, target: Target) -> Iterator[str]:
    """What a log begins with."""
    recipe, isolation = target.recipe, request.isolation
    system = os.uname()
    yield f"{recipe.name} {recipe.version} for {request.prefix}"
    yield f"begun {time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())}, shipway {__version__}, Python {platform.python_version()}"
    yield f"host {system.sysname} {system.release} {system.machine}"
    parts = ("overlay", "read_only", "processes", "network", "user")
    yield f"apart {' '.join(part for part in parts if getattr(isolation, part)) or 'from nothing'}"
    yield from (f"lacks {line}" for line in isolation.lacks)
    for name, value in environment(target, request.tools, "install").items():
        yield f"with {name}={'…' if _SECRET.search(name) else shlex.quote(value)}"


def _summary(built: Built) -> Iterator[str]:
    written = built.staged.written
    for word, paths in written._asdict().items():
        yield from (f"past DESTDIR: {word} {path}" for path in paths)
    yield from (f"outside of the prefix: {path}" for path in built.staged.outside)
    yield "built"


def epoch_of(source: str, directory: Directory) -> int:
    """The time of the newest file of a source as it was published: what is newer than the build directory was patched."""
    begun = directory.begun
    return max((time for time in _times(source) if time < begun), default=OLDEST)


def _times(directory: str) -> Iterator[int]:
    with os.scandir(directory) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                yield from _times(entry.path)
            elif entry.is_file(follow_symlinks=False) and (found := int(entry.stat().st_mtime)) >= OLDEST:
                yield found
