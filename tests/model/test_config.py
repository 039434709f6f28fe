"""shipway.toml as a value."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shipway.errors import UsageError
from shipway.model.config import KEYS, LINK_MODES, POLICIES, Config, parse, parse_size
from shipway.model.planning import Policy
from shipway.store.mode import LinkMode

FULL = """\
prefix = "../site"
jobs = 3

[undo]
keep = 7
bytes = "500 MB"

[merge]
on_conflict = "backup"
link = "copy"
copy = ["share/game/*", "var/*"]
python = "/usr/bin/python3"

[share]
group = "staff"
umask = "002"

[pip]
resolver = "uv"
"""


def problems(text: str) -> list[str]:
    with pytest.raises(UsageError) as refused:
        parse(text, "shipway.toml")
    return list(refused.value.details)


def test_every_key_is_read() -> None:
    expected = Config(
        "../site",
        3,
        7,
        500_000_000,
        "backup",
        "copy",
        ("share/game/*", "var/*"),
        "/usr/bin/python3",
        "staff",
        0o002,
        resolver="uv",
    )
    assert parse(FULL, "shipway.toml") == expected
    assert {field for field, _ in KEYS.values()} == set(Config._fields)


def test_nothing_said_is_what_holds_without_a_file() -> None:
    assert parse("", "shipway.toml") == Config()
    assert parse("[undo]\n[merge]\n[share]\n", "shipway.toml") == Config()


def test_all_problems_are_told_at_once_with_their_lines() -> None:
    text = (
        'jobs = 0\nfoo = 1\n\n[undo]\nkepp = 3\nbytes = "10 lightyears"\n[merge]\n  on_conflict = "ask"\ncopy = "x"\n'
    )
    assert problems(text) == [
        "shipway.toml:1: jobs: must be a whole number, 1 or more",
        "shipway.toml:2: foo: there is no such key",
        "shipway.toml:5: undo.kepp: there is no such key; undo.keep is meant?",
        'shipway.toml:6: undo.bytes: "10 lightyears" is not a size, such as "10 GiB"',
        "shipway.toml:8: merge.on_conflict: must be one of fail, backup, overwrite",
        'shipway.toml:9: merge.copy: must be a list of texts, such as ["share/data/*"]',
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("undo.keep = true", "shipway.toml:1: undo.keep: must be a whole number, 0 or more"),
        ("undo = 3", "shipway.toml:1: undo: must be a table, [undo]"),
        ("undo = {keep = -1}", "shipway.toml: undo.keep: must be a whole number, 0 or more"),
        ("[share]\numask = 0o700", "shipway.toml:2: share.umask: must leave the owner all rights"),
        ('[share]\numask = "9"', 'shipway.toml:2: share.umask: must be an octal number such as "002"'),
        ("[other]\nx = 1", "shipway.toml:1: other: there is no such key"),
        ('prefix = ""', "shipway.toml:1: prefix: must be a text that is not empty"),
    ],
)
def test_a_problem_says_what_must_be(text: str, problem: str) -> None:
    assert problems(text) == [problem]


def test_what_is_no_toml_is_told_with_its_line() -> None:
    (problem,) = problems('prefix = "."\njobs = \n')
    assert problem.startswith("shipway.toml:2: ")


def test_a_group_may_be_a_number_and_a_umask_octal_either_way() -> None:
    assert parse("[share]\ngroup = 1000\numask = 0o027", "f") == Config(group="1000", umask=0o027)
    assert parse('[share]\numask = "27"', "f").umask == 0o027


@pytest.mark.parametrize(
    ("text", "size"),
    [("0", 0), ("12", 12), ("1.5 KiB", 1536), ("10GiB", 10 << 30), ("2 k", 2000), ("3 TB", 3 * 10**12)],
)
def test_sizes_are_decimal_or_binary(text: str, size: int) -> None:
    assert parse_size(text) == size


@given(st.text())
def test_any_text_is_a_config_or_a_usage_error(text: str) -> None:
    with contextlib.suppress(UsageError):
        assert isinstance(parse(text, "f"), Config)


def test_the_words_are_those_of_the_core() -> None:
    assert tuple(policy.value for policy in Policy) == POLICIES
    assert tuple(mode.value for mode in LinkMode) == LINK_MODES
