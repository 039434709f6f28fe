"""`shipway.toml`: how whoever owns a prefix wants things done, as one typed value.

    prefix = "."                    where it is, relative to the file

    [undo]
    keep = 20                       transactions that can be undone
    bytes = "10 GiB"                and at most this much in their undo areas

The table `KEYS` is the schema.  Everything that is wrong with a file is found and told at once, with lines where the text
shows them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from shipway.errors import UsageError
from shipway.model.toml import lines_of, located, syntax_error

POLICIES = ("fail", "backup", "overwrite")
"""The values of `model.planning.Policy`, which takes longer to load than this file may."""
LINK_MODES = ("auto", "reflink", "hardlink", "copy")
RESOLVERS = ("pip", "uv")
"""The values of `python.pip_arguments.RESOLVERS`."""
CHECKS = ("no", "warn", "yes")
"""The values of `schedule.order.Check`."""
NO_PYTHON = "none"

_UNITS = {
    "": 1,
    "k": 1000,
    "m": 1000**2,
    "g": 1000**3,
    "t": 1000**4,
    "ki": 1 << 10,
    "mi": 1 << 20,
    "gi": 1 << 30,
    "ti": 1 << 40,
}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgt]i?)?b?\Z", re.IGNORECASE)


class Config(NamedTuple):
    """What a `shipway.toml` says; what it leaves out has the value that holds without one.

    `prefix` is as written, relative to the file, or "".  `keep` counts transactions, `keep_bytes` bytes.  `on_conflict` is
    one of POLICIES, `link` of LINK_MODES, `copied` patterns (fnmatch) of paths that are never linked.  `python` is an
    interpreter, "none", or "" for the prefix's own.  `group` is a name or a number, "" for none; `umask` None for that
    of the process.  `recipes` and `distfiles` are directories, relative to the file.
    `system` names packages that the host is to provide, or holds "auto".  `resolver` is one of RESOLVERS.
    `build_directory` is where packages are built, "" for the temporary directory; `check` is one of CHECKS; `keep_env` are patterns of
    variables that builds see, `build_writable` directories that they may write to; `contact` is who hears of failures.  The flags are for all builds.
    """

    prefix: str = ""
    jobs: int | None = None
    keep: int = 20
    keep_bytes: int = 10 << 30
    on_conflict: str = "fail"
    link: str = "auto"
    copied: tuple[str, ...] = ()
    python: str = ""
    group: str = ""
    umask: int | None = None
    recipes: tuple[str, ...] = ()
    distfiles: tuple[str, ...] = ()
    system: tuple[str, ...] = ()
    resolver: str = "pip"
    build_directory: str = ""
    check: str = "no"
    keep_env: tuple[str, ...] = ()
    build_writable: tuple[str, ...] = ()
    contact: str = ""
    cflags: str = "-O2"
    cxxflags: str = "-O2"
    fflags: str = "-O2"
    cppflags: str = ""
    ldflags: str = ""


def parse(text: str, file: str) -> Config:
    """The value of a file's text; `file` is what messages call it.  Raises UsageError with all that is wrong."""
    import tomllib

    try:
        document = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # it does not call all that it refuses a TOMLDecodeError
        raise _refusal(file, [syntax_error(file, str(error))]) from error
    values: dict[str, Any] = {}
    problems = []
    lines = lines_of(text)
    for key, value in _flat(document):
        try:
            field, read = _schema(key)
            values[field] = read(value)
        except ValueError as error:
            problems.append((lines.get(tuple(key.split(".")), 0), f"{key}: {error}"))
    if problems:
        raise _refusal(file, [located(file, line, what) for line, what in sorted(problems)])
    return Config(**values)


def parse_size(text: str) -> int:
    """Bytes from "500 MB" (decimal) or "10 GiB" (binary).  Raises ValueError."""
    found = _SIZE.match(text.strip())
    if found is None:
        raise ValueError(f'"{text}" is not a size, such as "10 GiB"')
    try:
        return int(float(found[1]) * _UNITS[(found[2] or "").lower()])
    except OverflowError as error:
        raise ValueError(f'"{text[:20]}…" is too large') from error


