"""The pages say what is there: every command and option, every key, table and method, and every link leads somewhere."""

from __future__ import annotations

import os
import re
import shlex
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from pydantic import BaseModel

from shipway.api import Prefix
from shipway.build.recipe import SYSTEMS, Patch, Recipe, Source
from shipway.cli.group import COMMANDS, group
from shipway.cli.options import GlobalOption
from shipway.errors import CONFLICT, FAILED, INTERRUPTED, LOCKED, UNBUILT, USAGE
from shipway.model.config import KEYS
from shipway.prefix import schema
from shipway.prefix.records import State

HOME = Path(__file__).parent.parent
DOCS = HOME / "docs"
PAGES = [*sorted(DOCS.rglob("*.md")), HOME / "README.md", HOME / "CONTRIBUTING.md", HOME / "CHANGELOG.md"]
INVARIANTS = [f"I{number}" for number in range(1, 12)]
EVERYWHERE = "Options of every command"

LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
TEST = re.compile(r"`(tests/[\w/]+\.py)(?:::(\w+))?`")
OPTION = re.compile(r"`(--?[A-Za-z0-9][\w-]*)")


def name_of(page: Path) -> str:
    return str(page.relative_to(HOME))


def prose(page: Path) -> str:
    """A page without its code: neither indented blocks nor fenced ones hold links or headings."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    return "\n".join(line for line in text.splitlines() if not line.startswith("    "))


def sections(page: Path) -> dict[str, str]:
    """What stands under each heading, whatever its level."""
    parts = re.split(r"^#+ +(.*)$", prose(page), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as forges make them."""
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in sections(page)}


def rows(text: str) -> Iterator[list[str]]:
    """The cells of every table row, without the line between heading and body."""
    for line in text.splitlines():
        if line.startswith("|") and not re.fullmatch(r"[|\s:-]+", line):
            yield [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]


def first_cells(text: str) -> str:
    return "\n".join(cells[0] for cells in rows(text))


# -- links -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_relative_link_leads_to_a_file_and_a_heading_of_it(page: Path) -> None:
    broken = []
    for link in LINK.findall(prose(page)):
        path, _, anchor = link.partition("#")
        if re.match(r"[a-z]+:", link):
            continue
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    assert broken == []


def test_the_index_leads_to_every_page() -> None:
    linked = {(DOCS / link.partition("#")[0]).resolve() for link in LINK.findall((DOCS / "README.md").read_text())}
    pages = {page.resolve() for page in DOCS.rglob("*.md")} - {(DOCS / "README.md").resolve()}
    assert pages - linked == set()


# -- commands ----------------------------------------------------------------------------------------------------


def reference() -> dict[str, str]:
    return sections(DOCS / "reference/commands.md")


def command_of(name: str) -> click.Command:
    found = group.get_command(click.Context(group), name)
    assert found is not None
    return found


def names_of(options: list[click.Option]) -> set[str]:
    return {name for option in options for name in (*option.opts, *option.secondary_opts)}


def own_options(command: click.Command) -> list[click.Option]:
    """The options of a command, and of the commands that it has in turn."""
    if isinstance(command, click.Group):
        return [option for inner in command.commands.values() for option in own_options(inner)]
    return [p for p in command.params if isinstance(p, click.Option) and not isinstance(p, GlobalOption)]


