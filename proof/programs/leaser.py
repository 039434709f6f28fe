"""Run a command again and again until stdin is closed; the last line of stdout is a JSON report.

python leaser.py COMMAND…
"""

from __future__ import annotations

import json
import select
import subprocess
import sys
import time


def main() -> None:
    """Run it until told to stop."""
    count, failed, longest = 0, [], 0.0
    print("ready", flush=True)
    while not select.select([sys.stdin], [], [], 0)[0]:
        started = time.monotonic()
        done = subprocess.run(
            sys.argv[1:], check=False, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace"
        )
        longest = max(longest, time.monotonic() - started)
        count += 1
        if done.returncode:
            failed.append(f"{done.returncode}: {done.stderr.strip()}")
    print(json.dumps({"count": count, "failed": failed, "longest": longest}))


if __name__ == "__main__":
    main()
