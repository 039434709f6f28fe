"""A prefix to command, and nothing else that says anything."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.cli.shop import Plain, Shop, plain, tells


@pytest.fixture(autouse=True)
def told_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No variable and no shipway.toml above the working directory says anything."""
    for name in filter(tells, list(os.environ)):
        if not name.startswith("PYTHON"):
            monkeypatch.delenv(name)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    """An empty prefix."""
    (tmp_path / "site").mkdir()
    (tmp_path / "stages").mkdir()
    return Shop(tmp_path / "site", tmp_path / "stages")


@pytest.fixture
def shipway() -> Plain:
    """`shipway …` without a prefix."""
    return plain
