"""Processes that keep a prefix company while it is attacked: started, told to stop, asked what they have seen."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from proof.scene import TIMEOUT, Scene, environment


def program(scene: Scene, name: str, *arguments: str | Path) -> list[str]:
    """The command line of one of our programs."""
    return [scene.python, str(scene.programs / f"{name}.py"), *map(str, arguments)]


class Company:
    """Programs at work, told to stop by the end of their standard input; `reports` holds what they say in the end."""

    def __init__(self, *commands: Sequence[str]) -> None:
        self._commands = commands
        self._running: list[subprocess.Popen[str]] = []
        self.reports: list[dict[str, Any]] = []

    def __enter__(self) -> Self:
        for command in self._commands:
            process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment()
            )
            self._running.append(process)
        for process in self._running:
            assert process.stdout is not None
            if process.stdout.readline() != "ready\n":
                raise RuntimeError(f"{process.args!r} did not start")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        answers = [_end(process) for process in self._running]
        if error is None:
            self.reports = [json.loads(answer.splitlines()[-1]) for answer in answers]


def _end(process: subprocess.Popen[str]) -> str:
    try:
        return process.communicate(timeout=TIMEOUT)[0]
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        raise


def at_once(commands: Sequence[Sequence[str]]) -> list[subprocess.CompletedProcess[str]]:
    """Start commands that wait for a line, wait till all are ready, let all go; what became of each."""
    running = [
        subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment()
        )
        for command in commands
    ]
    for process in running:
        assert process.stderr is not None
        process.stderr.readline()
    for process in running:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    done = []
    for process in running:
        try:
            out, err = process.communicate(timeout=TIMEOUT)
        except subprocess.TimeoutExpired:
            process.kill()
            out, err = process.communicate()
            err += "hung"
        done.append(subprocess.CompletedProcess(process.args, process.returncode, out, err))
    return done
