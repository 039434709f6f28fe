"""Install two versions of a package in turn, many times, in one process; then a JSON report on stdout.

    python upgrader.py ROOT STAGE STAGE TIMES [KEEP] [MODE]

KEEP is how many undo areas to keep, MODE how names are exchanged (auto, fallback).
"""

from __future__ import annotations

import json
import sys
import time

from shipway.api import Options, Prefix, staged
from shipway.fs.system import FileSystem, RenameMode


def main() -> None:
    """Upgrade there and back."""
    root, first, second, times = sys.argv[1:5]
    keep = int(sys.argv[5]) if len(sys.argv) > 5 else 20
    mode = RenameMode(sys.argv[6]) if len(sys.argv) > 6 else RenameMode.AUTO
    seconds, locks, notes = [], [], []
    with Prefix(root, options=Options(keep=keep), fs=FileSystem(mode)) as prefix:
        versions = enumerate((first, second), 1)
        images = [prefix.seal_staged(staged(tree, "pkg", str(n), python="")) for n, tree in versions]
        for number in range(int(times)):
            started = time.monotonic()
            with prefix.transaction(reason="there and back") as tx:
                tx.install(images[1 - number % 2])
            assert tx.outcome is not None and tx.outcome.number
            seconds.append(time.monotonic() - started)
            locks.append(tx.outcome.lock_ms)
            notes += [[note.kind, note.path, note.text] for note in tx.outcome.notes]
    print(json.dumps({"seconds": seconds, "locks": locks, "notes": notes}))


if __name__ == "__main__":
    main()
