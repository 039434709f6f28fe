"""Directories that were swapped out, and programs that still work in them: what a killed collection makes of their files."""

from __future__ import annotations

import os
from pathlib import Path

from proof.company import Company, program
from proof.world import STATE, World, snapshot


class Inhabited:
    """A world in which undo areas are about to be given up, with a program in every directory that was taken out."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.company = Company()
        self.acknowledged = 0

    def arrange(self) -> None:
        """Begin again, and let the programs in."""
        self.leave()
        self.world.restore()
        areas = (self.world.root / STATE / "undo").glob("*/u*")
        self.company = Company(*(program(self.world.scene, "resident", path) for path in areas if path.is_dir()))
        self.company.__enter__()

    def leave(self) -> list[str]:
        """Stop the programs; the names of the files that they were acknowledged."""
        company, self.company = self.company, Company()
        company.__exit__(None, None, None)
        return [name for report in company.reports for name in report["left"]]

    def judge(self) -> list[str]:
        """What is wrong after the next command, and after the next collection: files lost, areas left."""
        world, root = self.world, self.world.root
        problems = [self._said("list"), self._said("gc", "--keep", "0")]
        left = self.leave()
        problems += [self._said("gc", "--keep", "0"), self._said("verify")]
        self.acknowledged += len(left)
        saved = {name for _, _, names in os.walk(root / STATE / "lost+found") for name in names}
        problems += [f"{name} is lost" for name in left if name not in saved]
        problems += [
            f"left in {part}/: {name}" for part in ("work", "undo") for name in os.listdir(root / STATE / part)
        ]
        if snapshot(root) != world.before:
            problems.append("the live tree has changed")
        return [problem for problem in problems if problem]

    def _said(self, *words: str | Path) -> str:
        done = self.world.scene.run("-p", self.world.root, *words)
        return f"{words[0]} ended with {done.returncode}: {done.stderr.strip()}" if done.returncode else ""
