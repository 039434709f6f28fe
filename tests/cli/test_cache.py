"""`shipway cache`: where it is, what it holds, and making it smaller."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.cli.shop import plain


@pytest.fixture
def packs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SHIPWAY_CACHE", str(tmp_path))
    place = tmp_path / "bytecode"
    place.mkdir()
    for number in range(3):
        (place / f"pack{number}").write_bytes(b"x" * (1 << 20))
        os.utime(place / f"pack{number}", (number, number))
    return place


def test_it_says_where_it_is(packs: Path) -> None:
    assert plain("cache", "dir").out == f"{packs.parent}\n"


def test_it_says_what_it_holds(packs: Path) -> None:
    assert plain("cache").out == f"3 packs of bytecode, 3.0 MiB, in {packs.parent}\n"
    assert plain("--json", "cache").json == {"directory": str(packs.parent), "packs": 3, "bytes": 3 << 20, "removed": 0}


def test_what_was_used_longest_ago_goes_first(packs: Path) -> None:
    assert plain("cache", "prune", "--keep", "2").out.startswith("1 pack removed\n2 packs of bytecode, 2.0 MiB")
    assert sorted(path.name for path in packs.iterdir()) == ["pack1", "pack2"]


def test_there_need_be_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHIPWAY_CACHE", str(tmp_path / "none"))
    assert plain("cache", "prune").out == f"0 packs removed\n0 packs of bytecode, 0 bytes, in {tmp_path}/none\n"
