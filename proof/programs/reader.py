"""Open every file of a package again and again until stdin is closed; the last line of stdout is a JSON report.

    python reader.py TASK.json

A task is {"root": directory, "files": {path: [contents]}}: what each path may hold.  null among them says that it may be
missing; a content that begins with "-> " is a symlink's target.  Between two rounds it looks for one of the paths that may not
be missing, as fast as it can: a hole of some microseconds is met only so.
"""

from __future__ import annotations

import json
import os
import select
import sys
from pathlib import Path

KEPT = 20
LOOKS = 3000


def look(path: Path, known: list[str | None]) -> tuple[str, int]:
    """What is wrong with a path ("" if nothing is), and which of the known contents it has (-1: none)."""
    try:
        if any(content and content.startswith("-> ") for content in known):
            found = f"-> {path.readlink()}"
        else:
            found = path.read_bytes().decode(errors="replace")
    except FileNotFoundError:
        return ("", -1) if None in known else (f"{path.name} is missing", -1)
    except OSError as error:
        return f"{path.name}: {error}", -1
    if found in known:
        return "", known.index(found)
    return f"{path.name} holds neither: {len(found)} characters, {found[:20]!r}", -1


def holes(path: str) -> list[str]:
    """How often a path was not there, of many looks in a row."""
    missing = 0
    for _ in range(LOOKS):
        try:
            os.lstat(path)
        except FileNotFoundError:
            missing += 1
    return [f"{path} was missing for {missing} of {LOOKS} looks"] if missing else []


def main() -> None:
    """Read until told to stop."""
    task = json.loads(Path(sys.argv[1]).read_text())
    root, wrong, reads, rounds, seen = Path(task["root"]), list[str](), 0, 0, {0: 0, 1: 0, -1: 0}
    always = [str(root / path) for path, known in task["files"].items() if None not in known]
    print("ready", flush=True)
    while not select.select([sys.stdin], [], [], 0)[0]:
        for path, known in task["files"].items():
            problem, which = look(root / path, known)
            reads += 1
            seen[which] += 1
            if problem and len(wrong) < KEPT:
                wrong.append(problem)
        wrong += holes(always[rounds % len(always)])
        rounds += 1
    print(json.dumps({"reads": reads, "rounds": rounds, "wrong": wrong[:KEPT], "old": seen[0], "new": seen[1]}))


if __name__ == "__main__":
    main()
