"""What `install`, `build`, `check` and `shell` have in common: their options, and all that a run is about."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import click

from shipway.cli.call import Call
from shipway.cli.collection import collection, with_recipes
from shipway.cli.sources import Sources, fetching_options, with_sources
from shipway.cli.wanted import asked_for, choice_of
from shipway.errors import ShipwayError, UsageError
from shipway.model.config import CHECKS, NO_PYTHON

if TYPE_CHECKING:
    from shipway.api import Prefix
    from shipway.build.environment import Tools
    from shipway.build.recipe_file import Found
    from shipway.schedule.graph import Graph
    from shipway.schedule.order import Checks, Order, Workshop
    from shipway.schedule.run import Job
    from shipway.schedule.steps import Standing

Function = TypeVar("Function", bound=Callable[..., Any])

_OPTIONS = (
    click.option("-k", "--keep-going", is_flag=True, help="After a failure go on with what does not need it."),
    click.option("--keep-build", is_flag=True, help="Keep the directories that packages were built in."),
    click.option(
        "--build-dir",
        metavar="DIR",
        type=click.Path(file_okay=False, exists=True, writable=True),
        help="Where to build [else: the temporary directory].",
    ),
    click.option(
        "--keep-env",
        multiple=True,
        metavar="GLOB",
        help="Variables that builds see beside their own.  May be repeated.",
    ),
    click.option(
        "--no-isolation", is_flag=True, help="Build without namespaces: only DESTDIR keeps files out of the prefix."
    ),
    click.option(
        "--system",
        multiple=True,
        metavar="NAME|auto",
        help="Take NAME from the host if it has it; auto: whatever it has.  May be repeated.",
    ),
)


def with_building(function: Function) -> Function:
    """Decorate a command with the options of whatever builds."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return with_recipes(with_sources(function))


class Building(Sources):
    """What `with_building` gives to a command."""

    keep_going: bool
    keep_build: bool
    build_dir: str | None
    keep_env: tuple[str, ...]
    no_isolation: bool
    system: tuple[str, ...]
    recipes: tuple[str, ...]


class Asked:
    """The graph below what was named, and what it is about."""

    def __init__(self, call: Call, wanted: Building, names: tuple[str, ...], *, everything: bool = False) -> None:
        from shipway.build.host import here

        self.call = call
        self.wanted = wanted
        self.known = collection(call, wanted["recipes"])
        self.host = here()
        self.names = asked_for(self.known, names, all_of_them=everything)

    def graph(self, checks: Checks) -> Graph:
        """The graph.  Raises UsageError, or ShipwayError for what only the host could provide."""
        from shipway.schedule.graph import graph_of

        choice = choice_of(self.call, self.known, self.host, self.wanted["system"], checks.wanted)
        return graph_of(self.names, choice)

    @property
    def founds(self) -> list[Found]:
        """The recipes that were named."""
        return [self.known.find(name) for name in self.names]


def checks_of(call: Call, words: tuple[str, ...]) -> Checks:
    """From --check MODE and --check NAME=MODE; what was said last counts.  Raises UsageError."""
    from shipway.schedule.order import Check, Checks

    default, of = call.place.config.check, dict[str, Check]()
    for word in words:
        name, _, mode = word.rpartition("=")
        if mode not in CHECKS:
            raise UsageError(f"--check {word}: {mode or 'nothing'} is none of {', '.join(CHECKS)}")
        if name:
            of[name] = Check(mode)
        else:
            default = mode
    return Checks(Check(default), of)


@contextmanager
def run_of(call: Call, asked: Asked, order: Order, again: tuple[str, ...] = ()) -> Iterator[tuple[Job, Prefix]]:
    """All that a run needs, the sources fetched, for the length of a `with` block."""
    from shipway.schedule.run import Job
    from shipway.schedule.standing import Tooling, standing_of
    from shipway.store.depot import directory_of

    graph = asked.graph(order.checks)
    with call.open(call.options()._replace(cache=directory_of())) as prefix:
        python = python_of(call)
        standing = standing_of(prefix.site, graph, Tooling(flags_of(call), python), again)
        _refuse_missing(call, graph, order, standing)
        shop = workshop_of(call, prefix, asked.wanted, python)
        files = _fetched(call, asked, order, graph, standing)
        yield Job(graph, order, shop, standing, files, python), prefix


