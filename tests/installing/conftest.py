"""A fresh environment, and a directory of wheels that is its only index."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.installing.shop import Venv, make_venv


@pytest.fixture
def venv(tmp_path: Path) -> Venv:
    """A virtual environment without pip."""
    return make_venv(tmp_path / "venv", tmp_path / "wheels")
