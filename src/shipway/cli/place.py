"""Which prefix is meant, and what its `shipway.toml` says.

In this order: -p, SHIPWAY_PREFIX, the nearest shipway.toml upward from the working directory, VIRTUAL_ENV.  The settings are those
of the nearest shipway.toml if it names this very prefix, else those of a shipway.toml in the prefix itself.
"""

from __future__ import annotations

import os
from typing import NamedTuple

from shipway.errors import UsageError
from shipway.model.config import Config, parse

FILE = "shipway.toml"


class Place(NamedTuple):
    """A prefix and where we have it from: `source` is "" for -p; `file` is the shipway.toml that holds, or ""."""

    prefix: str
    source: str = ""
    config: Config = Config()
    file: str = ""


def find(given: str, given_by: str = "") -> Place:
    """The prefix; `given` is that of -p or of SHIPWAY_PREFIX, as `given_by` says.  Raises UsageError if there is none."""
    near = _near()
    if given:
        return _configured(given, given_by, near)
    if near is not None and near.prefix:
        return near
    environment = os.environ.get("VIRTUAL_ENV", "")
    if environment:
        return _configured(environment, "VIRTUAL_ENV", near)
    raise UsageError(
        "no prefix is given",
        hint=f"say which with -p PREFIX or SHIPWAY_PREFIX; `shipway init` writes a {FILE} that names it",
    )


def _near() -> Place | None:
    """The nearest shipway.toml; none where the working directory is gone."""
    try:
        return nearest(os.getcwd())
    except FileNotFoundError:
        return None


def nearest(directory: str) -> Place | None:
    """The nearest shipway.toml in a directory or above it, as far as one may look.  `prefix` is "" if it names none."""
    while not os.path.isfile(f"{directory}/{FILE}"):
        above = os.path.dirname(directory)
        if above == directory:
            return None
        directory = above
    return read(os.path.join(directory, FILE))


def read(path: str) -> Place:
    """One shipway.toml.  Raises UsageError with all that is wrong in it."""
    try:
        with open(path, encoding="utf-8") as file:
            text = file.read()
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is not UTF-8: {error.reason} at byte {error.start}") from error
    config = parse(text, path)
    prefix = os.path.normpath(os.path.join(os.path.dirname(path), config.prefix)) if config.prefix else ""
    return Place(prefix, path, config, path)


def _configured(prefix: str, source: str, near: Place | None) -> Place:
    if near is not None and near.prefix and os.path.realpath(near.prefix) == os.path.realpath(prefix):
        return Place(prefix, source, near.config, near.file)
    own = os.path.join(prefix, FILE)
    found = read(own) if os.path.isfile(own) else Place(prefix)
    return Place(prefix, source, found.config, found.file)
