"""What pip is told by its configuration files and variables, as the words that would say the same on its command line.

For those who answer without asking pip.  Source: "Configuration" (pip's documentation): files of the system, the user and the
environment, then PIP_CONFIG_FILE; of each the sections [global] and [install]; last of all PIP_… variables.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from shipway.python.pip_options import NAMES, VALUED

_NAME = "pip/pip.conf"
_SECTIONS = ("global", "install")
_OF_PIP_ITSELF = ("version", "help", "config-file", "require-virtualenv")
_LISTS = frozenset(
    "extra-index-url find-links constraint requirement editable build-constraint trusted-host group use-feature use-deprecated"
    " requirements-from-script platform abi exists-action".split()
)
_YES = ("y", "yes", "t", "true", "on", "1")
_NO = ("n", "no", "f", "false", "off", "0")


class Settings(NamedTuple):
    """`words` for the command line; `unknown` are keys with no word for them here."""

    words: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()


def settings(root: str, variables: Mapping[str, str]) -> Settings:
    """What holds for `pip install` in the environment at `root`.  Raises ValueError or OSError if a file cannot be read."""
    words: list[str] = []
    unknown = []
    for key, value in _values(root, variables).items():
        if key in _OF_PIP_ITSELF or not value:
            continue
        if f"--{key}" in VALUED:
            words += [word for each in (value.split() if key in _LISTS else [value]) for word in (f"--{key}", each)]
        elif f"--{key}" in NAMES and value.lower() in (*_YES, *_NO):
            words += [f"--{key}"] if value.lower() in _YES else []
        else:
            unknown.append(key)
    return Settings(tuple(words), tuple(unknown))


def _values(root: str, variables: Mapping[str, str]) -> dict[str, str]:
    sections: dict[str, dict[str, str]] = {name: {} for name in _SECTIONS}
    for path in filter(os.path.isfile, _files(root, variables)):
        for section, key, value in _read(path):
            if section in sections:
                sections[section][_key(key)] = value
    environment = {_key(name[4:]): value for name, value in variables.items() if name.startswith("PIP_") and value}
    return {**sections["global"], **sections["install"], **environment}


def _key(name: str) -> str:
    return name.lower().replace("_", "-").removeprefix("--")


def _files(root: str, variables: Mapping[str, str]) -> list[str]:
    named = variables.get("PIP_CONFIG_FILE", "")
    if named == os.devnull:
        return []
    home = os.path.expanduser("~")
    system = (variables.get("XDG_CONFIG_DIRS") or "/etc/xdg").split(os.pathsep)
    files = [*(f"{directory}/{_NAME}" for directory in system), "/etc/pip.conf"]
    if not os.path.exists(named):
        files += [f"{home}/.pip/pip.conf", f"{variables.get('XDG_CONFIG_HOME') or f'{home}/.config'}/{_NAME}"]
    return [*files, f"{root}/pip.conf", *filter(None, [named])]


def _read(path: str) -> Iterator[tuple[str, str, str]]:
    from configparser import Error, RawConfigParser

    parser = RawConfigParser()
    try:
        with open(path, encoding="utf-8") as file:
            parser.read_file(file)
    except Error as error:
        raise ValueError(str(error)) from error
    for section in parser.sections():
        for key, value in parser.items(section):
            yield section, key, value
