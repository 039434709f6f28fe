"""Bytecode for an image that is being sealed: which interpreter, and what it made (I6)."""

from __future__ import annotations

from collections.abc import Sequence

from shipway.errors import ShipwayError
from shipway.model.entry import Entry, Manifest, with_entries
from shipway.model.planning import Note
from shipway.model.projects import brings_interpreter
from shipway.prefix.site import Site
from shipway.python.bytecode import Compiled, CompileRequest, compile_all, levels_found, python_sources
from shipway.python.interpreter import Interpreter, from_image, inspect, of_prefix
from shipway.store.request import Scanned


def compile_image(site: Site, scanned: Scanned, tree: str, asked: str | None) -> tuple[Manifest, list[Note], str]:
    """Compile the sources of an image in `tree`: the manifest with bytecode, what to tell, and the interpreter's version.

    Raises ShipwayError only where the interpreter was asked for by name and cannot be used.
    """
    try:
        interpreter = _interpreter(site, scanned.manifest, tree, asked)
    except ShipwayError as error:
        if asked:
            raise
        return scanned.manifest, [Note("bytecode", "", f"not compiled: {error}")], ""
    if interpreter is None:
        return scanned.manifest, [], ""
    sources = python_sources(scanned.manifest)
    site.tell("phase", f"compiling {len(sources)} files")
    levels = levels_found(dropped.path for dropped in scanned.dropped)
    done = compile_sources(site, interpreter, tree, sources, levels)
    notes = [Note("bytecode", path, why) for path, why in done.failed]
    notes += [Note("bytecode", "", warning) for warning in done.warnings]
    version = ".".join(map(str, interpreter.version))
    return with_entries(scanned.manifest, done.entries), notes, version


def compile_sources(
    site: Site, interpreter: Interpreter, tree: str, sources: Sequence[tuple[str, Entry]], levels: tuple[int, ...]
) -> Compiled:
    """Compile sources that lie in `tree` for where they will lie in the prefix."""
    request = CompileRequest(interpreter, tree, sources, site.layout.live, levels, site.options.jobs)
    return compile_all(site.fs, request)


def _interpreter(site: Site, manifest: Manifest, tree: str, asked: str | None) -> Interpreter | None:
    """The interpreter that will run the package: the one in the image, the one asked for, the prefix's own, or none."""
    if brings_interpreter(manifest):
        return from_image(tree)
    chosen = asked or of_prefix(site.layout.root)
    return inspect(chosen) if chosen else None
