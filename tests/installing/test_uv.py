"""`--resolver uv`: the same indexes, files and options, the same care for what is installed; refused where uv cannot."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from pathlib import Path

import pytest

from shipway.errors import ShipwayError, UsageError
from shipway.python.pip_arguments import parse
from shipway.python.pylock import Terms, locked
from shipway.python.target import Target
from shipway.python.understanding import understanding
from shipway.python.uv_options import told
from tests.cli.shop import Ran, command
from tests.installing.shop import Venv, false_records, run, tree
from tests.installing.test_editable import git, project, repository
from tests.installing.wheels import Wheel, sdist

LIB = Wheel("some-lib", "1.2")
NEWER = Wheel("some-lib", "1.3")
EARLY = Wheel("some-lib", "2.0b1")
APP = Wheel("the-app", requires=("some-lib>=1", "other"), extras={"more": "extra-lib"})
OTHER = Wheel("other", "1.0")
OTHER_NEWER = Wheel("other", "1.1")
NOWHERE = Target("/nowhere/bin/python", "/nowhere", {})


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)


def by_uv(venv: Venv, *words: str) -> Ran:
    ran = venv.pip("install", "--resolver", "uv", *words)
    assert ran.code == 0, ran.err
    return ran


def test_a_project_and_what_it_needs_come_as_one_transaction(venv: Venv) -> None:
    venv.offer(LIB, NEWER, EARLY, APP, OTHER, Wheel("extra-lib"))
    ran = by_uv(venv, "the-app[more]")
    assert "+ the-app 1.0" in ran.out
    assert venv.projects() == ["extra_lib-1.0", "other-1.0", "some_lib-1.3", "the_app-1.0"]
    assert (venv.site / "the_app-1.0.dist-info/REQUESTED").is_file()
    assert not (venv.site / "some_lib-1.3.dist-info/REQUESTED").exists()
    assert false_records(venv.site) == []
    assert len(venv.history()) == 1
    venv.done("check")


def test_what_is_installed_is_kept_unless_it_is_to_be_upgraded(venv: Venv) -> None:
    venv.offer(LIB, APP, OTHER)
    by_uv(venv, "some-lib", "other")
    (venv.wheels / f"{LIB.stem}-py3-none-any.whl").unlink()
    venv.offer(NEWER, OTHER_NEWER)
    before = tree(venv.root)
    assert "the-app" in by_uv(venv, "--dry-run", "the-app").out
    assert tree(venv.root) == before, "uv leaves nothing in the environment"
    by_uv(venv, "the-app")
    assert venv.projects() == ["other-1.0", "some_lib-1.2", "the_app-1.0"], "also what no index has any more"
    by_uv(venv, "--upgrade", "the-app", "some-lib")
    assert venv.projects() == ["other-1.0", "some_lib-1.3", "the_app-1.0"], "what it needs satisfies it"
    by_uv(venv, "--upgrade", "--upgrade-strategy", "eager", "the-app")
    assert venv.projects() == ["other-1.1", "some_lib-1.3", "the_app-1.0"]
    by_uv(venv, "--force-reinstall", "some-lib==1.3", "--no-deps")
    assert len(venv.history()) == 4
    venv.shipway("verify")


def test_files_limits_markers_and_previews(venv: Venv, tmp_path: Path) -> None:
    venv.offer(LIB, NEWER, EARLY, OTHER)
    (tmp_path / "all.txt").write_text("-r more.txt\n-c limits.txt\nnot-here; python_version < '3'\n")
    (tmp_path / "more.txt").write_text("some-lib  # the one\n")
    (tmp_path / "limits.txt").write_text("some-lib<1.3\n")
    by_uv(venv, "-r", str(tmp_path / "all.txt"))
    assert venv.projects() == ["some_lib-1.2"]
    (tmp_path / "more.txt").write_text("--pre\nsome-lib\n")
    by_uv(venv, "--upgrade", "-r", str(tmp_path / "more.txt"))
    assert venv.projects() == ["some_lib-2.0b1"]


def test_sources_are_built_where_that_is_asked_for(venv: Venv) -> None:
    venv.offer(LIB)
    sdist(LIB, venv.wheels)
    by_uv(venv, "--no-binary", "some-lib", "some-lib")
    assert venv.says("import some_lib_built") == ""
    by_uv(venv, "--force-reinstall", "--only-binary", ":all:", "some-lib")
    assert "No module" in venv.says("import some_lib_built")


def test_digests_are_insisted_on(venv: Venv, tmp_path: Path) -> None:
    venv.offer(APP, OTHER)
    right = hashlib.sha256(LIB.write(venv.wheels).read_bytes()).hexdigest()
    pins = tmp_path / "pins.txt"
    for installed in ((), ("other",)):
        if installed:
            by_uv(venv, *installed)
        pins.write_text(f"some-lib==1.2 --hash=sha256:{'0' * 64}\n")
        refused = venv.pip("install", "--resolver", "uv", "-r", str(pins))
        assert refused.code == 1 and "some-lib" in refused.err and "digest" in refused.err
        refused = venv.pip("install", "--resolver", "uv", "--require-hashes", "the-app")
        assert refused.code == 1
    pins.write_text(f"some-lib==1.2 --hash=sha256:{'0' * 64} --hash=sha256:{right}\n")
    by_uv(venv, "-r", str(pins), "--ignore-installed")
    assert "some_lib-1.2" in venv.projects()


def test_addresses_and_directories(venv: Venv, tmp_path: Path) -> None:
    place, wheel = project(tmp_path / "project"), LIB.write(tmp_path / "else where")
    for words in ((), ("other",)):
        if words:
            venv.offer(OTHER)
            by_uv(venv, *words)
        by_uv(venv, "-e", str(place), f"some-lib @ {wheel.as_uri()}")
        assert venv.script("proj") == "first"
        told_of = json.loads((venv.site / "proj-1.0.dist-info/direct_url.json").read_text())
        assert told_of == {"url": place.as_uri(), "dir_info": {"editable": True}}
        about = json.loads((venv.site / "some_lib-1.2.dist-info/direct_url.json").read_text())
        assert about["url"] == wheel.as_uri()
        assert about["archive_info"]["hashes"] == {"sha256": hashlib.sha256(wheel.read_bytes()).hexdigest()}
        by_uv(venv, str(place))
        (place / "proj/__init__.py").write_text('def main():\n    print("second")\n')
        by_uv(venv, str(place))
        assert venv.script("proj") == "second", "nobody knows what changed in a directory"
        venv.done("uninstall", "-y", "proj", "some-lib")
        (place / "proj/__init__.py").write_text('def main():\n    print("first")\n')


def test_a_repository(venv: Venv, tmp_path: Path) -> None:
    place = repository(tmp_path / "project")
    by_uv(venv, f"proj @ git+{place.as_uri()}#subdirectory=below")
    about = json.loads((venv.site / "proj-1.0.dist-info/direct_url.json").read_text())
    assert about == {
        "url": place.as_uri(),
        "vcs_info": {"vcs": "git", "commit_id": git(place, "rev-parse", "HEAD")},
        "subdirectory": "below",
    }


def test_a_tree_that_is_no_environment(venv: Venv, tmp_path: Path) -> None:
    venv.offer(LIB)
    place = tmp_path / "vendored"
    by_uv(venv, "--target", str(place), "some-lib")
    assert (place / "some_lib.py").is_file()
    assert by_uv(venv, "--target", str(place), "some-lib").out.startswith("everything is as wanted")
    venv.offer(NEWER)
    assert "1.2 → 1.3" in by_uv(venv, "--target", str(place), "--upgrade", "some-lib").out


def test_sync_goes_by_uv_too(venv: Venv, tmp_path: Path) -> None:
    venv.offer(LIB, OTHER)
    by_uv(venv, "other")
    pins = tmp_path / "pins.txt"
    pins.write_text("some-lib\n")
    ran = venv.pip("sync", "--resolver", "uv", str(pins))
    assert ran.code == 0, ran.err
    assert venv.projects() == ["some_lib-1.2"]


def test_what_does_not_resolve_is_told_in_uv_s_words(venv: Venv) -> None:
    venv.offer(Wheel("lonely", requires=("nobody-has-this",)))
    ran = venv.pip("install", "--resolver", "uv", "lonely")
    assert ran.code == 1
    assert "error: uv could not resolve what was asked for" in ran.err
    assert "nobody-has-this" in ran.err and "all of them: " in ran.err
    assert venv.projects() == []


def test_without_uv_there_is_one_error(venv: Venv, tmp_path: Path) -> None:
    venv.offer(LIB)
    link = tmp_path / "python"
    link.symlink_to(command()[0])
    words = [str(link), *command("-p", str(venv.root), "pip", "install", "--resolver", "uv", "some-lib")[1:]]
    places = ":".join(path for path in sys.path if path.endswith("site-packages"))
    source = str(Path(__file__).parents[2] / "src")
    ran = run(words, venv.wheels, PATH="/nowhere", PYTHONPATH=f"{source}:{places}")
    assert ran.code == 2, ran.err
    assert "uv is not found" in ran.err and "--resolver pip" in ran.err


def test_the_resolver_may_stand_in_the_configuration_or_in_a_variable(venv: Venv) -> None:
    venv.offer(Wheel("lonely", requires=("nobody-has-this",)))
    (venv.root / "shipway.toml").write_text('[pip]\nresolver = "uv"\n')
    assert "uv could not resolve" in venv.pip("install", "lonely").err
    assert "pip could not resolve" in venv.pip("install", "lonely", SHIPWAY_PIP_RESOLVER="pip").err
    assert "pip could not resolve" in venv.pip("install", "lonely", "--resolver", "pip").err
    (venv.root / "shipway.toml").write_text("")
    assert "uv could not resolve" in venv.pip("install", "lonely", SHIPWAY_PIP_RESOLVER="uv").err
    assert venv.pip("install", "lonely", SHIPWAY_PIP_RESOLVER="conda").code == 2


def told_of(*words: str) -> tuple[tuple[str, ...], dict[str, str]]:
    found = told(understanding(NOWHERE, parse(words, "install")))
    return found.words, dict(found.variables)


def test_addresses_of_indexes_are_no_words_of_a_command_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", "https://me:secret@example.org/a")
    (tmp_path / "r.txt").write_text("--extra-index-url https://example.org/c\n--pre\nx\n")
    words, variables = told_of("--extra-index-url", "https://example.org/b", "-r", str(tmp_path / "r.txt"))
    assert variables["UV_DEFAULT_INDEX"] == "https://me:secret@example.org/a"
    assert variables["UV_INDEX"] == "https://example.org/b https://example.org/c"
    assert words == ("--prerelease", "allow")


def test_all_that_uv_cannot_honour_is_named_at_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PIP_USE_FEATURE", "fast-deps")
    (tmp_path / "r.txt").write_text("--prefer-binary\nx --config-settings=a=b\n")
    with pytest.raises(UsageError) as raised:
        told_of("--platform", "any", "--only-deps", "-e", "git+https://example.org/x", "-r", str(tmp_path / "r.txt"))
    for name in ("--platform", "--only-deps", "--use-feature", "--prefer-binary", "-e git+", "--config-settings of x"):
        assert name in raised.value.message
    assert "--resolver pip" in raised.value.hint


LOCK = """
lock-version = "1.0"
[[packages]]
name = "x"
version = "1"
sdist = { url = "https://e.org/x-1.tar.gz", hashes = { sha256 = "aa" } }
wheels = [
  { url = "https://e.org/x-1-py3-none-any.whl", hashes = { sha256 = "bb" } },
  { url = "https://e.org/x-1-cp311-cp311-linux_x86_64.whl", hashes = { sha256 = "cc" } },
  { url = "https://e.org/x-1-cp312-cp312-linux_x86_64.whl", hashes = { sha256 = "dd" } },
]
[[packages]]
name = "y"
version = "2"
marker = "python_version < '3'"
wheels = [{ path = "../y-2-py3-none-any.whl", hashes = { sha256 = "ee" } }]
"""


@pytest.mark.parametrize(
    ("hashes", "expected"),
    [
        ((), "x-1-cp311-cp311-linux_x86_64.whl"),
        (("sha256:bb", "sha256:AA"), "x-1-py3-none-any.whl"),
        (("sha256:aa", "sha256:dd"), "x-1.tar.gz"),
    ],
)
def test_of_several_archives_the_best_that_will_do(hashes: tuple[str, ...], expected: str) -> None:
    tags = ("cp311-cp311-linux_x86_64", "py3-none-any")
    terms = Terms("/base", {"python_version": "3.11"}, lambda: tags, {"x": hashes} if hashes else {}, ["x"])
    (chosen,) = locked(LOCK, terms).chosen
    assert chosen.url == f"https://e.org/{expected}"
    assert chosen.requested and not chosen.direct_url
    with pytest.raises(ShipwayError, match="no archive of x"):
        locked(LOCK, terms._replace(hashes={"x": ("sha256:00",)}))
    both = locked(LOCK, terms._replace(environment={"python_version": "2.7"}, hashes={}))
    assert both.chosen[1].url == "file:///y-2-py3-none-any.whl"
