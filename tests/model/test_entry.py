"""Listings as text: the fast way writes what `json.dumps` writes, and nothing but a listing is read as one."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shipway.model.entry import (
    DIRECTORY,
    FILE,
    LINK,
    Directory,
    Entry,
    checked_path,
    decode_listing,
    encode_listing,
    listing_digest,
)

PLAIN = st.text("abcXYZ0189 ._+~-", min_size=1, max_size=12).filter(lambda name: name not in (".", ".."))
NAMES = st.one_of(PLAIN, st.text(st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1, max_size=8), st.sampled_from(["\udcff", 'a"b', "a\\b", "a\nb", "\x7f"])).filter(
    lambda name: name not in (".", "..")
)  # fmt: skip


def made(*fields: Any) -> Entry:
    """An entry of these fields alone; hypothesis would invent those that have a default."""
    return Entry(*fields)


DIGESTS = st.one_of(st.just(""), st.binary(min_size=32, max_size=32).map(bytes.hex))
TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=6)
PLAIN_FILES = st.builds(
    made, PLAIN, st.just(FILE), st.integers(0, 0o7777), st.integers(0, 1 << 50), st.integers(-(1 << 62), 1 << 62), DIGESTS
)  # fmt: skip
ENTRIES = st.builds(
    made, NAMES, st.sampled_from([FILE, LINK, DIRECTORY]), st.integers(0, 0o7777), st.integers(0, 1 << 50),
    st.integers(-(1 << 62), 1 << 62), DIGESTS, TEXTS, st.booleans(), st.integers(0, 3),
    st.lists(st.tuples(TEXTS, TEXTS), max_size=2).map(tuple),
)  # fmt: skip
LISTINGS = st.one_of(
    st.lists(PLAIN_FILES, max_size=5, unique_by=lambda e: e.name), st.lists(ENTRIES, max_size=5, unique_by=lambda e: e.name)
)  # fmt: skip


def in_full(entry: Entry) -> tuple[object, ...]:
    """The row of docs/formats.md: what is empty at the end is left out, but never the first six."""
    defaults: tuple[object, ...] = ("", False, 0, ())
    kept = 10
    while kept > 6 and entry[kept - 1] == defaults[kept - 7]:
        kept -= 1
    return entry[:kept]


@given(LISTINGS)
def test_listings_are_written_as_json_writes_them(entries: list[Entry]) -> None:
    listing = Directory.of(entries)
    rows = [in_full(entry) for entry in listing.entries.values()]
    assert encode_listing(listing) == json.dumps(rows, separators=(",", ":"))
    named = [
        (e.name, e.kind, 0 if e.kind == LINK else e.mode, e.digest, e.target, e.xattrs, e.derived, e.group)
        for e in listing.entries.values()
    ]
    text = json.dumps(named, separators=(",", ":"))
    assert listing_digest(listing.entries.values()) == hashlib.sha256(text.encode()).hexdigest()


@given(LISTINGS)
def test_what_is_written_is_read_again(entries: list[Entry]) -> None:
    listing = Directory.of(entries)
    assert decode_listing(encode_listing(listing)) == listing.entries


MORE: list[list[object]] = [
    [5], ["a\0"], ["", 1], ["", False, -1], ["", False, 0, [["a"], 5]], ["", False, 0, [], 0],
]  # fmt: skip
SOUND: list[object] = ["x", "f", 420, 1, 1, "0" * 64]


@pytest.mark.parametrize(
    "rows",
    [
        {},
        "abc",
        [["x"]],
        ["abcdef"],
        [SOUND, SOUND],
        *([[*SOUND[:at], value, *SOUND[at + 1 :]]] for at, value in [
            (0, ""), (0, "."), (0, ".."), (0, "a/b"), (0, "a\0"), (0, "\ud800"), (0, 5), (0, None), (1, "x"), (1, None), (2, -1), (2, 0o10000),
            (2, "420"), (2, True), (2, 1.0), (3, -1), (3, 1 << 63), (4, 1 << 64), (5, "0" * 63), (5, "A" * 64), (5, None),
        ]),
        *([[*SOUND, *more]] for more in MORE),
    ],
)  # fmt: skip
def test_what_is_no_listing_is_refused(rows: object) -> None:
    with pytest.raises((ValueError, TypeError)):
        decode_listing(json.dumps(rows))


@pytest.mark.parametrize("text", ["", "[", "[" * 100_000, f"[{'9' * 5000}]"])
def test_what_is_no_json_is_refused(text: str) -> None:
    with pytest.raises((ValueError, TypeError)):
        decode_listing(text)


@pytest.mark.parametrize("path", ["", "/", "/a", "a/", "a//b", ".", "a/./b", "..", "a/../b", "../a", "a\0b", "\ud800"])
def test_a_path_that_could_lead_elsewhere_is_refused(path: str) -> None:
    with pytest.raises(ValueError, match=r"name that cannot be|surrogates"):
        checked_path(path)


@pytest.mark.parametrize("name", ["x.py", 'quo"te', "back\\slash", "é", "new\nline"])
@pytest.mark.parametrize("kind", [FILE, DIRECTORY, LINK])
@pytest.mark.parametrize("derived", [False, True])
def test_listings_written_by_hand_are_the_json_they_stand_for(name: str, kind: str, derived: bool) -> None:
    entries = [
        Entry(name, kind, 0o755, 3, 7, "ab" * 32, "to" if kind == LINK else "", derived),
        Entry("z.py", FILE, 0o644, 1, 2, "cd" * 32),
    ]
    text = encode_listing(Directory.of(entries))
    assert text == json.dumps(json.loads(text), separators=(",", ":"))
    assert decode_listing(text) == {entry.name: entry for entry in entries}
