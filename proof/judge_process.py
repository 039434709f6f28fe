"""What the judge asks of a prefix, in one process: heal it, then all that is recorded and left over, as JSON on stdout.

python judge_process.py PREFIX
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from shipway import Prefix
from shipway.errors import ShipwayError

STATE = "var/lib/shipway"


def main() -> int:
    """Heal and answer; what is wrong instead, if it cannot be healed."""
    root = Path(sys.argv[1])
    try:
        with Prefix(str(root)) as prefix:
            prefix.recover()
            answer = {**record(prefix), "work": names(root, "work")}
            prefix.gc(keep=0)
            answer["problems"] = [f"verify: {p.path} of {p.package} is {p.problem}" for p in prefix.verify().problems]
        answer |= {name: names(root, name) for name in ("images", "undo", "leases", "lost+found", "")}
    except ShipwayError as error:
        answer = {"problems": [" ".join((error.message, *error.details))]}
    print(json.dumps(answer))
    return 0


def record(prefix: Prefix) -> dict[str, object]:
    """The packages, what each consists of, and the transactions with their states."""
    packages = [
        [known.package.name, known.package.version, [[path, *entry.identity] for path, entry in prefix.files(name)]]
        for known in prefix.packages()
        for name in [known.package.name]
    ]
    return {"packages": packages, "history": [[past.row.id, past.row.state.value] for past in prefix.history()]}


def names(root: Path, part: str) -> list[str]:
    """What lies in a part of the state directory."""
    directory = root / STATE / part
    return sorted({*os.listdir(directory)} - {"CACHEDIR.TAG"}) if directory.is_dir() else []


if __name__ == "__main__":
    sys.exit(main())
