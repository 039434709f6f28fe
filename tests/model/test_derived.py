"""Names of derived files, and the sources they point back to."""

from __future__ import annotations

import importlib.util

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shipway.model.derived import by_source, bytecode_of, is_cache_directory, is_derived, sources_of

PAIRS = [
    ("pkg/a.pyc", "pkg/a.py"),
    ("pkg/a.pyo", "pkg/a.py"),
    ("a.pyc", "a.py"),
    ("a$py.class", "a.py"),
    ("pkg/a.pyc.140234567", "pkg/a.py"),
    ("__pycache__/a.cpython-311.pyc", "a.py"),
    ("pkg/__pycache__/a.cpython-311.pyc", "pkg/a.py"),
    ("pkg/__pycache__/a.cpython-311.opt-1.pyc", "pkg/a.py"),
    ("pkg/__pycache__/a.cpython-311.opt-2.pyc", "pkg/a.py"),
    ("pkg/__pycache__/a.cpython-34.pyo", "pkg/a.py"),
    ("pkg/__pycache__/a.pypy310.pyc", "pkg/a.py"),
    ("pkg/__pycache__/a.cpython-311.pyc.139874", "pkg/a.py"),
    ("pkg/__pycache__/a.cpython-311-pytest-8.3.4.pyc", "pkg/a.py"),
    ("pkg/__pycache__/a.cpython-311-pytest-8.3.4.pyc.4711", "pkg/a.py"),
    ("pkg/__pycache__/a.cpython-27-PYTEST.pyc", "pkg/a.py"),
    ("pkg/__pycache__/a.b.cpython-311.pyc", "pkg/a.b.py"),
    ("pkg/__pycache__/a.b.cpython-311-pytest-8.3.4.pyc", "pkg/a.b.py"),
    ("pkg/__pycache__/a.f-12.py311.nbi", "pkg/a.py"),
    ("pkg/__pycache__/a.f-12.py311.1.nbc", "pkg/a.py"),
    ("pkg/__pycache__/a.f-12.py311.nbi.tmp.0f3a", "pkg/a.py"),
    ("pkg/a b\n\udcff.pyc", "pkg/a b\n\udcff.py"),
    ("pkg/__pycache__/a b\n\udcff.cpython-311.pyc", "pkg/a b\n\udcff.py"),
]

ORDINARY = ["pkg/a.py", "pkg/a.so", "a.nbi", "data/model.nbc", "a.pyc.bak", "a.pycx", "pyc", "12", "", "a.tmp.0f3a"]


@pytest.mark.parametrize(("derived", "source"), PAIRS)
def test_a_derived_file_names_its_source(derived: str, source: str) -> None:
    assert is_derived(derived)
    assert sources_of(derived) == (source,)


@pytest.mark.parametrize("path", ORDINARY)
def test_an_ordinary_file_is_not_derived(path: str) -> None:
    assert not is_derived(path)
    assert sources_of(path) == ()


def test_only_a_directory_of_the_exact_name_is_a_cache_directory() -> None:
    assert is_cache_directory("__pycache__")
    assert is_cache_directory("lib/__pycache__")
    assert not is_cache_directory("lib/my__pycache__")
    assert not is_cache_directory("__pycache__/lib")


def test_a_cached_file_without_a_tag_has_no_source() -> None:
    assert sources_of("pkg/__pycache__/a.pyc") == ()


def test_bytecode_of_a_source_is_found_whoever_wrote_it() -> None:
    beside = ["a.py", "a.pyc", "a.pyo", "ab.pyc", "a.pyc.77", "a.txt"]
    cached = ["a.cpython-38.pyc", "a.cpython-313.opt-2.pyc", "ab.cpython-38.pyc", "a.cpython-311-pytest-7.4.0.pyc"]
    assert sorted(bytecode_of("pkg/a.py", beside, cached)) == [
        "pkg/__pycache__/a.cpython-311-pytest-7.4.0.pyc",
        "pkg/__pycache__/a.cpython-313.opt-2.pyc",
        "pkg/__pycache__/a.cpython-38.pyc",
        "pkg/a.pyc",
        "pkg/a.pyc.77",
        "pkg/a.pyo",
    ]


def test_bytecode_of_a_source_in_the_root_has_no_directory_before_it() -> None:
    assert bytecode_of("a.py", ["a.pyc"], ["a.cpython-38.pyc"]) == ["a.pyc", "__pycache__/a.cpython-38.pyc"]


def test_a_dotted_source_does_not_take_the_bytecode_of_its_first_part() -> None:
    grouped = by_source("", [], ["a.cpython-38.pyc", "a.b.cpython-38.pyc"])
    assert grouped == {"a.py": ["__pycache__/a.cpython-38.pyc"], "a.b.py": ["__pycache__/a.b.cpython-38.pyc"]}


names = st.text(st.characters(blacklist_characters="/\0", blacklist_categories=()), min_size=1, max_size=12)


@given(names.filter(lambda n: n not in (".", "..")), st.sampled_from(["", "1", "2"]))
def test_whatever_importlib_calls_a_sources_bytecode_leads_back_to_it(stem: str, level: str) -> None:
    source = f"pkg/{stem}.py"
    cached = importlib.util.cache_from_source(source, optimization=level)
    assert is_derived(cached)
    assert sources_of(cached) == (source,)
    assert bytecode_of(source, [], [cached.rpartition("/")[2]]) == [cached]
