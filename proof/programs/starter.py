"""The command line of Shipway, loaded and held back until a line comes on stdin: so that many can start at once.

python starter.py ARGUMENTS…
"""

from __future__ import annotations

import sys

import shipway.api
import shipway.cli.merge
from shipway.cli.main import main

if __name__ == "__main__":
    shipway.api.Prefix.__name__  # noqa: B018  # all that a merge needs is there before the start
    print("ready", file=sys.stderr, flush=True)
    sys.stdin.readline()
    sys.exit(main(sys.argv[1:]))
