"""`make proof-peers`: kill, read and race upgrades of other tools and of Shipway, judged by the same code.

python -m proof.peers [--tools A,…] [--rounds N] [--full] [--dir DIR] [--out FILE] [--page FILE] [--shipway EXE]
"""

from __future__ import annotations

import argparse
import sys
import sysconfig
import tempfile
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from proof.page import put
from proof.peers.attacks import crowd, kills, reads
from proof.peers.case import Case, DoesNotWork
from proof.peers.files import Copy, Rsync, RsyncDelayed, Stow
from proof.peers.ours import Shipway
from proof.peers.result import Row, findings, markdown, table, write_json
from proof.peers.systems import Ostree, Pacman
from proof.peers.tool import Tool
from proof.peers.wheels import Pip, Uv
from proof.scene import Scene, leave

TOOLS: Mapping[str, type[Tool]] = {
    tool.name: tool for tool in (Copy, Rsync, RsyncDelayed, Pip, Uv, Stow, Pacman, Ostree, Shipway)
}  # fmt: skip
FULL = 24
QUICK = 12


def main() -> int:
    """Try every tool; 1 if Shipway did not hold what it promises.  What others do is told, and never a failure."""
    options = parse(sys.argv[1:])
    started = time.monotonic()
    options.dir.mkdir(parents=True, exist_ok=True)
    place = Path(tempfile.mkdtemp(prefix="peers-", dir=options.dir.resolve()))
    scene = Scene(place, options.full, 1, options.shipway, sys.executable)
    kept = options.dir.resolve() / "tools"
    rows = [tried(TOOLS[name](scene, kept), scene, options.rounds) for name in options.tools]
    seconds = time.monotonic() - started
    print(f"\n{table(rows)}\n\n{seconds:.0f} s")
    write_json(options.out, rows, place, seconds)
    if options.page:
        put(options.page, markdown(options.out))
    leave(place)
    ours = [row for row in rows if row.tool == Shipway.name]
    return int(any(row.skipped or not row.sound for row in ours))


def tried(tool: Tool, scene: Scene, rounds: int) -> Row:
    """One tool under all attacks, told as soon as it is done."""
    if why := tool.missing():
        print(f"{tool.name}: not tried: {why}", flush=True)
        return Row(tool.name, skipped=why)
    started = time.monotonic()
    room = scene.room(tool.name)
    try:
        row = attacked(tool, Case(tool, room), rounds, started)
    except DoesNotWork as problem:
        row = Row(tool.name, tool.version(), skipped=f"does not work here: {problem}")
    leave(room)
    print("\n".join([f"{row.version}: {row.skipped or f'{row.seconds} s'}", *findings(row)]), flush=True)
    return row


def attacked(tool: Tool, case: Case, rounds: int, started: float) -> Row:
    """The counts of one tool."""
    killed, read = kills(case, rounds), reads(case, rounds)
    together = crowd(case, max(2, rounds // 2))
    seconds = round(time.monotonic() - started)
    return Row(tool.name, tool.version(), "", case.left, case.times, killed, read, together, seconds)


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m proof.peers", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--tools", type=chosen, default=list(TOOLS), help=f"of {','.join(TOOLS)} (all)")
    parser.add_argument(
        "--rounds", type=int, help=f"kills, upgrades under a reader, half of it rounds at once ({QUICK}; full: {FULL})"
    )
    parser.add_argument("--full", action="store_true", help="about ten minutes; else about three")
    parser.add_argument("--dir", type=Path, default=Path(".proof"), help="where the work is done (%(default)s)")
    script = str(Path(sysconfig.get_path("scripts"), "shipway"))
    parser.add_argument("--shipway", metavar="EXE", default=script, help="the command to attack (this one's)")
    default = Path("proof/results") / f"peers-{datetime.now(UTC).date()}.json"
    parser.add_argument("--out", type=Path, default=default, help="the JSON (%(default)s)")
    parser.add_argument("--page", type=Path, help="put the tables into this page of the documentation")
    options = parser.parse_args(arguments)
    options.rounds = options.rounds or (FULL if options.full else QUICK)
    return options


def chosen(text: str) -> list[str]:
    """Names of tools from the command line."""
    names = text.split(",")
    if unknown := set(names) - set(TOOLS):
        raise argparse.ArgumentTypeError(f"no such tool: {', '.join(sorted(unknown))}; there are {', '.join(TOOLS)}")
    return names


if __name__ == "__main__":
    sys.exit(main())
