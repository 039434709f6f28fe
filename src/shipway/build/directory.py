"""The directory of one build: where each of its parts lies."""

from __future__ import annotations

import os
from typing import NamedTuple

from shipway.fs.system import FileSystem


class Directory(NamedTuple):
    """Absolute paths.  `root` is a real path, and nobody else's."""

    root: str

    @property
    def source(self) -> str:
        """What was unpacked."""
        return f"{self.root}/source"

    @property
    def build(self) -> str:
        """Where it is built, if not in its source."""
        return f"{self.root}/build"

    @property
    def home(self) -> str:
        """HOME."""
        return f"{self.root}/home"

    @property
    def temporary(self) -> str:
        """TMPDIR."""
        return f"{self.root}/tmp"

    @property
    def wheels(self) -> str:
        """Wheels that were built."""
        return f"{self.root}/wheels"

    @property
    def scripts(self) -> str:
        """The phases that are shell texts, as files."""
        return f"{self.root}/phases"

    @property
    def destdir(self) -> str:
        """DESTDIR."""
        return f"{self.root}/stage"

    @property
    def upper(self) -> str:
        """What was written into the prefix."""
        return f"{self.root}/written"

    @property
    def work(self) -> str:
        """The kernel's, for the overlay."""
        return f"{self.root}/overlay"

    @property
    def begun(self) -> int:
        """When it was made, in whole seconds since 1970."""
        return int(os.stat(f"{self.root}/begun").st_mtime)

    def make(self, fs: FileSystem) -> None:
        """Make all that belongs to it.  `root` must be there, and empty.  Raises OSError."""
        fs.write_file(f"{self.root}/begun", b"", 0o644)
        own = (self.source, self.build, self.home, self.temporary, self.wheels, self.scripts)
        for path in (*own, self.destdir, self.upper, self.work):
            fs.mkdir(path, 0o755)
