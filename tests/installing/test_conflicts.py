"""Two projects that claim one path."""

from __future__ import annotations

from tests.installing.shop import Venv, tree
from tests.installing.wheels import Wheel

STRAY = {"tests/__init__.py": ""}
A = Wheel("aaa", files={**STRAY, "aaa/__init__.py": "", "tests/shared.py": "x = 1\n"})
SAME = Wheel("bbb", files={**STRAY, "bbb/__init__.py": "", "tests/shared.py": "x = 1\n"})
OTHER = Wheel("ccc", files={**STRAY, "ccc/__init__.py": "", "tests/shared.py": "x = 2\n"})


def test_the_same_content_is_shared_until_the_last_of_them_goes(venv: Venv) -> None:
    venv.offer(A, SAME)
    venv.done("install", "aaa", "bbb")
    shared = venv.site / "tests/shared.py"
    venv.done("uninstall", "-y", "aaa")
    assert shared.is_file()
    venv.shipway("verify")
    venv.done("uninstall", "-y", "bbb")
    assert not (venv.site / "tests").exists()


def test_differing_content_is_refused_and_names_both(venv: Venv) -> None:
    venv.offer(A, OTHER)
    before = tree(venv.root)
    ran = venv.pip("install", "aaa", "ccc")
    assert ran.code == 3
    assert "aaa" in ran.err and "ccc" in ran.err and "tests/shared.py" in ran.err
    assert tree(venv.root) == before
    venv.done("install", "aaa")
    there = tree(venv.root)
    ran = venv.pip("install", "ccc")
    assert ran.code == 3
    assert "aaa" in ran.err and "tests/shared.py" in ran.err
    assert tree(venv.root) == there


def test_a_file_of_nobody_is_not_overwritten(venv: Venv) -> None:
    venv.offer(A)
    (venv.site / "aaa").mkdir()
    (venv.site / "aaa/__init__.py").write_text("mine = 1\n")
    ran = venv.pip("install", "aaa")
    assert ran.code == 3
    assert "aaa/__init__.py" in ran.err
    assert (venv.site / "aaa/__init__.py").read_text() == "mine = 1\n"


def test_what_is_in_the_way_can_be_kept_or_given_up(venv: Venv) -> None:
    mine = venv.site / "aaa/__init__.py"
    venv.offer(A)
    for policy, after in (("backup", "mine = 1\n"), ("overwrite", None)):
        mine.parent.mkdir(exist_ok=True)
        mine.write_text("mine = 1\n")
        venv.done("install", "--on-conflict", policy, "aaa")
        assert mine.read_text() == ""
        venv.shipway("verify")
        venv.done("uninstall", "-y", "aaa")
        assert (mine.read_text() if mine.exists() else None) == after


def test_a_file_of_another_project_comes_back_with_backup(venv: Venv) -> None:
    venv.offer(A, OTHER)
    venv.done("install", "aaa")
    venv.done("install", "--on-conflict", "backup", "ccc")
    assert (venv.site / "tests/shared.py").read_text() == "x = 2\n"
    venv.done("uninstall", "-y", "ccc")
    assert (venv.site / "tests/shared.py").read_text() == "x = 1\n"
    venv.shipway("verify")


def test_namespace_packages_live_in_one_directory(venv: Venv) -> None:
    venv.offer(
        Wheel("space-a", files={"space/a.py": "A = 1\n", "space_a.py": ""}),
        Wheel("space-b", files={"space/b.py": "B = 2\n"}),
    )
    venv.done("install", "space-a")
    venv.done("install", "space-b")
    assert venv.says("from space import a, b; print(a.A, b.B)") == "1 2"
    venv.done("uninstall", "-y", "space-a")
    assert venv.says("from space import b; print(b.B)") == "2"


def test_data_over_a_module_of_its_own_is_refused(venv: Venv) -> None:
    place = venv.site.relative_to(venv.root).as_posix()
    wheel = Wheel("twin", files={f"twin-1.0.data/data/{place}/twin.py": "other\n"})
    venv.offer(wheel)
    ran = venv.pip("install", "twin")
    assert ran.code == 1
    assert "twin.py" in ran.err
    assert venv.projects() == []
