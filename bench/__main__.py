"""`make bench`: measure Shipway against `cp` and `rm`, print a table, write JSON.

python -m bench [--parts PART,…] [--rounds N] [--dir DIR] [--out FILE] [--files N] [--shipway EXE]
"""

from __future__ import annotations

import argparse
import sys
import sysconfig
import tempfile
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from bench import answers, changes, environments
from bench.command import FailedError
from bench.report import Measure, machine, table, write_json
from bench.shop import Shop
from bench.trees import CALM, Shape, wait_for_calm

PARTS: dict[str, Callable[[Shop], Iterable[Measure]]] = {
    "start": answers.start,
    "move": changes.move,
    "merge": changes.merge,
    "exchange": changes.exchange,
    "change": changes.change,
    "memory": answers.memory,
    "questions": answers.questions,
    "environments": environments.environments,
    # These delete, which the others must not follow.
    "whole": changes.whole,
    "remove": changes.remove,
}

# They don't compare how files are created.
UNHURRIED = {"start", "memory", "questions"}


def main() -> int:
    """Run the parts; 1 if one of them could not be measured, or a target is missed."""
    options = parse(sys.argv[1:])
    options.dir.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="run-", dir=options.dir.resolve(), ignore_cleanup_errors=True) as place:
        if set(options.parts) - UNHURRIED and (took := wait_for_calm(Path(place))) > CALM:
            print(f"the file system is busy: {took:.0f} µs to create a file; expect odd numbers", file=sys.stderr)
        shop = Shop(Path(place), options.rounds, options.shipway, Shape(files=options.files))
        measures, failed = measure(shop, options.parts)
        report(measures, options.out, shop.place)
    return int(failed or any(m.met is False for m in measures))


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measure Shipway against cp and rm.")
    parser.add_argument("--parts", type=chosen, default=list(PARTS), help=f"of {','.join(PARTS)} (all)")
    parser.add_argument("--rounds", type=int, default=5, help="of each comparison (%(default)s)")
    parser.add_argument("--files", type=int, default=20_000, help="in 200 directories, of 4 kB each (%(default)s)")
    parser.add_argument("--dir", type=Path, default=Path(".bench"), help="where the work is done (%(default)s)")
    script = str(Path(sysconfig.get_path("scripts"), "shipway"))
    parser.add_argument("--shipway", metavar="EXE", default=script, help="the command to measure (this one's)")
    default = Path("bench/results") / f"{datetime.now(UTC).date()}.json"
    parser.add_argument("--out", type=Path, default=default, help="the JSON (%(default)s)")
    return parser.parse_args(arguments)


def chosen(text: str) -> list[str]:
    """Names of parts from the command line."""
    names = text.split(",")
    if unknown := set(names) - PARTS.keys():
        raise argparse.ArgumentTypeError(f"no such part: {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    return names


def measure(shop: Shop, parts: Sequence[str]) -> tuple[list[Measure], bool]:
    """The measures of the parts, and whether one of them failed."""
    measures: list[Measure] = []
    failed = False
    for part in sorted(parts, key=list(PARTS).index):
        print(f"{part}: {PARTS[part].__doc__}", file=sys.stderr, flush=True)
        try:
            measures += PARTS[part](shop)
        except FailedError as error:
            failed = True
            print(error, file=sys.stderr)
    return measures, failed


def report(measures: Sequence[Measure], out: Path, place: Path) -> None:
    """Print the table and write the JSON."""
    if not measures:
        return
    print(table(measures))
    print("\n" + ", ".join(f"{name.replace('_', ' ')}: {value}" for name, value in machine(place).items()))
    write_json(out, measures, place)
    print(f"written to {out}")


if __name__ == "__main__":
    sys.exit(main())
