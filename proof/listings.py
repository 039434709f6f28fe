"""Listings made by hypothesis: nearly right, and any JSON at all."""

from __future__ import annotations

import json

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import seed as seeded
from hypothesis import strategies as st

from shipway.model.entry import Directory, decode_listing, encode_listing

NAMES = st.one_of(
    st.sampled_from(["", ".", "..", "a/b", "a\0", "\udcff", "\ud800", "é", '"', "\\", "x" * 300]), st.text(max_size=8)
)
NUMBERS = st.one_of(
    st.integers(), st.sampled_from([0, 0o644, 1 << 63, -1, 10**30]), st.floats(), st.booleans(), st.none()
)
KINDS = st.one_of(st.sampled_from(["f", "l", "d"]), st.text(max_size=2), st.none())
DIGESTS = st.one_of(st.sampled_from(["", "0" * 64, "A" * 64, "0" * 63]), st.text(max_size=3), st.integers())
ANY = st.recursive(st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), NAMES), st.lists, max_leaves=8)
ROWS = st.tuples(NAMES, KINDS, NUMBERS, NUMBERS, NUMBERS, DIGESTS, NAMES, ANY, NUMBERS, ANY)
SOUND = st.tuples(
    st.text("ab\udcff", min_size=1, max_size=3), st.sampled_from("fld"), st.integers(0, 0o7777), st.integers(0, 9),
    st.integers(-9, 9), st.sampled_from(["", "0" * 64]), st.text("/ab", max_size=3), st.booleans(), st.integers(0, 2),
    st.lists(st.tuples(st.text("ab"), st.text("ab")), max_size=2),
)  # fmt: skip
SHORT = st.builds(lambda row, length: row[:length], st.one_of(ROWS, SOUND), st.integers(0, 10))
TEXTS = st.one_of(
    st.lists(st.one_of(SHORT, SOUND), max_size=4).map(json.dumps), ANY.map(json.dumps), st.text(max_size=30),
    st.dictionaries(NAMES, ANY, max_size=3).map(json.dumps),
)  # fmt: skip


def problem(text: str) -> str:
    """What is wrong with how a text is read as a listing, or ""."""
    try:
        entries = decode_listing(text)
    except (ValueError, TypeError):
        return ""
    except Exception as error:  # noqa: BLE001  # told, that is what it is here for
        return f"{text[:80]!r}: {type(error).__name__}: {error}"
    bad = [name for name in entries if name in ("", ".", "..") or "/" in name or "\0" in name]
    again = decode_listing(encode_listing(Directory(entries, "")))
    return f"{text[:80]!r}: read as {entries!r}"[:300] if bad or again != entries else ""


def fuzzed(tries: int, seed: int) -> list[str]:
    """So many texts, those that are read wrongly told."""
    found: list[str] = []

    @seeded(seed)
    @settings(
        max_examples=tries,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(TEXTS)
    def check(text: str) -> None:
        told = problem(text)
        if told:
            found.append(told)

    check()
    return [*found, *filter(None, map(problem, ("[" * 100_000, "9" * 5000, "[[" + "9" * 5000 + "]]")))]
