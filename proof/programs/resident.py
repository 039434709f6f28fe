"""Leave files in a directory, which is the working directory, until that is gone or stdin closed; then say which.

    python resident.py DIRECTORY

The directory may be one that was swapped out long ago: by its own name it is nowhere.  A file counts as acknowledged
when the call that completed it has returned.
"""

from __future__ import annotations

import json
import os
import select
import sys
from pathlib import Path

PAUSE = 0.002
"""Seconds between two files."""


def main() -> None:
    """Work until told to stop."""
    os.chdir(sys.argv[1])
    left: list[str] = []
    print("ready", flush=True)
    while not select.select([sys.stdin], [], [], PAUSE)[0]:
        name = f"left-{os.getpid()}-{len(left)}"
        try:
            Path(name).write_text(name, encoding="ascii")
        except FileNotFoundError:
            break
        left.append(name)
    sys.stdin.read()
    print(json.dumps({"left": left}))


if __name__ == "__main__":
    main()