def flags_of(call: Call) -> str:
    """What the configuration gives to compilers, "" if nothing out of the ordinary."""
    from shipway.build.environment import Flags

    flags = _flags(call)
    return "" if flags == Flags() else repr(tuple(flags))


def python_of(call: Call) -> str:
    """The interpreter that packages are for: the configuration's, the prefix's own, else that behind the one on PATH.

    What others have installed into an environment that happens to be active must not get into packages.
    """
    from shipway.python.interpreter import base_of, of_prefix

    configured = call.place.config.python
    if configured and configured != NO_PYTHON:
        return configured
    return of_prefix(call.root) or base_of(shutil.which("python3") or "python3")


def workshop_of(call: Call, prefix: Prefix, wanted: Building, python: str) -> Workshop:
    """Where and with what to build."""
    from shipway.fs.apart import NONE, probe
    from shipway.schedule.order import Workshop
    from shipway.schedule.rooms import rooms_of

    site, config = prefix.site, call.place.config
    place = wanted["build_dir"] or config.build_directory or tempfile.gettempdir()
    root = site.layout.root
    rooms = rooms_of(site.fs, place, root)
    logs = site.layout.logs if os.access(site.layout.state, os.W_OK) else f"{rooms}/logs"
    return Workshop(
        root,
        rooms,
        logs,
        tools_of(call, root, python, wanted["keep_env"]),
        NONE if wanted["no_isolation"] else probe(root, rooms, site.fs),
        processors=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        contact=config.contact,
        writable=config.build_writable,
        wait=call.wait,
    )


def tools_of(call: Call, root: str, python: str, keep_env: tuple[str, ...]) -> Tools:
    """Compilers as CC, CXX and FC name them, flags of the configuration, the interpreter."""
    from shipway.build.environment import Compilers, Interpreter, Tools, kept
    from shipway.python.target import target_in

    compilers = Compilers(*(_compiler(*each) for each in (("CC", "cc"), ("CXX", "c++"), ("FC", "gfortran"))))
    target = target_in(root, python)
    own = os.path.realpath(os.path.dirname(os.path.dirname(target.python))) == root
    interpreter = Interpreter(target.python, paths=() if own else target.libraries)
    keeps = (*call.place.config.keep_env, *keep_env)
    return Tools(compilers, _flags(call), interpreter, kept(os.environ, keeps))


def _flags(call: Call) -> Any:
    from shipway.build.environment import Flags

    config = call.place.config
    return Flags(config.cflags, config.cxxflags, config.fflags, config.cppflags, config.ldflags)


def _compiler(variable: str, default: str) -> str:
    return os.environ.get(variable) or (default if shutil.which(default) else "")


def _refuse_missing(call: Call, graph: Graph, order: Order, standing: Standing) -> None:
    """Where nothing but what was named is built, the rest has to be there."""
    needed = {need for name in order.asked for need in graph.nodes[name].needs} - order.asked
    missing = sorted(
        name for name in needed if not order.concerns(name) and graph.nodes[name].recipe.purl not in standing.installed
    )
    if missing and not order.only_deps:
        raise ShipwayError(
            f"what {' and '.join(sorted(order.asked))} needs is not all in {call.root}",
            details=[f"{name} {graph.nodes[name].recipe.version} is not installed" for name in missing],
            hint=f"shipway install {' '.join(missing)}",
        )


def _fetched(call: Call, asked: Asked, order: Order, graph: Graph, standing: Standing) -> Mapping[str, Any]:
    """The sources of all that will be built, by name.  Raises FetchError if some are not to be had, unless the rest is to go on."""
    from shipway.build.fetching import FetchError, fetch
    from shipway.cli.sources import Ear
    from shipway.cli.text import plural
    from shipway.schedule.steps import Deed, steps_of

    wanted = {step.name for step in steps_of(graph, standing) if step.deed is Deed.BUILD or not order.commit}
    founds = [graph.nodes[name].found for name in graph.nodes if name in wanted and order.concerns(name)]
    harvest = fetch(call.file_system(), founds, fetching_options(call, asked.wanted), Ear(call))
    if harvest.failures:
        missing = sum(len(found.recipe.source) - len(files) for found, files in harvest.files)
        error = FetchError(
            f"{plural(missing, 'source')} could not be fetched",
            details=harvest.failures,
            hint="--distfiles DIR takes what lies in DIR under its name; -v tells more",
        )
        if not order.keep_going:
            raise error
        call.console.error(error.message, error.details, error.hint)
    return {found.recipe.name: files for found, files in harvest.files}
