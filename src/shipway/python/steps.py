"""What pip and uv say while they work, as steps that a person follows: resolving, downloading, building.

Both speak one line a step where there is no terminal; a line that is not understood here is passed over.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from urllib.parse import urlsplit

Tell = Callable[[str, str], None]
"""Takes the kind of an event ("step", or "phase" for what passes quickly) and a text."""

_SIZE = re.compile(r"(.+?)(?: \(([\d.]+ ?[kMG]?i?B)\))?\Z")
_LINE = re.compile(
    r"\s*(?P<what>Collecting|Processing|Downloading|Using cached|Building wheels for|Building wheel for|"
    r"Building editable for|Building|Cloning|"
    r"Updating|Progress|Preparing metadata|Getting requirements to build|Installing build dependencies)\s+(?P<rest>\S.*)"
)
_PROGRESS = re.compile(r"(\d+)(?: of (\d+))?\Z")
_METADATA = (".metadata", ".json", ".html")
_MEGABYTE = 1_000_000


def silent(kind: str, text: str) -> None:
    """Tell nothing."""


class Steps:
    """Listens to a program and tells what it does.  `project` is what it spoke of last."""

    def __init__(self, tell: Tell) -> None:
        self._tell = tell
        self.project = ""
        self._file = ""

    def __call__(self, line: str) -> None:
        """Hear a line."""
        found = _LINE.match(line)
        if found is None:
            return
        match found["what"], found["rest"].strip():
            case (("Collecting" | "Processing"), rest):
                self.project = _project(rest)
                self._tell("phase", f"resolving {self.project}")
            case "Downloading", rest:
                self._download(rest)
            case "Progress", rest:
                self._progress(rest)
            case (("Building wheel for" | "Building editable for" | "Building"), rest):
                if "finished with status" not in rest:
                    self._tell("step", f"building {_project(rest)}")
            case (("Cloning" | "Updating"), rest):
                self._tell("step", f"fetching {rest.partition(' ')[0]}")
            case (("Using cached" | "Building wheels for"), _):
                pass
            case _:
                self._tell("phase", f"preparing the build of {self.project}")

    def _download(self, rest: str) -> None:
        found = _SIZE.match(rest)
        where, size = found.groups() if found else (rest, "")
        self._file = os.path.basename(urlsplit(where).path) or where
        kind = "phase" if self._file.endswith(_METADATA) else "step"
        self._tell(kind, f"downloading {self._file}" + (f" ({size})" if size else ""))

    def _progress(self, rest: str) -> None:
        found = _PROGRESS.match(rest)
        if found and self._file:
            done, total = int(found[1]), int(found[2] or 0)
            of = f" of {total / _MEGABYTE:.1f}" if total else ""
            self._tell("phase", f"downloading {self._file}, {done / _MEGABYTE:.1f}{of} MB")


def _project(words: str) -> str:
    """The first word, without a path before it or a version after it."""
    return re.split(r"[\s<>=!~;@\[]", words, maxsplit=1)[0].rstrip(":").rpartition("/")[2]
