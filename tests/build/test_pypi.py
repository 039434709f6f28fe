"""One file of a package index, as pip's settings say; no file is ever built."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from shipway.build.fetching import Fetched, Fetcher, FetchError, Options, fetch
from shipway.build.places import Watch
from shipway.build.pypi import Settings
from shipway.build.recipe_file import Found, load
from shipway.fs.system import FileSystem
from shipway.model.event import silent
from tests.build.mirrors import DATA, SHA, Handler, Mirror, recipe, serving

NAME = "Some_Thing-1.0.tar.gz"
PAGE = "/simple/some-thing/"


def answer(kind: str, text: str) -> Callable[[Handler], None]:
    def give(handler: Handler) -> None:
        if handler.path != PAGE:
            handler.head(404, Content_Length=0)
            return
        handler.head(200, Content_Type=kind, Content_Length=len(text.encode()))
        handler.give(text.encode())

    return give


def html(*links: str) -> Callable[[Handler], None]:
    return answer("text/html", "<!DOCTYPE html><body>" + "".join(f'<a href="{link}">x</a><br/>' for link in links))


def as_json(*files: tuple[str, str, str]) -> Callable[[Handler], None]:
    listed = [{"filename": name, "url": url, "hashes": {"sha256": sha}} for name, url, sha in files]
    return answer("application/vnd.pypi.simple.v1+json", json.dumps({"files": listed}))


def protected(handler: Handler) -> None:
    if handler.headers.get("Authorization") != "Basic bWU6c2VjcmV0":
        handler.head(401, Content_Length=0)
    else:
        html(f"/good/{NAME}#sha256={SHA}")(handler)


@pytest.fixture
def index(cache: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Mirror]]:
    """An index of one's own, which pip is told of."""
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)

    with ExitStack() as running:

        def serve(simple: Callable[[Handler], None]) -> Mirror:
            mirror = running.enter_context(serving({"simple": simple}))
            monkeypatch.setenv("PIP_INDEX_URL", f"{mirror.base}/simple")
            return mirror

        yield serve


def of_pypi(place: Path, sha: str = SHA) -> Found:
    return recipe(place, f'[[source]]\npypi = "Some.Thing"\nfile = "{NAME}"\nsha256 = "{sha}"\n')


def one(cache: Path, found: Found) -> Fetched:
    """Through pip's own settings."""
    harvest = fetch(FileSystem(), [found], Options(str(cache), timeout=2))
    assert harvest.failures == ()
    return harvest.files[0][1][0]


def from_index(cache: Path, found: Found, *indexes: str) -> Fetched:
    """Without asking pip, which takes a second."""
    options = Options(str(cache), timeout=1)
    fetcher = Fetcher(FileSystem(), options, Watch(threading.Event(), silent, 1), Settings(indexes, ()))
    return fetcher.fetch(found, found.recipe.source[0])


def why(cache: Path, found: Found, *indexes: str) -> str:
    with pytest.raises(FetchError) as caught:
        from_index(cache, found, *indexes)
    return "\n".join(caught.value.details)


@pytest.mark.parametrize(
    "page",
    [
        html("other-1.0.tar.gz", f"../../good/{NAME}#sha256={SHA}"),
        html(f"/good/{NAME}"),
        html(f"/good/{NAME}#md5=0"),
        as_json(("x", "/good/x", SHA), (NAME, f"../../good/{NAME}", SHA)),
    ],
    ids=["html", "no digest", "another digest", "json"],
)
def test_a_file_is_found_by_its_name(
    page: Callable[[Handler], None], index: Callable[..., Mirror], cache: Path, tmp_path: Path
) -> None:
    mirror = index(page)
    found = from_index(cache, of_pypi(tmp_path), f"{mirror.base}/simple/")
    assert (found.origin, Path(found.path).read_bytes()) == ("pypi", DATA)
    assert [path for path, _ in mirror.asked] == [PAGE, f"/good/{NAME}"]
    assert os.listdir(Path(found.path).parent) == [NAME]