# -- values ------------------------------------------------------------------------------------------------------


def _text(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError("must be a text that is not empty")
    return value


def _any_text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError("must be a text")
    return value


def _number(lowest: int) -> Callable[[object], int]:
    def read(value: object) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or value < lowest:
            raise ValueError(f"must be a whole number, {lowest} or more")
        return value

    return read


def _one_of(*words: str) -> Callable[[object], str]:
    def read(value: object) -> str:
        if value not in words:
            raise ValueError(f"must be one of {', '.join(words)}")
        return str(value)

    return read


def _size(value: object) -> int:
    return parse_size(value) if isinstance(value, str) else _number(0)(value)


def _texts(value: object) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise ValueError('must be a list of texts, such as ["share/data/*"]')
    return tuple(_text(item) for item in value)


def _group(value: object) -> str:
    return str(_number(0)(value)) if isinstance(value, int) else _text(value)


def _umask(value: object) -> int:
    """An octal number, as TOML's 0o002 or as the text "002"."""
    number = int(value, 8) if isinstance(value, str) and re.fullmatch("[0-7]{1,4}", value) else value
    if not isinstance(number, int) or isinstance(number, bool) or not 0 <= number <= 0o777:
        raise ValueError('must be an octal number such as "002"')
    if number & 0o700:
        raise ValueError("must leave the owner all rights")
    return number


_Read = Callable[[object], object]

KEYS: Mapping[str, tuple[str, _Read]] = {
    "prefix": ("prefix", _text),
    "jobs": ("jobs", _number(1)),
    "recipes": ("recipes", _texts),
    "distfiles": ("distfiles", _texts),
    "system.use": ("system", _texts),
    "build.directory": ("build_directory", _text),
    "build.check": ("check", _one_of(*CHECKS)),
    "build.keep_env": ("keep_env", _texts),
    "build.writable": ("build_writable", _texts),
    "build.contact": ("contact", _text),
    "build.cflags": ("cflags", _any_text),
    "build.cxxflags": ("cxxflags", _any_text),
    "build.fflags": ("fflags", _any_text),
    "build.cppflags": ("cppflags", _any_text),
    "build.ldflags": ("ldflags", _any_text),
    "undo.keep": ("keep", _number(0)),
    "undo.bytes": ("keep_bytes", _size),
    "merge.on_conflict": ("on_conflict", _one_of(*POLICIES)),
    "merge.link": ("link", _one_of(*LINK_MODES)),
    "merge.copy": ("copied", _texts),
    "merge.python": ("python", _text),
    "pip.resolver": ("resolver", _one_of(*RESOLVERS)),
    "share.group": ("group", _group),
    "share.umask": ("umask", _umask),
}
"""Dotted key: field of `Config`, and how its value is read (ValueError says what it must be)."""

_TABLES = frozenset(key.partition(".")[0] for key in KEYS if "." in key)


def _schema(key: str) -> tuple[str, _Read]:
    if key in KEYS:
        return KEYS[key]
    if key in _TABLES:
        raise ValueError(f"must be a table, [{key}]")
    from difflib import get_close_matches

    close = get_close_matches(key, KEYS, n=1)
    raise ValueError("there is no such key" + (f"; {close[0]} is meant?" if close else ""))


def _flat(table: Mapping[str, object], above: str = "") -> Iterator[tuple[str, object]]:
    """Dotted keys with their values; a table that is none of ours stays one."""
    for name, value in table.items():
        if isinstance(value, dict) and not above and name in _TABLES:
            yield from _flat(value, f"{name}.")
        else:
            yield above + name, value


def _refusal(file: str, problems: list[str]) -> UsageError:
    count = "a problem" if len(problems) == 1 else f"{len(problems)} problems"
    return UsageError(f"{file} has {count}", details=problems)
