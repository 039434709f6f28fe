"""`make proof`: attack what Shipway promises, count what holds.

python -m proof [--attacks A,…] [--full] [--jobs N] [--seed N] [--dir DIR] [--out FILE] [--page FILE] [--shipway EXE]
"""

from __future__ import annotations

import argparse
import importlib
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

from proof.page import read_counts, write_page
from proof.report import Count, complaints, table, write_json
from proof.scene import Scene, leave

ATTACKS = ("kill", "moved", "power", "races", "people", "filesystems", "scale", "fuzz", "environments")


def main() -> int:
    """Carry out the attacks; 1 if a promise was broken, or an attack shown to prove nothing."""
    options = parse(sys.argv[1:])
    started = time.monotonic()
    options.dir.mkdir(parents=True, exist_ok=True)
    place = Path(tempfile.mkdtemp(prefix="run-", dir=options.dir.resolve()))
    scene = Scene(place, options.full, options.seed, options.shipway, sys.executable)
    counts = carried_out(options, scene)
    seconds = time.monotonic() - started
    broken = [count for count in counts if not count.held and (options.full or not count.naive)]
    blind = [f"{count.attack}, {count.case}" for count in counts if not count.held and count.naive]
    print(
        f"\n{sum(c.tries for c in counts)} tries in {seconds:.0f} s; {len(broken) or 'no'} cases that are not as promised"
    )
    for case in blind:
        print(f"{case}: did not break this time; in the full form that counts as a failure of the attack")
    write_json(options.out, counts, place, seconds)
    if options.page:
        write_page(options.page, options.out)
    if broken:
        print(f"\n{complaints(counts)}\n\nwhat is left of it: {place}")
    else:
        leave(place)
    return int(bool(broken))


def carried_out(options: argparse.Namespace, scene: Scene) -> list[Count]:
    """The counts of all attacks: one after another, or so many at once, each in a process of its own."""
    if min(options.jobs, len(options.attacks)) < 2:
        return [count for attack in options.attacks for count in told(attack, scene)]
    with ThreadPoolExecutor(options.jobs) as pool:
        found = pool.map(lambda attack: apart(attack, options, scene), options.attacks)
        return [count for counts in found for count in counts]


def apart(attack: str, options: argparse.Namespace, scene: Scene) -> list[Count]:
    """The counts of one attack that a process of its own carries out.  Raises RuntimeError if that dies."""
    out = scene.place / f"{attack}.json"
    words = ["--attacks", attack, "--seed", str(scene.seed), "--shipway", scene.shipway]
    words += ["--dir", str(scene.place / attack), "--out", str(out), *(["--full"] if scene.full else [])]
    ran = subprocess.run([sys.executable, "-m", "proof", *words], stdout=subprocess.PIPE, text=True, check=False)
    print(ran.stdout, flush=True)
    if not out.exists():
        raise RuntimeError(f"{attack} ended with {ran.returncode}, and counted nothing")
    return read_counts(out)


def told(attack: str, scene: Scene) -> list[Count]:
    """The counts of one attack, printed when they are there."""
    module = importlib.import_module(f"proof.attacks.{attack}")
    if sys.stderr.isatty():
        print(f"{attack}: {(module.__doc__ or '').splitlines()[0]}", file=sys.stderr)
    carry_out: Callable[[Scene], Iterable[Count]] = module.attack
    counts = list(carry_out(scene))
    print(table(counts), flush=True)
    return counts


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m proof", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--attacks", type=chosen, default=list(ATTACKS), help=f"of {','.join(ATTACKS)} (all)")
    parser.add_argument("--full", action="store_true", help="everything, about an hour; else a sample")
    parser.add_argument("--jobs", type=int, default=1, help="so many attacks at once (%(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="for what is random (%(default)s)")
    parser.add_argument("--dir", type=Path, default=Path(".proof"), help="where the work is done (%(default)s)")
    script = str(Path(sysconfig.get_path("scripts"), "shipway"))
    parser.add_argument("--shipway", metavar="EXE", default=script, help="the command to attack (this one's)")
    default = Path("proof/results") / f"{datetime.now(UTC).date()}.json"
    parser.add_argument("--out", type=Path, default=default, help="the JSON (%(default)s)")
    parser.add_argument("--page", type=Path, help="put the counts into this page of the documentation")
    return parser.parse_args(arguments)


def chosen(text: str) -> list[str]:
    """Names of attacks from the command line."""
    names = text.split(",")
    if unknown := set(names) - set(ATTACKS):
        raise argparse.ArgumentTypeError(
            f"no such attack: {', '.join(sorted(unknown))}; there are {', '.join(ATTACKS)}"
        )
    return names


if __name__ == "__main__":
    sys.exit(main())
