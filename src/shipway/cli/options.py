"""The options of `shipway` itself.  They may stand before a command or after it: `shipway --json list`, `shipway list --json`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click
from click.core import ParameterSource

from shipway.cli.call import Call

GLOBAL = "global option"
pass_call = click.make_pass_decorator(Call, ensure=True)


class GlobalOption(click.Option):
    """An option that ends up in the `Call`; what stands after the command wins."""

    def __init__(self, names: list[str], *, after: bool, **attributes: Any) -> None:
        super().__init__(names, expose_value=False, callback=_remember, allow_from_autoenv=not after, **attributes)


def global_options(*, after: bool) -> list[click.Parameter]:
    """A set of them; `after` the command they are not read from variables, since the group has done that."""

    def option(*names: str, **attributes: Any) -> GlobalOption:
        return GlobalOption(list(names), after=after, **attributes)

    return [
        option(
            "-p",
            "--prefix",
            metavar="PREFIX",
            help="The live prefix [else: SHIPWAY_PREFIX, the nearest shipway.toml, VIRTUAL_ENV].",
        ),
        option("--json", is_flag=True, help="Answer with one JSON document on stdout."),
        option("-q", "--quiet", is_flag=True, help="Say nothing but errors, and for whom we wait."),
        option("-v", "--verbose", count=True, help="Say more."),
        option(
            "--wait",
            type=click.FloatRange(min=0),
            metavar="SECONDS",
            help="Wait so long for locks, then exit with 4; 0: not at all [else: as long as it takes].",
        ),
        option(
            "-j",
            "--jobs",
            type=click.IntRange(min=1),
            metavar="N",
            help="Processes to work with [else: one for each processor].",
        ),
        option("--rename-mode", type=click.Choice(["auto", "exchange", "fallback"]), hidden=True),
    ]


def _remember(context: click.Context, option: click.Parameter, value: object) -> None:
    call = context.ensure_object(Call)
    name = option.name or ""
    given_by = context.get_parameter_source(name)
    if given_by is ParameterSource.DEFAULT:
        return
    setattr(call, name, value)
    if name == "prefix":
        call.prefix_source = "SHIPWAY_PREFIX" if given_by is ParameterSource.ENVIRONMENT else ""


class Command(click.Command):
    """A command that takes the global options too, and shows them apart in its help."""

    def __init__(self, *arguments: Any, **attributes: Any) -> None:
        super().__init__(*arguments, **attributes)
        self.params.extend(global_options(after=True))

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Two lists: the command's own, and those that every command has."""
        own: list[tuple[str, str]] = []
        everywhere: list[tuple[str, str]] = []
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None and not isinstance(parameter, click.Argument):
                (everywhere if isinstance(parameter, GlobalOption) else own).append(record)
        for title, records in (("Options", own), ("Options of every command", everywhere)):
            with formatter.section(title):
                formatter.write_dl(records)

    def invoke(self, ctx: click.Context) -> Any:
        """Run, with the global options settled."""
        ctx.ensure_object(Call).settle()
        return super().invoke(ctx)


def as_command(name: str, **settings: Any) -> Callable[[Callable[..., int | None]], Command]:
    """Decorate a function as one of shipway's commands; what it returns is the exit code, None for 0."""
    return click.command(name, cls=Command, context_settings=settings)