def test_every_command_has_a_section_and_every_section_a_command() -> None:
    described = {title.removeprefix("shipway ") for title in reference() if title.startswith("shipway ")}
    assert described == set(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_has_the_options_that_are_described(name: str) -> None:
    described = set(OPTION.findall(first_cells(reference()[f"shipway {name}"])))
    assert described == names_of(own_options(command_of(name)))


@pytest.mark.parametrize("name", COMMANDS)
def test_every_choice_of_an_option_is_described(name: str) -> None:
    text = reference()[f"shipway {name}"]
    choices = [option.type.choices for option in own_options(command_of(name)) if isinstance(option.type, click.Choice)]
    assert [choice for some in choices for choice in some if f"`{choice}`" not in text] == []


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_is_shown_with_its_arguments(name: str) -> None:
    page = (DOCS / "reference/commands.md").read_text()
    usage = page.partition(f"## shipway {name}\n")[2].partition("\n## ")[0]
    command = command_of(name)
    inner = list(command.commands.items()) if isinstance(command, click.Group) else []
    assert [word for word, _ in inner if f"shipway {name} {word}" not in usage] == []
    for parameter in [p for each in (command, *(c for _, c in inner)) for p in each.params]:
        if isinstance(parameter, click.Argument):
            assert re.sub(r"[^A-Z]", "", parameter.make_metavar(click.Context(command_of(name)))) in usage


def test_the_options_of_every_command_are_described() -> None:
    described = set(OPTION.findall(first_cells(reference()[EVERYWHERE])))
    options = [p for p in group.params if isinstance(p, click.Option)]
    assert described == names_of(options) | {"-h", "--help"}


def test_every_exit_code_is_described() -> None:
    described = {int(cells[0]) for cells in rows(reference()["Exit codes"]) if cells[0].isdigit()}
    assert described == {0, FAILED, USAGE, CONFLICT, LOCKED, UNBUILT, INTERRUPTED}


# -- the rest of the reference -------------------------------------------------------------------------------------


def test_every_key_of_the_configuration_is_described() -> None:
    described = set(
        re.findall(r"`([\w.]+)`", first_cells(sections(DOCS / "reference/configuration.md")["shipway.toml"]))
    )
    assert described == set(KEYS)


def tables(model: type[BaseModel]) -> Iterator[tuple[str, type[BaseModel]]]:
    """The tables of the recipe format by their headings, and what each holds."""
    yield "recipe.toml", model
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield name, field.annotation
    yield "source", Source
    yield "patches", Patch


@pytest.mark.parametrize(("title", "model"), list(tables(Recipe)))
def test_every_key_of_a_recipe_is_described(title: str, model: type[BaseModel]) -> None:
    described = set(re.findall(r"`([\w.]+)`", first_cells(sections(DOCS / "reference/recipes.md")[title])))
    assert described == set(model.model_fields)


def test_every_build_system_is_described() -> None:
    described = set(re.findall(r"`(\w+)`", first_cells(sections(DOCS / "reference/recipes.md")["Build systems"])))
    assert described == set(SYSTEMS)


def test_every_method_of_a_prefix_is_described() -> None:
    described = set(re.findall(r"`(\w+)", first_cells(sections(DOCS / "reference/python-api.md")["Prefix"])))
    assert described == {name for name in vars(Prefix) if not name.startswith("_")}


def test_every_table_and_column_of_the_record_is_described() -> None:
    database = sqlite3.connect(":memory:")
    database.executescript(schema.TABLES)
    text = sections(DOCS / "formats.md")
    tables = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    assert tables
    for table in tables:
        columns = {row[1] for row in database.execute(f"PRAGMA table_info({table})")}
        described = set(re.findall(r"`(\w+)`", first_cells(text[table].partition("\n| kind |")[0])))
        assert described >= columns, table
    assert f"format version {schema.VERSION}" in (DOCS / "formats.md").read_text()
    database.close()


def test_every_state_of_a_transaction_is_described() -> None:
    described = set(re.findall(r"`(\w+)`", first_cells(sections(DOCS / "explanation/protocol.md")["States"])))
    assert described == {state.value for state in State}


# -- the tutorial ------------------------------------------------------------------------------------------------

PLACE = "/tmp/first"
NOT_RUN = ("Keep the world still",)  # waits for a minute, in two terminals
VARIES = (
    (re.compile(r"committed in [\d.]+ m?s"), "committed in N ms"),
    (re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d"), "DATE"),
)


def transcript() -> Iterator[tuple[str, str]]:
    """The commands of the tutorial, each with the output that is shown."""
    text = (DOCS / "tutorial.md").read_text().partition("## Two versions")[2]
    for part in re.split(r"^## ", text, flags=re.MULTILINE):
        shown = "\n".join(line[4:] for line in part.splitlines() if line.startswith("    "))
        if not part.startswith(NOT_RUN):
            for step in re.split(r"^\$ ", shown, flags=re.MULTILINE)[1:]:
                here, mark, after = step.partition("\nEND\n")
                command, _, output = (here + mark.rstrip(), "", after) if mark else step.partition("\n")
                yield command, output.strip()


def masked(text: str) -> str:
    for pattern, word in VARIES:
        text = pattern.sub(word, text)
    return text.strip()


def test_the_tutorial_s_commands_say_what_it_shows(tmp_path: Path) -> None:
    tool = tmp_path / "shipway"
    tool.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m shipway "$@"\n')
    tool.chmod(0o755)
    place = tmp_path / "first"
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("SHIPWAY_")},
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "PYTHONPATH": str(HOME / "src"),
    }
    steps = list(transcript())
    mark = "-- next --"
    script = "exec 2>&1\n" + "".join(f"{command}\necho; echo {shlex.quote(mark)}\n" for command, _ in steps)
    done = subprocess.run(
        ["bash"], input=script.replace(PLACE, str(place)), env=environment, cwd=tmp_path, capture_output=True, text=True
    )
    outputs = [masked(output) for output in done.stdout.replace(str(place), PLACE).split(mark)]
    assert len(steps) > 30
    assert list(zip([c for c, _ in steps], outputs, strict=False)) == [(c, masked(shown)) for c, shown in steps]


# -- invariants --------------------------------------------------------------------------------------------------


def invariants() -> dict[str, list[str]]:
    return {
        cells[0]: cells for cells in rows((DOCS / "explanation/invariants.md").read_text()) if cells[0] in INVARIANTS
    }


@pytest.mark.parametrize("invariant", INVARIANTS)
def test_an_invariant_names_tests_that_are_there(invariant: str) -> None:
    tests = TEST.findall(" ".join(invariants()[invariant]))
    assert tests
    for file, function in tests:
        assert (HOME / file).is_file(), file
        assert not function or f"def {function}(" in (HOME / file).read_text(), f"{file}::{function}"


@pytest.mark.parametrize("invariant", INVARIANTS)
def test_an_invariant_names_modules_that_are_there(invariant: str) -> None:
    modules = re.findall(
        r"`((?:api|cli|fs|model|prefix|python|recompiling|sealing|store)[\w/]*\.py)`", " ".join(invariants()[invariant])
    )
    assert modules
    assert [module for module in modules if not (HOME / "src/shipway" / module).is_file()] == []
