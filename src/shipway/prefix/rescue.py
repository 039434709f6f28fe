"""A pinned copy of Shipway for the commit that replaces Shipway itself, or the Python it runs on (I10).

All code a commit needs is loaded before the commit point.  But a process that is killed leaves the rest to a new one, which must
be able to start: if a unit touches what Shipway runs from, a copy is left in the state directory first.  Below the command line
Shipway needs nothing but the standard library, so any Python of the right version can run it:

    python3 PREFIX/var/lib/shipway/rescue/recover PREFIX
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence

import shipway
from shipway.model.event import Event
from shipway.model.unit import Unit
from shipway.prefix.site import Site

_HOME = os.path.dirname(shipway.__file__)

SCRIPT = b"""#!/usr/bin/env python3
\"\"\"Finish what an interrupted shipway left in a prefix: recover PREFIX\"\"\"
import os, sys
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.dont_write_bytecode = True
from shipway.prefix.rescue import main
sys.exit(main(sys.argv[1:]))
"""


def pin(site: Site, units: Sequence[Unit]) -> bool:
    """Leave the copy if a unit touches what this process runs from; returns whether it did."""
    own = [path for path in _own_paths(site.layout.root) if _is_touched(path, units)]
    if not own:
        return False
    _load_all()
    target = f"{site.layout.state}/rescue"
    site.fs.remove_tree(target)
    site.fs.mkdir(target, 0o755)
    _copy(site, _HOME, f"{target}/shipway")
    site.fs.write_file(f"{target}/recover", SCRIPT, 0o755)
    return True


def _load_all() -> None:
    """Load all of Shipway: after the commit point its files may be another version's, or gone."""
    import pkgutil  # late: hardly ever needed

    for found in pkgutil.walk_packages(shipway.__path__, "shipway."):
        if not found.name.endswith(("__main__", "compile_script")):
            importlib.import_module(found.name)


def main(arguments: Sequence[str]) -> int:
    """Recover one prefix; for the rescue script."""
    from shipway.errors import ShipwayError
    from shipway.prefix.recover import recover_locked
    from shipway.prefix.site import Options, open_site

    try:
        site = open_site(arguments[0], Options(jobs=1), _tell_waiting)
        lock = site.prefix_lock()
        lock.acquire(on_wait=site.on_wait)
        with lock:
            told = recover_locked(site, again=True)
    except (ShipwayError, IndexError) as error:
        sys.stderr.write(f"recover: {error}\nusage: recover PREFIX\n")
        return 1
    sys.stdout.write("\n".join(told or ["nothing to recover"]) + "\n")
    return 0


def _tell_waiting(event: Event) -> None:
    if event.kind == "waiting":
        sys.stderr.write(f"recover: {event.text}\n")


def _own_paths(root: str) -> list[str]:
    """What this process runs from, where that is inside the prefix: the package, the interpreter and its library."""
    found = [_HOME, sys.executable, os.__file__, os.path.realpath(sys.executable)]
    inside = {os.path.realpath(path) for path in found} | {os.path.abspath(path) for path in found}
    return sorted(path[len(root) + 1 :] for path in inside if path.startswith(root + "/"))


def _is_touched(path: str, units: Sequence[Unit]) -> bool:
    return any(path == u.path or path.startswith(u.path + "/") or u.path.startswith(path + "/") for u in units)


def _copy(site: Site, source: str, target: str) -> None:
    site.fs.mkdir(target, 0o755)
    for entry in sorted(os.scandir(source), key=lambda e: e.name):
        if entry.is_dir() and entry.name != "__pycache__":
            _copy(site, entry.path, f"{target}/{entry.name}")
        elif entry.is_file() and not entry.name.endswith(".pyc"):
            site.fs.write_file(f"{target}/{entry.name}", _content(entry.path), 0o644)


def _content(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()
