"""The three attacks: kills, a reader during upgrades, upgrades at once."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from math import ceil
from pathlib import Path

from proof.peers.case import NEW, OLD, OTHER, Case, kill
from proof.peers.judge import HOLES, MIXED, of_record
from proof.peers.payload import common_paths, wanted
from proof.scene import TIMEOUT

READER = Path(__file__).with_name("reader_process.py")


@dataclass
class Kills:
    """`landed` of the kills met a running upgrade.

    Right after it, by what a reader sees: `mixed`, or with `holes`.  After the same command again: it `refused` (ended with
    another code than 0), the tree was `broken`, and it `claimed` success over that.  `surplus` of the broken were whole but
    for files of another version left over.  `beyond` the remedy of its manual.
    """

    landed: int = 0
    mixed: int = 0
    holes: int = 0
    refused: int = 0
    broken: int = 0
    surplus: int = 0
    claimed: int = 0
    beyond: int = 0
    littered: int = 0
    found: list[str] = field(default_factory=list)


@dataclass
class Reads:
    """Passes of a reader over all files that every version has, during so many upgrades; opens that failed, files torn."""

    upgrades: int = 0
    passes: int = 0
    missing: int = 0
    torn: int = 0
    mixed: int = 0
    found: list[str] = field(default_factory=list)


@dataclass
class Crowd:
    """Rounds of four upgrades at once: processes that failed, rounds that ended broken, rounds that left litter.

    `surplus` of the broken were whole but for files of another version left over.
    """

    rounds: int = 0
    failed: int = 0
    broken: int = 0
    surplus: int = 0
    littered: int = 0
    found: list[str] = field(default_factory=list)


def kills(case: Case, number: int) -> Kills:
    """A third of the kills spread over the run, a third by how much has changed, a third from the first change to the end.

    A kill that comes too late is tried again, but no more than so often.
    """
    result = Kills()
    strikes = (_in_the_run, _by_changes, _towards_the_end)
    for n in range(2 * number):
        if result.landed < number:
            part = (n // 3 % ceil(number / 3) + 0.5) / ceil(number / 3)
            case.restore()
            if strikes[n % 3](case, part):
                _after(case, result, f"kill {n}")
    case.restore()
    return result


def _in_the_run(case: Case, part: float) -> bool:
    process = case.start(OLD, NEW)
    time.sleep(case.times.whole * part)
    return kill(process)


def _by_changes(case: Case, part: float) -> bool:
    before = case.look()
    process = case.start(OLD, NEW)
    while process.poll() is None and case.changed(before) < part:
        pass
    return kill(process)


def _towards_the_end(case: Case, part: float) -> bool:
    before = case.look()
    process = case.start(OLD, NEW)
    while process.poll() is None and not case.changed(before):
        pass
    until = time.monotonic() + case.times.ending * part
    while time.monotonic() < until:
        pass
    return kill(process)


def _after(case: Case, result: Kills, which: str) -> None:
    result.landed += 1
    seen = case.verdict()
    result.mixed += seen.state == MIXED
    result.holes += seen.state == HOLES
    code = case.ended(case.tool.upgrade(case.here, OLD, NEW))
    wrong = _wrong(case, code)
    result.refused += code != 0
    result.littered += bool(case.litter())
    if not wrong:
        return
    result.broken += 1
    result.surplus += bool(case.verdict().surplus)
    result.claimed += code == 0
    result.found.append(f"{which}, {seen.state} right after, the same command ended with {code}: {wrong}")
    codes = [case.ended(command) for command in case.tool.remedy(case.here, OLD, NEW)]
    result.beyond += codes[-1:] != [0] or bool(_wrong(case, 0))


def _wrong(case: Case, code: int) -> str:
    """What is wrong with the tree or the record after a command; one that succeeded must have brought the new version."""
    seen = case.verdict()
    wrong = seen.why or of_record(seen, case.recorded())
    if not wrong and code == 0 and seen.state != NEW:
        return f"the old version is there after the upgrade ended with {code}"
    return wrong


def reads(case: Case, upgrades: int) -> Reads:
    """A reader that takes no lease, in a loop, while the versions go back and forth."""
    case.restore()
    known = {path: {version: wanted(version)[path] for version in (OLD, NEW)} for path in common_paths()}
    (case.room / "known.json").write_text(json.dumps(known))
    reader = subprocess.Popen(
        [sys.executable, "-P", str(READER), str(case.tool.root(case.here)), str(case.room / "known.json")],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert reader.stdout is not None
    reader.stdout.readline()
    try:
        for n in range(upgrades):
            case.undisturbed(*((OLD, NEW) if n % 2 == 0 else (NEW, OLD)))
    finally:
        reader.send_signal(signal.SIGTERM)
        said, _ = reader.communicate(timeout=TIMEOUT)
    return Reads(upgrades, **json.loads(said))


def crowd(case: Case, rounds: int) -> Crowd:
    """Four upgrades at once: in even rounds all to one version, in odd ones to two."""
    result = Crowd()
    for n in range(rounds):
        case.restore()
        wanted_versions = (NEW, NEW, NEW, NEW) if n % 2 == 0 else (NEW, OTHER, NEW, OTHER)
        processes = [case.start(OLD, version) for version in wanted_versions]
        codes = [_waited(process) for process in processes]
        _together(case, result, codes, f"round {n}, to {' '.join(wanted_versions)}")
    case.restore()
    return result


def _together(case: Case, result: Crowd, codes: list[int], which: str) -> None:
    result.rounds += 1
    result.failed += sum(code != 0 for code in codes)
    seen = case.verdict()
    wrong = seen.why or of_record(seen, case.recorded())
    left = case.litter()
    result.broken += bool(wrong)
    result.surplus += bool(seen.surplus)
    result.littered += bool(left)
    if wrong or any(codes) or left:
        endings = ", ".join(f"{times} ended with {code}" for code, times in sorted(Counter(codes).items()))
        result.found.append(f"{which}: {endings}; {wrong or f'version {seen.state}'}{_also(case, left)}")


def _also(case: Case, left: list[str]) -> str:
    text = case.said.read_text(errors="replace").replace(f"{case.here}/", "")
    said = text.strip().splitlines()[-1:]
    return "".join([f"; left: {', '.join(left[:3])}" if left else "", f"; said: {said[0][:200]}" if said else ""])


def _waited(process: subprocess.Popen[bytes]) -> int:
    try:
        return process.wait(TIMEOUT)
    except subprocess.TimeoutExpired:
        kill(process)
        return -1
