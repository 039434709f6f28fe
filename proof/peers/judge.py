"""The judge of all tools: what lies on the disk, against every version, by the digests of all files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

from proof.peers.payload import NEIGHBOURS, VERSIONS, common_paths, digest, every_path, wanted
from proof.peers.tool import Record, Tool

HOLES = "holes"
MIXED = "mixed"


@dataclass(frozen=True)
class Verdict:
    """A version; or MIXED: each file whole, but not all of one version; or HOLES: files missing or of no version.

    `why` says what was found where it is no version; `surplus` is the version that it would be but for files of others
    left over.
    """

    state: str
    why: str = ""
    surplus: str = ""

    @property
    def broken(self) -> bool:
        """Whether it is no version."""
        return self.state not in VERSIONS


def judge(root: Path, leaves_old: bool) -> Verdict:
    """What lies under a live tree.

    Where a tool leaves old files behind after every upgrade, undisturbed ones too, they are not held against it.
    """
    seen = {path: _digest(root / path) for path in every_path()}
    for version in VERSIONS:
        if _is(version, seen, leaves_old) and not _neighbours(root):
            return Verdict(version)
    holes = [f"{path}: {_fault(path, found)}" for path, found in seen.items() if _fault(path, found)] + _neighbours(
        root
    )
    if holes:
        return Verdict(HOLES, f"{len(holes)} files, {'; '.join(holes[:3])}")
    whole = "".join(version for version in VERSIONS if _is(version, seen, leaves_old=True))
    return Verdict(MIXED, "; ".join(filter(None, (_share(version, seen) for version in VERSIONS))), whole)


def _share(version: str, seen: dict[str, str]) -> str:
    """How much of a version is there."""
    files = wanted(version)
    own = set(files) - set(common_paths())
    common = sum(seen[path] == files[path] for path in common_paths())
    alone = sum(bool(seen[path]) for path in own)
    told = f"version {version}: {common} of {len(common_paths())} files that all have, {alone} of {len(own)} of its own"
    return told if common or alone else ""


def _is(version: str, seen: dict[str, str], leaves_old: bool) -> bool:
    files = wanted(version)
    return all(found == files[path] if path in files else leaves_old or not found for path, found in seen.items())


def _fault(path: str, found: str) -> str:
    """Missing although every version has it, or there with what no version holds."""
    if not found:
        return "missing" if path in common_paths() else ""
    return "" if found in {wanted(v).get(path) for v in VERSIONS} else "of no version"


def _neighbours(root: Path) -> list[str]:
    """Files of others that are not what they were."""
    return [
        f"{path}: not ours, and changed" for path, held in NEIGHBOURS.items() if _digest(root / path) != digest(held)
    ]


def _digest(path: Path) -> str:
    """Empty if it is not there."""
    try:
        return digest(path.read_bytes())
    except OSError:
        return ""


def of_record(verdict: Verdict, record: Record) -> str:
    """What is wrong between the disk and what the tool says; empty if nothing, or if it keeps no record."""
    if record is None or verdict.broken or record == (verdict.state,):
        return ""
    return f"the files are of version {verdict.state}, the tool says {' and '.join(record) or 'nothing'} is installed"


def litter(tool: Tool, here: Path, known: Sequence[str]) -> list[str]:
    """What lies about that neither version has, and that was not there after undisturbed upgrades."""
    left = [str(path.relative_to(here)) for pattern in tool.litter for path in here.glob(pattern)]
    return sorted(set(left) | set(strange(tool, here)) - set(known))


def strange(tool: Tool, here: Path) -> list[str]:
    """Topmost paths in the live tree that are neither the package's, nor others', nor what the tool keeps there."""
    files = {*every_path(), *NEIGHBOURS}
    directories = {str(parent) for path in files for parent in Path(path).parents}
    found: list[str] = []
    root = tool.root(here)
    waiting = [Path(".")]
    while waiting:
        for entry in sorted((root / waiting.pop()).iterdir()):
            path = str(entry.relative_to(root))
            if path in directories:
                waiting.append(Path(path))
            elif path not in files and entry.name != "__pycache__" and not any(fnmatch(path, p) for p in tool.own):
                found.append(path)
    return found
