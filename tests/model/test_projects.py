"""Which Python project a tree is, told by its metadata."""

from __future__ import annotations

import pytest

from shipway.model.entry import DIRECTORY, Entry, Manifest, manifest_of
from shipway.model.projects import identity_in, names_of

SITE = "lib/python3.11/site-packages"


def tree(*infos: str, place: str = SITE) -> Manifest:
    listings: dict[str, list[Entry]] = {"": []}
    above = ""
    for part in place.split("/"):
        listings[above].append(Entry(part, DIRECTORY))
        above = f"{above}/{part}".lstrip("/")
        listings[above] = []
    listings[above] = [Entry(info, DIRECTORY) for info in infos]
    return manifest_of({**listings, **{f"{above}/{info}": [] for info in infos}})


@pytest.mark.parametrize(
    ("identity", "infos", "expected"),
    [
        ("pkg:generic/thing", ["thing-1.0.dist-info"], "pkg:pypi/thing"),
        ("pkg:generic/Foo.Bar", ["foo_bar-1.0.dist-info"], "pkg:pypi/foo-bar"),
        ("pkg:generic/py-thing", ["Thing-1.0.dist-info"], "pkg:pypi/thing"),
        ("pkg:generic/python3-thing", ["thing-1.dist-info"], "pkg:pypi/thing"),
        ("pkg:generic/py-cpuinfo", ["py_cpuinfo-9.dist-info"], "pkg:pypi/py-cpuinfo"),
        ("pkg:generic/library", ["thing-1.0.dist-info"], "pkg:generic/library"),
        ("pkg:generic/pip", ["pip-1.dist-info", "setuptools-1.dist-info"], "pkg:generic/pip"),
        ("pkg:generic/thing", [], "pkg:generic/thing"),
        ("pkg:pypi/other", ["thing-1.0.dist-info"], "pkg:pypi/other"),
    ],
)
def test_a_tree_of_one_project_of_its_name_is_that_project(identity: str, infos: list[str], expected: str) -> None:
    assert identity_in(tree(*infos), identity) == expected


def test_metadata_that_a_project_brings_inside_itself_does_not_count() -> None:
    vendored = tree("thing-1.0.dist-info", place=f"{SITE}/thing/_vendor")
    assert identity_in(vendored, "pkg:generic/thing") == "pkg:generic/thing"


def test_a_name_stands_for_itself_and_without_what_others_put_before_it() -> None:
    assert names_of("py_Thing") == {"pkg:pypi/py-thing", "pkg:pypi/thing"}
    assert names_of("python-") == {"pkg:pypi/python-"}
