"""`make demo`: install under running importers, by `cp -Rp` and by `shipway merge`, and show what happens.

python -m demo [--rounds N] [--seconds N] [--importers N] [--dir DIR] [--python2 EXE] [--offline]
"""

from __future__ import annotations

import argparse
import shutil
import sys
import sysconfig
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from demo.fetch import Kitchen, UnreachableError, find_python2
from demo.importers import Interpreter
from demo.rounds import Copy, Merge, Method, Race, Tally, Track
from demo.table import layout

FEWEST_ROUNDS = 2
READERS = """An upgrade is one step on the disk, yet a program that is in the middle of importing when it comes may have read
the old package before and read the new one after.  `shipway exec -- CMD` keeps the world still for CMD."""


def main() -> int:
    """Run the races, print the table; 1 if an installation by shipway failed."""
    options = parse(sys.argv[1:])
    started = time.monotonic()
    options.dir.mkdir(parents=True, exist_ok=True)
    races = prepare(Kitchen(options.dir.resolve()), options)
    tracks = [run(race, method, options) for race in races for method in methods(race)]
    report(tracks)
    print(
        f"\n{time.monotonic() - started:.0f} s.  Run again with more rounds: make demo DEMO='--rounds 200 --seconds 600'"
    )
    return int(any(track.tally.failed for track in tracks if isinstance(track.method, Merge)))


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m demo", description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rounds", type=int, default=10, help="rounds of each race by each method (%(default)s)")
    parser.add_argument("--seconds", type=float, default=3, help="at most so long for each (%(default)s)")
    parser.add_argument("--importers", type=int, default=3, help="processes that import meanwhile (%(default)s)")
    parser.add_argument("--dir", type=Path, default=Path(".demo"), help="where everything is kept (%(default)s)")
    parser.add_argument("--python2", metavar="EXE", help="a Python 2.7 (default: the first that is found)")
    parser.add_argument("--offline", action="store_true", help="use generated packages, ask no index")
    return parser.parse_args(arguments)


def methods(race: Race) -> list[Method]:
    """The ways that are compared; what `exec` adds can be seen where programs run from what is replaced."""
    shipway = [str(Path(sysconfig.get_path("scripts"), "shipway"))]
    return [Copy(), Merge(shipway), *([Merge.with_leases(shipway)] if race.before else [])]


def prepare(kitchen: Kitchen, options: argparse.Namespace) -> list[Race]:
    """Fetch, build and stage what the races are about."""
    old = Interpreter(options.python2, "2.7") if options.python2 else find_python2()
    if old is None:
        print("No Python 2.7 found: the races are run under Python 3 alone.")
    pythons = [python for python in (old, Interpreter.here()) if python]
    return [replace(race, importers=options.importers) for race in cook(kitchen, pythons, options.offline)]


def cook(kitchen: Kitchen, pythons: Sequence[Interpreter], offline: bool) -> list[Race]:
    """The races on real packages, or on generated ones if there is no way to get the real ones."""
    try:
        if offline:
            raise UnreachableError("--offline was given")
        say("fetching future and docutils")
        return [*map(kitchen.future, pythons), kitchen.docutils(pythons[-1])]
    except UnreachableError as error:
        say("")
        print(f"The package index can't be used: {error}")
        print("Generated packages of the same shape are installed instead.\n")
    fresh = [kitchen.generated(python, ["1.0"]) for python in pythons]
    return [*fresh, kitchen.generated(pythons[-1], ["1.0", "2.0"])]


def run(race: Race, method: Method, options: argparse.Namespace) -> Track:
    """Run one race by one method, until the rounds or the time are used up."""
    versions = [stage.version for stage in race.stages]
    how = "cp" if isinstance(method, Copy) else "exec" if method.through else "shipway"
    folder = "-".join([race.after.name, *versions, f"python{race.after.interpreter.version}", how])
    place = options.dir.resolve() / "races" / folder
    shutil.rmtree(place, ignore_errors=True)
    track = Track(race, method, place)
    end = time.monotonic() + options.seconds
    while track.tally.rounds < options.rounds and (track.tally.rounds < FEWEST_ROUNDS or time.monotonic() < end):
        say(f"{race.title}, {method.name}: round {track.tally.rounds + 1} of {options.rounds}")
        track.run_round()
    track.close()
    return track


def report(tracks: Sequence[Track]) -> None:
    """Print the table, an example of each failure, and where to look."""
    say("")
    print(f"Installing while {tracks[0].race.importers} processes import the package in a loop:\n")
    print(layout(tracks))
    for track in tracks:
        if example := first_words(track.tally):
            print(f"\n{track.race.title}, {track.method.name}, for example:\n  {example}")
    if any(track.race.before and track.tally.seen.mixed + track.tally.seen.broken for track in tracks):
        print(f"\n{READERS}")
    print("\nThe prefixes as the last rounds left them, and the staged trees:")
    for track in tracks:
        print(f"  {track.place / 'prefix'}")
    for tree in sorted({stage.tree for track in tracks for stage in track.race.stages}):
        print(f"  {tree}")


def first_words(tally: Tally) -> str:
    """What the first failure said, of a command and of an import."""
    complaints = [complaint.splitlines()[0] for complaint in tally.complaints[:1]]
    return "\n  ".join([*complaints, *tally.seen.reasons[:1]])


def say(words: str) -> None:
    """Show on a terminal what is being done; the next words replace these."""
    if sys.stderr.isatty():
        print(f"\r\033[K{words}", end="", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
