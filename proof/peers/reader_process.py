"""Read all files again and again until SIGTERM, then say what was seen.  Run by itself: ROOT KNOWN.json.

A first line is printed when the reading begins.
"""

from __future__ import annotations

import hashlib
import json
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from types import FrameType

MOST_TOLD = 5


class Reader:
    """What was seen so far; `known` has the digests of each path's versions."""

    def __init__(self, root: Path, known: Mapping[str, Mapping[str, str]]) -> None:
        self.files = {root / path: {digest: name for name, digest in of.items()} for path, of in known.items()}
        self.passes = self.missing = self.torn = self.mixed = 0
        self.found: list[str] = []
        self.over = False

    def stop(self, number: int, frame: FrameType | None) -> None:
        """End after this pass."""
        self.over = True

    def one_pass(self) -> None:
        """Open every file once."""
        versions = {self.version(path) for path in self.files} - {""}
        self.passes += 1
        self.mixed += len(versions) > 1

    def version(self, path: Path) -> str:
        """Which version a file is of, empty if of none."""
        try:
            held = path.read_bytes()
        except OSError as error:
            self.missing += 1
            self.tell(f"{path.name}: {error.strerror}")
            return ""
        version = self.files[path].get(hashlib.sha256(held).hexdigest(), "")
        if not version:
            self.torn += 1
            self.tell(f"{path.name}: {len(held)} bytes of no version")
        return version

    def tell(self, what: str) -> None:
        """Keep some findings in full."""
        if len(self.found) < MOST_TOLD:
            self.found.append(what)


def main() -> None:
    """Read until told to stop."""
    reader = Reader(Path(sys.argv[1]), json.loads(Path(sys.argv[2]).read_text()))
    signal.signal(signal.SIGTERM, reader.stop)
    print("reading", flush=True)
    while not reader.over:
        reader.one_pass()
    print(json.dumps({key: getattr(reader, key) for key in ("passes", "missing", "torn", "mixed", "found")}))


if __name__ == "__main__":
    main()