def test_a_file_of_another_digest_is_not_even_fetched(
    index: Callable[..., Mirror], cache: Path, tmp_path: Path
) -> None:
    mirror = index(html(f"/good/{NAME}#sha256={'0' * 64}"))
    assert "it has another digest there" in why(cache, of_pypi(tmp_path), f"{mirror.base}/simple")
    assert len(mirror.asked) == 1


def test_an_index_that_lies_about_the_digest_is_found_out(
    index: Callable[..., Mirror], cache: Path, tmp_path: Path
) -> None:
    mirror = index(html(f"/lie/{NAME}#sha256={SHA}"))
    assert "gives another file" in why(cache, of_pypi(tmp_path), f"{mirror.base}/simple")


@pytest.mark.parametrize(
    ("page", "words"),
    [
        (html("x-1.tar.gz"), "no index has it"),
        (lambda handler: handler.head(404, Content_Length=0), "404 Not Found"),
        (answer("application/vnd.pypi.simple.v1+json", "[1, 2"), "the page cannot be read"),
        (answer("application/vnd.pypi.simple.v1+json", '{"files": 3}'), "the page cannot be read"),
        (answer("application/vnd.pypi.simple.v1+json", "[]"), "the page cannot be read"),
        (html(f"/gone/{NAME}"), "404 Not Found"),
        (lambda handler: handler.over.wait(20), "does not answer"),
    ],
    ids=["not there", "no project", "no JSON", "another JSON", "a list", "gone", "silent"],
)
def test_an_index_that_does_not_have_it_says_why(
    page: Callable[[Handler], None], words: str, index: Callable[..., Mirror], cache: Path, tmp_path: Path
) -> None:
    mirror = index(page)
    assert words in why(cache, of_pypi(tmp_path), f"{mirror.base}/simple")


def test_secrets_of_an_address_are_sent_and_not_shown(
    index: Callable[..., Mirror], cache: Path, tmp_path: Path
) -> None:
    mirror = index(protected)
    right = mirror.base.replace("//", "//me:secret@") + "/simple"
    assert from_index(cache, of_pypi(tmp_path), right).origin == "pypi"
    told = why(cache, of_pypi(tmp_path, "1" * 64), right.replace("secret", "wrong"))
    assert "401 " in told and "wrong" not in told


def test_extra_indexes_and_links_serve_too(
    index: Callable[..., Mirror], cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index(lambda handler: handler.head(404, Content_Length=0))
    local = tmp_path / "extra/some-thing"
    local.mkdir(parents=True)
    (local / "index.html").write_text(f'<a href="../../files/{NAME}#sha256={SHA}">x</a>')
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / NAME).write_bytes(DATA)
    monkeypatch.setenv("PIP_EXTRA_INDEX_URL", f"file://{tmp_path}/none file://{tmp_path}/extra")
    assert one(cache, of_pypi(tmp_path)).origin == "pypi"
    monkeypatch.delenv("PIP_EXTRA_INDEX_URL")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "files"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    assert one(tmp_path / "cache2", of_pypi(tmp_path)).origin == "pypi"


def test_pip_s_configuration_files_count(
    index: Callable[..., Mirror], cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mirror = index(html(f"/good/{NAME}"))
    (tmp_path / "pip.conf").write_text(
        f"[global]\nindex-url = http://nobody.invalid/\n[download]\nindex-url = {mirror.base}/simple/\n"
    )
    monkeypatch.setenv("PIP_CONFIG_FILE", str(tmp_path / "pip.conf"))
    monkeypatch.delenv("PIP_INDEX_URL")
    assert one(cache, of_pypi(tmp_path)).origin == "pypi"


def test_the_real_index_gives_a_small_file(cache: Path, tmp_path: Path) -> None:
    found = load(str(Path(__file__).parents[2] / "recipes/six"))
    failures = fetch(FileSystem(), [found], Options(str(cache), timeout=20)).failures
    if failures:
        words = [sys.executable, "-m", "pip", "download", "--no-deps", "six==1.17.0", "-d", str(tmp_path)]
        assert subprocess.run(words, capture_output=True, timeout=120).returncode, failures
        pytest.skip("no package index is reached from here")
