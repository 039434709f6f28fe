"""The options of `pip install`: their names, and which of them take a value.

Source: `pip install --help` of pip 26.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple


class Options(NamedTuple):
    """Options of one kind, names of one option joined by commas: those without a value, and those with one."""

    flags: tuple[str, ...]
    valued: tuple[str, ...] = ()


FINDING = Options(
    (
        *"--no-index --pre --prefer-binary --require-hashes --no-require-hashes --no-build-isolation --use-pep517".split(),
        *"--no-use-pep517 --check-build-dependencies --no-cache-dir --isolated --no-clean --no-proxy-env".split(),
    ),
    (
        *"-i,--index-url,--pypi-url --extra-index-url -f,--find-links --no-binary --only-binary --all-releases".split(),
        *"--only-final -C,--config-settings,--config-setting --build-constraint --trusted-host --cert --client-cert".split(),
        *"--proxy --retries --timeout,--default-timeout --cache-dir --keyring-provider --use-feature --use-deprecated".split(),
        *"--exists-action --log --resume-retries --global-option --uploaded-prior-to --refresh-package".split(),
    ),
)
"""Where and how archives are found and built."""

RESOLVING = Options(
    (
        *"--no-deps,--no-dependencies --only-deps -U,--upgrade --force-reinstall -I,--ignore-installed".split(),
        "--ignore-requires-python",
    ),
    tuple("--upgrade-strategy --platform --python-version --implementation --abi".split()),
)
"""Which of them are chosen."""

SOURCES = Options(
    (),
    (
        *"-r,--requirement,--requirements -c,--constraint,--constraints -e,--editable --group".split(),
        "--requirements-from-script",
    ),
)
"""What names requirements."""

WITHOUT_MEANING = Options(
    (
        *"--no-warn-script-location --no-warn-conflicts --break-system-packages --disable-pip-version-check".split(),
        *"--no-python-version-warning --no-color --no-input --compile --debug --require-virtualenv".split(),
    ),
    tuple("--root-user-action --progress-bar".split()),
)
"""What means nothing here, and is taken all the same."""

_KINDS = (FINDING, RESOLVING, SOURCES, WITHOUT_MEANING)
NAMES = {
    name: next(each for each in names.split(",") if each.startswith("--"))
    for kind in _KINDS for names in (*kind.flags, *kind.valued) for name in names.split(",")
}  # fmt: skip
"""Each name, and the long one that stands for the option."""

VALUED = frozenset(name for kind in _KINDS for names in kind.valued for name in names.split(","))
"""The names of options that take a value."""


def pairs(words: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Options by their long names with their values, "" for none; words that are no options with "" before them."""
    rest = iter(words)
    for word in rest:
        if word not in NAMES:
            yield "", word
        else:
            yield NAMES[word], next(rest, "") if word in VALUED else ""
