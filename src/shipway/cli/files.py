"""`shipway files`."""

from __future__ import annotations

import click

from shipway.cli.call import Call
from shipway.cli.options import as_command, pass_call


@as_command("files")
@click.argument("name")
@click.option("-0", "--null", is_flag=True, help="End each path with a NUL, for xargs -0: names may hold line breaks.")
@click.option("--directories", is_flag=True, help="List directories too.")
@pass_call
def command(call: Call, name: str, null: bool, directories: bool) -> None:
    """List the paths of a package, relative to the prefix."""
    from shipway.prefix.lookup import resolve
    from shipway.prefix.queries import files

    with call.look() as site:
        found = files(site.database, resolve(site.database, name))
    if call.json:
        call.console.document(
            [
                {
                    "path": path,
                    "kind": _KINDS[entry.kind],
                    "mode": f"{entry.mode:04o}",
                    "size": entry.size,
                    "sha256": entry.digest if entry.kind == "f" else None,
                    "target": entry.target or None,
                    "derived": entry.derived,
                }
                for path, entry in found
            ]
        )
        return
    paths = [path for path, entry in found if directories or entry.kind != "d"]
    if null:
        call.console.raw("".join(f"{path}\0" for path in paths))
    else:
        call.console.answer(*paths)


_KINDS = {"f": "file", "l": "symlink", "d": "directory"}
