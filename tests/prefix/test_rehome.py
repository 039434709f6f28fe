"""A prefix that was moved or copied."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from shipway.prefix.rehome import Mention, Rehomed, rehome
from tests.harness import make_tree, open_prefix, package


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A prefix whose files name its path, or one that only looks like it."""
    root = tmp_path / "prefix"
    root.mkdir()
    tree = {
        "bin/script": f"#!{root}/bin/python\n",
        "lib/x.so": f"\0\1ELF {root}/lib\0",
        "lib/absolute": f"-> {root}/lib/x.so",
        "lib/flags": f"-L{root}/lib",
        "lib/other": f"{root}2/lib",
        "share/none": "nothing",
    }
    with open_prefix(root) as prefix:
        prefix.merge(package(make_tree(tmp_path / "stage", tree), "1"))
    return root


def rehomed(root: Path) -> Rehomed:
    with open_prefix(root) as prefix:
        return rehome(prefix.site)


def test_where_it_was_made_there_is_nothing_to_do(root: Path) -> None:
    assert rehomed(root).moved is False


def test_a_moved_prefix_is_corrected_once_and_the_files_that_name_the_old_path_are_listed(root: Path) -> None:
    there = root.with_name("there")
    root.rename(there)
    found = rehomed(there)
    assert (found.was, found.now, found.copied) == (str(root), str(there), False)
    assert found.mentions == (
        Mention("bin/script", "pkg", "text"),
        Mention("lib/absolute", "pkg", "symlink"),
        Mention("lib/flags", "pkg", "text"),
        Mention("lib/x.so", "pkg", "binary"),
    )
    assert rehomed(there).moved is False


def test_a_copy_gets_an_id_of_its_own_and_a_moved_one_keeps_it(root: Path) -> None:
    copy = root.with_name("copy")
    shutil.copytree(root, copy, symlinks=True)
    with open_prefix(root) as prefix:
        original = prefix.site.database.meta("id")
    assert rehomed(copy).copied is True
    with open_prefix(copy) as prefix:
        assert prefix.site.database.meta("id") != original
    root.rename(root.with_name("moved"))
    assert rehomed(root.with_name("moved")).copied is False
    with open_prefix(root.with_name("moved")) as prefix:
        assert prefix.site.database.meta("id") == original
