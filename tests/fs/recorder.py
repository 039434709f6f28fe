"""A file layer that notes its steps, and fails where it is told to."""

from __future__ import annotations

import os

from shipway.fs.system import FileSystem, RenameMode


class Recorder(FileSystem):
    """Notes the name of each step and the last part of its path, and fails at the operation that is asked for."""

    def __init__(self, mode: RenameMode = RenameMode.AUTO, fail_at: str = "") -> None:
        super().__init__(mode)
        self.steps: list[tuple[str, str]] = []
        self.fail_at = fail_at

    def step(self, operation: str, path: str) -> None:
        self.steps.append((operation, os.path.basename(path)))
        if operation == self.fail_at:
            raise OSError(5, "made up", path)
