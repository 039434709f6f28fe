"""Import modules in fresh interpreters again and again until stdin is closed; the last line of stdout is a JSON report.

    python importer.py TASK.json

A task is {"python": interpreter, "modules": [names], "site": directory, "both": [paths]}: `both` are the paths, relative to the
directory, that are there before and after every change.  What fails is sorted: `missing`, one of these was not found; `torn`, a file
was no whole module; `mixed`, modules of both versions met, which nobody promises to prevent without a lease.
"""

from __future__ import annotations

import json
import select
import subprocess
import sys
from pathlib import Path

KEPT = 20
TORN = ("SyntaxError", "IndentationError", "EOFError", "UnicodeDecodeError", "ValueError", "zipimport.ZipImportError")

IMPORT = """
import importlib, json, sys
try:
    for name in sys.argv[1:]:
        importlib.import_module(name)
except BaseException as error:
    about = {"type": type(error).__name__, "text": str(error), "name": getattr(error, "name", None) or ""}
    print(json.dumps({**about, "file": str(getattr(error, "filename", None) or "")}))
"""


def sort_of(error: dict[str, str], task: dict[str, object]) -> str:
    """missing, torn or mixed."""
    both = task["both"]
    assert isinstance(both, list)
    if error["type"] in TORN:
        return "torn"
    stem = error["name"].replace(".", "/")
    if error["type"] == "ModuleNotFoundError":
        return "missing" if f"{stem}.py" in both or f"{stem}/__init__.py" in both else "mixed"
    if error["type"] == "FileNotFoundError":
        return "missing" if error["file"].removeprefix(f"{task['site']}/") in both else "mixed"
    return "mixed"


def main() -> None:
    """Import until told to stop."""
    task = json.loads(Path(sys.argv[1]).read_text())
    command = [task["python"], "-I", "-c", IMPORT, *task["modules"]]
    counts = {"imports": 0, "missing": 0, "torn": 0, "mixed": 0}
    wrong: list[str] = []
    print("ready", flush=True)
    while not select.select([sys.stdin], [], [], 0)[0]:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        counts["imports"] += 1
        if done.returncode or done.stdout:
            told = done.stdout.strip().splitlines()[-1:] or [
                json.dumps({"type": "it died", "text": done.stderr, "name": "", "file": ""})
            ]
            error = json.loads(told[0])
            sort = sort_of(error, task)
            counts[sort] += 1
            if sort != "mixed" and len(wrong) < KEPT:
                wrong.append(f"{sort}: {error['type']}: {error['text'][:200]}")
    print(json.dumps({**counts, "wrong": wrong}))


if __name__ == "__main__":
    main()
