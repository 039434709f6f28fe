"""Build packages of the starter collection, with what they need, into a new prefix, and use them.

python -m collection [NAME…] [--dir DIR] [--cflags FLAGS] [--system NAME] [--page FILE] [--or-skip]
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from collection.page import Row, table, write_page
from collection.uses import USES

SHIPWAY = [sys.executable, "-m", "shipway"]


def main() -> int:
    """1 if a package could not be built, or does not do what it is for."""
    options = parse()
    options.dir.mkdir(parents=True, exist_ok=True)
    place = Path(tempfile.mkdtemp(prefix="run-", dir=options.dir.resolve()))
    prefix = place / "prefix"
    prefix.mkdir()
    flags = "".join(f"{name} = {json.dumps(options.cflags)}\n" for name in ("cflags", "cxxflags"))
    (place / "shipway.toml").write_text(f'prefix = "prefix"\n[build]\n{flags if options.cflags else ""}')
    if options.or_skip and (why := unreachable(options)):
        print(f"SKIPPED: the sources are not to be had here:\n{why}")
        return 0
    begun = time.monotonic()
    rows = install(options, prefix)
    seconds = time.monotonic() - begun
    problems = [f"{row.name}: {row.deed}" for row in rows if row.deed != "committed"]
    problems += used(prefix, {row.name: row.version for row in rows if row.deed == "committed"})
    print(table(rows))
    print(f"\n{len(rows)} packages in {seconds:.0f} s; {len(problems) or 'no'} problems; {prefix}")
    print("".join(f"  {problem}\n" for problem in problems), end="")
    if options.page:
        write_page(options.page, rows, seconds)
    return int(bool(problems) or not rows)


def unreachable(options: argparse.Namespace) -> str:
    """Why the sources cannot be fetched; "" if they can."""
    which = ["--deps", *options.names] if options.names else ["--all"]
    ran = subprocess.run([*SHIPWAY, "fetch", *which], capture_output=True, text=True, check=False)
    return ran.stderr if ran.returncode else ""


def install(options: argparse.Namespace, prefix: Path) -> list[Row]:
    """Build and commit; every package's row."""
    words = [*SHIPWAY, "-p", str(prefix), "--json", "install", "--keep-going", *(options.names or ["--all"])]
    words += [word for name in options.system for word in ("--system", name)]
    ran = subprocess.run(
        words, cwd=prefix.parent, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, check=False
    )
    if not ran.stdout:
        raise SystemExit(ran.returncode or 1)
    listed = subprocess.run(
        [*SHIPWAY, "-p", str(prefix), "--json", "list"], stdout=subprocess.PIPE, text=True, check=True
    )
    files = {each["name"]: each["files"] for each in json.loads(listed.stdout)}
    return [
        Row(each["name"], each["version"], each["deed"], each["seconds"], files.get(each["name"], 0))
        for each in json.loads(ran.stdout)["packages"]
    ]


def used(prefix: Path, versions: dict[str, str]) -> list[str]:
    """What is wrong with the prefix, or with what is in it when it is used."""
    problems = []
    if subprocess.run([*SHIPWAY, "-p", str(prefix), "verify"], check=False).returncode:
        problems.append("the prefix is not as recorded")
    for name, use in USES.items():
        if name in versions:
            try:
                use(prefix, versions)
            except (AssertionError, OSError, subprocess.CalledProcessError) as error:
                problems.append(f"{name}: {error} {getattr(error, 'stderr', '') or ''}".strip())
            else:
                print(f"{name} {versions[name]} does what it is for")
    return problems


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="make collection", description=__doc__)
    parser.add_argument("names", nargs="*", help="packages [else: all]")
    parser.add_argument("--dir", type=Path, default=Path(".collection"))
    parser.add_argument("--cflags", default="", help="flags for C and C++ instead of -O2")
    parser.add_argument("--system", action="append", default=[], help="what is taken from the host")
    parser.add_argument("--page", type=Path, help="a page of the documentation to write the result to")
    parser.add_argument("--or-skip", action="store_true", help="skip, and say so, where sources cannot be fetched")
    return parser.parse_args()


if __name__ == "__main__":
    raise SystemExit(main())
