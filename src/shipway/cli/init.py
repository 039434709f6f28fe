"""`shipway init`."""

from __future__ import annotations

import json
import os
from pathlib import Path

import click

from shipway.cli.call import Call
from shipway.cli.options import as_command, pass_call
from shipway.cli.place import FILE, read
from shipway.errors import ShipwayError, UsageError

TEMPLATE = """\
# How shipway treats this prefix.  What is commented out is what holds without it, or an example.

prefix = {prefix}  # the live tree, relative to this file
# jobs = 4  # processes to work with; as many as there are processors
# recipes = ["recipes"]  # directories of recipes, relative to this file
# distfiles = ["distfiles"]  # directories of archives that are searched before the cache

[undo]
# keep = 20  # transactions that can be undone …
# bytes = "10 GiB"  # … and at most this much in their undo areas

[merge]
# on_conflict = "fail"  # or "backup", "overwrite"
# link = "auto"  # how live files share with the store: or "reflink", "hardlink", "copy"
# copy = ["share/game/*"]  # paths that are copied, never linked
# python = "none"  # or the interpreter to compile bytecode for; the prefix's own

[system]
# use = ["zlib"]  # packages that the host is to provide, or "auto" for all it has; none

[build]
# directory = "/scratch/builds"  # where packages are built; the temporary directory
# check = "no"  # or "warn", "yes": whether tests run
# keep_env = ["LOADEDMODULES"]  # variables that builds see beside their own
# writable = ["/var/cache/ccache"]  # directories that builds may write to
# contact = "helpdesk@example.org"  # whom to tell of a build that failed
# cflags = "-O2"  # and cxxflags, fflags
# cxxflags = "-O2"
# fflags = "-O2"
# cppflags = ""
# ldflags = ""

[pip]
# resolver = "pip"  # or "uv": who resolves requirements

[share]
# group = "staff"  # a group that shares the prefix
# umask = "002"
"""


@as_command("init")
@click.argument("directory", type=click.Path(file_okay=False), default=".")
@click.option("--lint", is_flag=True, help="Only check the shipway.toml that is there.")
@pass_call
def command(call: Call, directory: str, lint: bool) -> None:
    """Write a shipway.toml into DIRECTORY (else: here), which makes it, or the PREFIX of -p, a prefix that is found from there."""
    file = Path(directory).absolute() / FILE
    if lint:
        _lint(call, file)
    else:
        _write(call, file)


def _lint(call: Call, file: Path) -> None:
    if not file.is_file():
        raise UsageError(f"there is no {file}")
    place = read(str(file))
    if call.json:
        call.console.document({"file": str(file), "prefix": place.prefix or None, "ok": True})
    elif not call.quiet:
        call.console.answer(f"{file} is in order")


def _write(call: Call, file: Path) -> None:
    prefix = os.path.relpath(call.prefix, file.parent) if call.prefix else "."
    file.parent.mkdir(parents=True, exist_ok=True)
    text = TEMPLATE.format(prefix=json.dumps(prefix, ensure_ascii=False))
    try:
        call.file_system().write_file(str(file), text.encode(), 0o644)
    except FileExistsError as error:
        raise ShipwayError(f"{file} is there already", hint="`shipway init --lint` checks it") from error
    if call.json:
        call.console.document({"file": str(file), "prefix": os.path.normpath(file.parent / prefix)})
    elif not call.quiet:
        call.console.answer(f"{file} is written; commands run in or below {file.parent} find it")
