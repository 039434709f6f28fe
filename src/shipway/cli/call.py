"""One call of the command line: what was said beside the command, and how a command gets at its prefix."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from shipway.cli.console import Console
from shipway.cli.listener import Ear
from shipway.cli.place import Place, find
from shipway.errors import LockedError, UsageError

if TYPE_CHECKING:
    from shipway.api import Prefix
    from shipway.fs.system import FileSystem
    from shipway.prefix.site import Options, Site


class Call:
    """The global options, the console, and the prefix once it was asked for.

    `prefix_source` is "" for -p and SHIPWAY_PREFIX for that.  `wait` is in seconds, None for ever.  `if_interrupted` is what a
    command that is stopped leaves behind, in words.
    """

    def __init__(self) -> None:
        self.prefix: str = ""
        self.prefix_source: str = ""
        self.json: bool = False
        self.quiet: bool = False
        self.verbose: int = 0
        self.wait: float | None = None
        self.jobs: int | None = None
        self.rename_mode: str = "auto"
        self.console: Console = Console()
        self.started: float = time.perf_counter()
        self.if_interrupted: str = "nothing was changed"
        self.ear = Ear(self.console)
        self._place: Place | None = None

    def settle(self) -> None:
        """Take the options as final.  Raises UsageError if they contradict each other."""
        if self.quiet and self.verbose:
            raise UsageError("-q and -v contradict each other")
        self.console.verbosity = -1 if self.quiet else self.verbose
        if self.quiet:
            self.console.progress.enabled = False

    @property
    def elapsed_ms(self) -> float:
        """Milliseconds since the call began."""
        return (time.perf_counter() - self.started) * 1000

    @property
    def place(self) -> Place:
        """The prefix that is meant; says which, unless -p did.  Raises UsageError."""
        if self._place is None:
            self._place = find(self.prefix, self.prefix_source)
            if self._place.source:
                self.console.say(f"prefix {self._place.prefix} (from {self._place.source})")
        return self._place

    @property
    def root(self) -> str:
        """The prefix as messages name it: absolute."""
        return os.path.abspath(self.place.prefix)

    def options(self) -> Options:
        """How the prefix is to be worked on: its shipway.toml, whose umask holds from here, and the command line."""
        from shipway.cli.settings import options_of

        if self.place.config.umask is not None:
            os.umask(self.place.config.umask)
        found = options_of(self.place)
        return found._replace(wait=self.wait, jobs=self.jobs or found.jobs)

    def file_system(self) -> FileSystem:
        """The file system's door, in the mode that was asked for."""
        from shipway.fs.system import FileSystem, RenameMode

        return FileSystem(RenameMode(self.rename_mode))

    @contextmanager
    def look(self) -> Iterator[Site]:
        """The prefix for questions alone, for the length of a `with` block.

        What changes a prefix is loaded only if a dead process may have left something to finish: that comes first, unless somebody
        holds the record so that it cannot be finished.
        """
        from shipway.prefix.site import open_site

        options, fs = self.options(), self.file_system()
        try:
            site, free = open_site(self.place.prefix, options._replace(wait=0), self.ear, fs), True
        except LockedError:
            site, free = open_site(self.place.prefix, options, self.ear, fs, write=False), False
        site.database.wait(options.wait)
        try:
            left = site.database.unfinished() or (site.database.writable and os.listdir(site.layout.work))
            quiet = not (free and left)
            if quiet:
                yield site
        finally:
            site.database.close()
        if not quiet:
            with self.open() as prefix:
                yield prefix.site

    @contextmanager
    def open(self, options: Options | None = None) -> Iterator[Prefix]:
        """The prefix, for the length of a `with` block."""
        from shipway.api import Prefix

        chosen = options or self.options()
        with Prefix(self.place.prefix, options=chosen, listener=self.ear, fs=self.file_system()) as prefix:
            yield prefix
