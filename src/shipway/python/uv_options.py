"""What pip's options are called by uv; what it cannot honour is refused, all of it at once.

Source: `uv help pip install`, `uv help pip compile`.  Addresses of indexes, which may hold passwords, go into variables: whoever may list
processes reads their words.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from shipway.errors import UsageError
from shipway.python.distributions import normal
from shipway.python.pip_options import pairs
from shipway.python.requirement_files import building_options
from shipway.python.understanding import Understanding

_SAME = {
    "--find-links": "--find-links",
    "--no-index": "--no-index",
    "--no-binary": "--no-binary",
    "--only-binary": "--only-binary",
    "--no-build-isolation": "--no-build-isolation",
    "--config-settings": "--config-setting",
    "--build-constraint": "--build-constraints",
    "--trusted-host": "--allow-insecure-host",
    "--uploaded-prior-to": "--exclude-newer",
    "--refresh-package": "--refresh-package",
    "--no-cache-dir": "--no-cache",
    "--no-deps": "--no-deps",
    "--group": "--group",
}
_VARIABLES = {
    "--index-url": ("UV_DEFAULT_INDEX",),
    "--extra-index-url": ("UV_INDEX",),
    "--cert": ("SSL_CERT_FILE",),
    "--client-cert": ("SSL_CLIENT_CERT",),
    "--proxy": ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY"),
    "--retries": ("UV_HTTP_RETRIES",),
    "--timeout": ("UV_HTTP_TIMEOUT",),
}
_COMMA = ("--no-binary", "--only-binary")
_KEYRINGS = ("disabled", "subprocess")
_OF_OTHERS = frozenset(
    (
        *"--cache-dir --log --exists-action --resume-retries --use-pep517 --no-clean --upgrade --upgrade-strategy".split(),
        *"--force-reinstall --ignore-installed --require-hashes --requirement --constraint --editable".split(),
    )
)
"""Options that are seen to elsewhere, or mean nothing to uv."""


class Told(NamedTuple):
    """`words` and `variables` for both commands of uv, `choosing` for the one that knows what is installed."""

    words: tuple[str, ...]
    variables: Mapping[str, str]
    choosing: tuple[str, ...]


def told(found: Understanding) -> Told:
    """A command line of pip in uv's words.  Raises UsageError that names all that uv cannot honour."""
    arguments = found.arguments
    words: list[str] = []
    variables: dict[str, str] = {}
    refused: list[str] = []
    for name, value in pairs([*arguments.finding, *arguments.resolving, *arguments.requirements]):
        if name in _SAME:
            words += _words(name, value)
        elif name in _VARIABLES:
            old = variables.get(_VARIABLES[name][0], "") if name == "--extra-index-url" else ""
            variables |= dict.fromkeys(_VARIABLES[name], f"{old} {value}".strip())
        elif name == "--keyring-provider" and value in _KEYRINGS:
            words += [name, value]
        elif name == "--pre":
            words += ["--prerelease", "allow"]
        elif name and name not in _OF_OTHERS:
            refused.append(name)
    _refuse([*refused, *_refused_lines(found)])
    return Told(tuple(words), variables, tuple(_choosing(found)))


def without_dependencies(found: Told) -> Told:
    """The same with --no-deps."""
    return found._replace(words=(*(word for word in found.words if word != "--no-deps"), "--no-deps"))


def _words(name: str, value: str) -> Iterable[str]:
    values = value.split(",") if name in _COMMA else [value]
    return [word for each in values for word in ((_SAME[name], each) if each else (_SAME[name],))]


def _refused_lines(found: Understanding) -> list[str]:
    """What requirement files say that uv does not read, or reads otherwise."""
    sources = [line for line in found.asked.strange if line.startswith("-e") and "+" in line.partition("://")[0]]
    single = [f"--config-settings of {name}" for name in building_options(found.arguments.requirements)]
    return [*sources, *single]


def _refuse(names: Sequence[str]) -> None:
    if names:
        unique = sorted(set(names))
        raise UsageError(
            f"the uv resolver cannot honour {', '.join(unique)}",
            hint="resolve with pip: --resolver pip (a setting of pip may stand in its configuration or in a variable PIP_…)",
        )


def _choosing(found: Understanding) -> Iterable[str]:
    """As pip does it: what is named is upgraded, and what it needs only as far as it must be, or if the strategy says so."""
    resolving = dict(pairs(found.arguments.resolving))
    if found.hashed:
        yield "--require-hashes"
    if "--upgrade" not in resolving:
        return
    if resolving.get("--upgrade-strategy") == "eager":
        yield "--upgrade"
    for wish in found.asked.wishes:
        yield from ("--upgrade-package", normal(wish.requirement.name))
