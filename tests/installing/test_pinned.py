"""Pinned versions need no resolver: from directories no pip at all, from an index one run of it."""

from __future__ import annotations

import hashlib
import os
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from shipway.python.chosen import Chosen
from shipway.python.distributions import installed
from shipway.python.pinned import Work, known
from shipway.python.pip_arguments import parse
from shipway.python.steps import silent
from shipway.python.target import of_interpreter
from shipway.python.wheel_metadata import metadata_of
from tests.installing.shop import Venv
from tests.installing.wheels import Wheel, sdist

APP = Wheel("app", "2.0", requires=("lib>=1", "absent; extra == 'more'"), extras={"more": "absent"})
LIB = Wheel("lib", "1.5")
EARLY = Wheel("lib", "1.6b1")
HERE = f"cp{sys.version_info[0]}{sys.version_info[1]}"


def digest_of(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def choose(venv: Venv, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[str], list[str] | None]:
    """The names of the wheels that are known to be pip's choice; None where it is left to pip."""
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("PYTHONPATH", raising=False)
    target = of_interpreter(venv.python)

    def chosen(words: str) -> list[str] | None:
        arguments = parse(f"--no-index -f {venv.wheels} {words}".split(), "install")
        before = {each.key: each for each in installed(target)}
        found: list[Chosen] | None = known(target, arguments, before, Work(lambda: str(tmp_path), 1, silent))
        return found if found is None else [os.path.basename(each.local_wheel) for each in found]

    return chosen


def test_pins_come_from_directories_without_pip(venv: Venv) -> None:
    venv.offer(APP, LIB, Wheel("lib", "1.7"))
    ran = venv.done("install", "app==2.0", "lib==1.5")
    assert ran.err.splitlines() == ["preparing app, lib"]
    assert venv.projects() == ["app-2.0", "lib-1.5"]
    assert all((venv.site / f"{name}.dist-info/REQUESTED").is_file() for name in venv.projects())
    assert not list(venv.site.glob("*.dist-info/direct_url.json"))
    venv.done("check")


def test_what_is_missing_in_the_list_is_found_by_pip(venv: Venv) -> None:
    venv.offer(APP, LIB)
    assert "resolving" in venv.done("install", "app==2.0").err
    assert venv.projects() == ["app-2.0", "lib-1.5"]
    venv.offer(Wheel("app", "2.1", requires=("lib>=1",)))
    assert "resolving" not in venv.done("install", "app==2.1").err, "what it needs is installed"


def test_an_index_is_asked_once_and_nothing_resolved(venv: Venv, tmp_path: Path) -> None:
    index = tmp_path / "index"
    paths = [wheel.write(index / wheel.name) for wheel in (APP, LIB)]
    for path in paths:
        (path.parent / "index.html").write_text(f'<a href="{path.name}">{path.name}</a>')
    pins = tmp_path / "pins.txt"
    pins.write_text(
        "".join(f"{p.name.split('-')[0]}=={p.name.split('-')[1]} --hash=sha256:{digest_of(p)}\n" for p in paths)
    )
    words = ["install", "--index-url", index.as_uri(), "-r", str(pins)]
    assert "app" in venv.pip(*words, "--dry-run", PIP_NO_INDEX="", PIP_FIND_LINKS="").out
    ran = venv.pip(*words, PIP_NO_INDEX="", PIP_FIND_LINKS="")
    assert ran.code == 0, ran.err
    assert "resolving" not in ran.err
    assert venv.projects() == ["app-2.0", "lib-1.5"]
    pins.write_text(pins.read_text().replace(digest_of(paths[1]), "0" * 64))
    wrong = venv.pip(*words, "--force-reinstall", PIP_NO_INDEX="", PIP_FIND_LINKS="")
    assert wrong.code == 1 and "resolving" in wrong.err
    pins.write_text(f"app==2.0 --hash=sha256:{digest_of(paths[0])}\n")
    refused = venv.pip(*words, "--force-reinstall", PIP_NO_INDEX="", PIP_FIND_LINKS="")
    assert refused.code == 1 and "lib" in refused.err, "digests of all that is needed"


def test_digests_are_compared(venv: Venv, tmp_path: Path) -> None:
    right = digest_of(LIB.write(venv.wheels))
    pins = tmp_path / "pins.txt"
    pins.write_text(f"lib==1.5 --hash=sha256:{'0' * 64}\n")
    wrong = venv.pip("install", "-r", str(pins))
    assert wrong.code == 1 and "DO NOT MATCH" in wrong.err
    pins.write_text(f"lib==1.5 --hash=sha256:{'0' * 64} --hash=sha256:{right}\n")
    assert "resolving" not in venv.done("install", "-r", str(pins)).err
    assert "resolving" in venv.pip("install", "--require-hashes", "--force-reinstall", "lib==1.5").err


def test_sync_to_pins_needs_no_pip_either(venv: Venv, tmp_path: Path) -> None:
    venv.offer(APP, LIB, Wheel("other"))
    venv.done("install", "other", "lib==1.5", "app==2.0")
    pins = tmp_path / "pins.txt"
    pins.write_text("app==2.0\nlib==1.5\n")
    ran = venv.done("sync", str(pins))
    assert "resolving" not in ran.err
    assert venv.projects() == ["app-2.0", "lib-1.5"]


def test_the_best_wheel_is_taken(venv: Venv, choose: Callable[[str], list[str] | None]) -> None:
    plain = LIB.write(venv.wheels)
    assert choose("lib==1.5") == [plain.name]
    for better in ("lib-1.5-1-py3-none-any.whl", f"lib-1.5-{HERE}-none-any.whl"):
        plain.rename(venv.wheels / better)
        LIB.write(venv.wheels)
        assert choose("lib==1.5") == [better]
    (venv.wheels / "lib-1.5-cp27-cp27m-win32.whl").write_bytes(b"")
    assert choose("lib==1.5") == [better]
    EARLY.write(venv.wheels)
    assert choose("lib==1.6b1") == ["lib-1.6b1-py3-none-any.whl"]
    assert choose("lib===1.5") == [better]


@pytest.mark.parametrize(
    "words",
    [
        "lib>=1",
        "lib==1.*",
        "lib==1.4",
        "lib==1.5 app==2.0 --no-binary :all:",
        "app[more]==2.0 lib==1.5",
        "lib==1.5 lib==1.5",
        "lib==1.5 -f /nowhere",
        "lib==1.5 --upgrade",
        "lib==1.5 --use-feature fast-deps",
        "lib==1.5 --require-hashes",
    ],
)
def test_what_is_not_plain_is_left_to_pip(venv: Venv, choose: Callable[[str], list[str] | None], words: str) -> None:
    venv.offer(APP, LIB)
    assert choose("app==2.0 lib==1.5") is not None
    assert choose("app==2.0 --no-deps") is not None
    assert choose(words) is None


def test_what_lies_beside_the_wheel_may_matter(venv: Venv, choose: Callable[[str], list[str] | None]) -> None:
    venv.offer(LIB)
    sdist(LIB, venv.wheels)
    sdist(Wheel("lib-more", "3"), venv.wheels)
    assert choose("lib==1.5") == ["lib-1.5-py3-none-any.whl"]
    for name in ("links.html", "lib-1.5+local.tar.gz", "lib-1.5.tgz", "lib-1.5-odd.whl"):
        (venv.wheels / name).write_bytes(b"")
        assert choose("lib==1.5") is None, name
        (venv.wheels / name).unlink()
    assert choose("lib==1.5") is not None


def test_a_wheel_for_another_python_or_of_another_project_is_left_to_pip(
    venv: Venv, choose: Callable[[str], list[str] | None]
) -> None:
    path = LIB.write(venv.wheels)
    path.rename(venv.wheels / "other-1.5-py3-none-any.whl")
    assert choose("other==1.5") is None
    members = {**LIB.members()}
    members[f"{LIB.info}/METADATA"] = members[f"{LIB.info}/METADATA"].replace(b"\n\n", b"\nRequires-Python: <3\n\n", 1)
    LIB.pack(venv.wheels, members.items())
    assert choose("lib==1.5") is None
    assert choose("lib==1.5 --no-deps") is None


def test_metadata_is_read_as_zipfile_reads_it(tmp_path: Path) -> None:
    text = LIB.metadata()
    assert metadata_of(str(LIB.write(tmp_path))) == text
    for variant, method in (
        ("stored", zipfile.ZIP_STORED),
        ("comment", zipfile.ZIP_DEFLATED),
        ("packed", zipfile.ZIP_BZIP2),
    ):
        path = tmp_path / f"{variant}.whl"
        with zipfile.ZipFile(path, "w", method) as archive:
            archive.writestr("lib/deep/x.dist-info/METADATA.txt", "no")
            archive.writestr(f"{LIB.info}/METADATA", text)
            archive.comment = b"x" * 70 if variant == "comment" else b""
        assert metadata_of(str(path)) == text, variant
    whole = LIB.write(tmp_path).read_bytes()
    path = tmp_path / "damaged.whl"
    for damage in (b"", b"no archive", whole[:-9]):
        path.write_bytes(damage)
        with pytest.raises(ValueError, match=str(path)):
            metadata_of(str(path))


def test_the_plan_of_pins_is_told(venv: Venv) -> None:
    venv.offer(APP, LIB)
    ran = venv.done("install", "app==2.0", "lib==1.5", "--dry-run")
    assert "+ app 2.0" in ran.out and "resolving" not in ran.err
    assert venv.projects() == []
