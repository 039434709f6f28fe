from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from shipway.model.entry import Entry
from shipway.store.times import (
    FIRST_DERIVED,
    LAST_CONSTANT,
    NANOSECONDS,
    SPAN,
    from_content,
    is_constant,
    same_second,
    settled,
)

LATE = 1_700_000_000 * NANOSECONDS + 5
ONE, TWO = "1" * 64, "2" * 64
NONE: frozenset[int] = frozenset()


def source(digest: str, mtime: int, mode: int = 0o644, name: str = "a.py") -> Entry:
    return Entry(name, "f", mode, 1, mtime, digest)


def settle(entry: Entry, reference: Entry | None = None, constants: frozenset[int] = NONE) -> int:
    return settled((entry,), (reference,), constants)


def test_an_ordinary_time_stays_to_the_nanosecond() -> None:
    assert settle(source(ONE, LATE)) == LATE


def test_a_constant_time_of_a_source_is_replaced_by_one_that_stands_for_its_content() -> None:
    for constant in (0, 1, 315_532_800, 315_532_800 + 12 * 3600, LAST_CONSTANT):
        assert settle(source(ONE, constant * NANOSECONDS)) == from_content(ONE)
    assert settle(source(ONE, LATE), constants=frozenset({1_700_000_000})) == from_content(ONE)
    assert from_content(ONE) != from_content(TWO)


def test_a_constant_time_of_anything_else_stays() -> None:
    assert settle(source(ONE, 0, name="a.so"), constants=frozenset({0})) == 0


def test_what_is_the_same_as_in_the_installed_version_keeps_its_time_whatever_it_is() -> None:
    for name in ("a.py", "a.so"):
        assert settle(source(ONE, LATE, name=name), source(ONE, 77, name=name)) == 77
    link = Entry("l", "l", 0o777, mtime=LATE, target="x")
    assert settle(link, link._replace(mtime=5)) == 5


def test_the_same_content_with_another_mode_is_no_reason_to_change_the_time() -> None:
    assert settle(source(ONE, LATE, 0o755), source(ONE, LATE)) == LATE


def test_where_the_content_of_a_source_changes_its_second_changes_too() -> None:
    assert not same_second(settle(source(TWO, LATE + 1), source(ONE, LATE)), LATE)
    assert settle(source(TWO, LATE + NANOSECONDS), source(ONE, LATE)) == LATE + NANOSECONDS


def test_a_derived_time_that_happens_to_be_the_old_one_is_a_second_later() -> None:
    assert settle(source(TWO, LATE), source(ONE, from_content(TWO))) == LATE
    assert settle(source(TWO, 0), source(ONE, from_content(TWO))) == from_content(TWO) + NANOSECONDS


def test_interpreters_keep_only_32_bits_of_the_seconds() -> None:
    assert same_second(LATE, LATE + (1 << 32) * NANOSECONDS)
    assert settle(source(TWO, LATE + (1 << 32) * NANOSECONDS), source(ONE, LATE)) == from_content(TWO)


def test_the_names_of_one_file_get_one_time_that_clashes_with_none_of_the_old_files() -> None:
    names = (source(TWO, LATE), source(TWO, LATE, name="b.py"))
    old = (source(ONE, LATE), source(ONE, from_content(TWO), name="b.py"))
    assert settled(names, old, NONE) == from_content(TWO) + NANOSECONDS


def test_a_name_that_stays_decides_for_one_that_is_new() -> None:
    names = (source(ONE, LATE), source(ONE, LATE, name="b.py"))
    assert settled(names, (None, source(ONE, 77, name="b.py")), NONE) == 77


digests = st.binary(min_size=32, max_size=32).map(bytes.hex)
moments = st.one_of(
    st.integers(-(1 << 33), 1 << 34).map(lambda s: s * NANOSECONDS), st.integers(0, 1 << 61), digests.map(from_content)
)


@given(digests, digests, moments, moments, st.frozensets(st.integers(0, 1 << 32), max_size=3))
def test_bytecode_never_shadows_a_newer_source(
    old: str, new: str, before: int, after: int, constants: frozenset[int]
) -> None:
    mtime = settle(source(new, after), source(old, before), constants)
    assert (mtime == before) if old == new else not same_second(mtime, before)


@given(digests, moments, st.frozensets(st.integers(0, 1 << 32), max_size=3))
def test_settling_twice_changes_nothing(digest: str, mtime: int, constants: frozenset[int]) -> None:
    once = settle(source(digest, mtime), constants=constants)
    assert settle(source(digest, once)) == once
    assert settle(source(digest, mtime), source(digest, once), constants) == once


@given(digests)
def test_derived_times_are_whole_seconds_neither_constant_nor_in_the_future(digest: str) -> None:
    mtime = from_content(digest)
    assert mtime % NANOSECONDS == 0
    assert FIRST_DERIVED <= mtime // NANOSECONDS < FIRST_DERIVED + SPAN < 1_400_000_000
    assert not is_constant(mtime, NONE)
