"""Fill a prefix with many packages, through the Python API.

python fill.py PREFIX STAGES PACKAGES FILES_EACH PACKAGES_PER_TRANSACTION
"""

from __future__ import annotations

import sys
from pathlib import Path

from shipway import Prefix


def main() -> None:
    """Read the arguments and fill."""
    prefix, stages = map(Path, sys.argv[1:3])
    packages, files, together = map(int, sys.argv[3:])
    for first in range(0, packages, together):
        install(prefix, stages, range(first, min(first + together, packages)), files)


def install(root: Path, stages: Path, numbers: range, files: int) -> None:
    """Stage, seal and install some packages in one transaction."""
    with Prefix(str(root)) as prefix:
        images = []
        for number in numbers:
            name = f"package{number:03}"
            stage = write_stage(stages / name, name, files)
            images.append(prefix.seal(str(stage), name=name, version="1", move=True))
        with prefix.transaction(reason="fill") as tx:
            for image in images:
                tx.install(image)


def write_stage(stage: Path, name: str, files: int) -> Path:
    """A tree of tiny files, no two of which are equal."""
    folder = stage / "lib" / name
    folder.mkdir(parents=True)
    for number in range(files):
        (folder / f"file{number:04}").write_text(f"{name} {number}\n")
    return stage


if __name__ == "__main__":
    main()
