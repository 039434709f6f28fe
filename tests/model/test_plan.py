"""The planner: which renames a change becomes, and which conflicts stop it."""

from __future__ import annotations

from shipway.model.entry import Manifest
from shipway.model.facts import BACKUP, CONTEST, FOREIGN, OVERRIDE, decode_owners
from shipway.model.plan import plan
from shipway.model.planning import Plan, PlanRequest, Policy, Wish
from shipway.model.unit import Verb
from tests.fakes import OLD_TIME, MemoryDisk, MemoryRecord, image_of

ME = "pkg:generic/me"
OTHER = "pkg:generic/other"
LATER = OLD_TIME + 5_000_000_000


def wish(old: Manifest | None, new: Manifest | None, identity: str = ME) -> Wish:
    return Wish(identity, old, new, "old image", "new image")


def planned(*wishes: Wish, disk: MemoryDisk, record: MemoryRecord | None = None, policy: Policy = Policy.FAIL) -> Plan:
    return plan(PlanRequest(list(wishes), record or MemoryRecord(), disk, policy))


def units(made: Plan) -> list[tuple[str, str]]:
    return [(unit.verb.value, unit.path) for unit in made.units]


def test_a_new_directory_is_one_unit_however_many_files_it_holds() -> None:
    new = image_of({f"lib/pkg/m{i}.py": str(i) for i in range(100)})
    assert units(planned(wish(None, new), disk=MemoryDisk())) == [("place", "lib")]


def test_a_shared_directory_is_descended_into() -> None:
    disk = MemoryDisk()
    other = image_of({"lib/other.so": "x"})
    disk.lay(other)
    new = image_of({"lib/mine.so": "y", "lib/pkg/a": "1", "lib/pkg/b": "2"})
    made = planned(wish(None, new), disk=disk, record=MemoryRecord({OTHER: other}))
    assert units(made) == [("place", "lib/mine.so"), ("place", "lib/pkg")]
    assert "has files in it too" in made.units[0].why


def test_a_directory_that_was_there_before_is_remembered_as_foreign() -> None:
    disk = MemoryDisk(directories={"lib": 0o755})
    made = planned(wish(None, image_of({"lib/a": "1"})), disk=disk)
    assert units(made) == [("place", "lib/a")]
    assert [(c.kind, c.key) for c in made.changes] == [(FOREIGN, "lib")]


def test_an_upgrade_swaps_the_smallest_directory_that_holds_all_changes() -> None:
    old = image_of({f"lib/pkg/sub{d}/f{i}": "old" for d in range(3) for i in range(3)})
    changed = {f"lib/pkg/sub{d}/f{i}": "new" if d == 1 else "old" for d in range(3) for i in range(3)}
    disk = MemoryDisk()
    disk.lay(old)
    assert units(planned(wish(old, image_of(changed)), disk=disk)) == [("swap", "lib/pkg/sub1")]


def test_an_upgrade_of_one_file_touches_only_that_file() -> None:
    old = image_of({"lib/pkg/a": "1", "lib/pkg/b": "1"})
    disk = MemoryDisk()
    disk.lay(old)
    made = planned(wish(old, image_of({"lib/pkg/a": "2", "lib/pkg/b": "1"})), disk=disk)
    assert units(made) == [("swap", "lib/pkg/a")]
    assert "nothing but a changes in it" in made.units[0].why


def test_what_did_not_change_is_not_even_looked_at() -> None:
    old = image_of({"lib/same/a": "1", "lib/same/b": "1", "lib/pkg/c": "1"})
    disk = MemoryDisk()
    disk.lay(old)
    disk.asked.clear()
    planned(wish(old, image_of({"lib/same/a": "1", "lib/same/b": "1", "lib/pkg/c": "2"})), disk=disk)
    assert not [path for path in disk.asked if path.startswith("lib/same/")]


def test_a_stray_file_keeps_its_directory_from_being_swapped() -> None:
    old = image_of({"lib/pkg/a": "1", "lib/pkg/b": "1"})
    disk = MemoryDisk()
    disk.lay(old)
    disk.put("lib/pkg/mine.txt", "user's")
    made = planned(wish(old, image_of({"lib/pkg/a": "2", "lib/pkg/b": "2"})), disk=disk)
    assert units(made) == [("swap", "lib/pkg/a"), ("swap", "lib/pkg/b")]
    assert "lib/pkg/mine.txt belongs to no package" in made.units[0].why


def test_bytecode_of_other_processes_does_not_count_against_a_directory() -> None:
    old = image_of({"lib/pkg/a.py": "1", "lib/pkg/b.py": "1"})
    new = image_of({"lib/pkg/a.py": "2", "lib/pkg/b.py": "2"}, mtime=LATER)
    disk = MemoryDisk()
    disk.lay(old)
    disk.put("lib/pkg/__pycache__/a.cpython-311.pyc", "bytecode")
    disk.put("lib/pkg/__pycache__/a.cpython-311.pyc.12345", "torn")
    disk.put("lib/pkg/b.pyc", "2.7's")
    assert units(planned(wish(old, new), disk=disk)) == [("swap", "lib/pkg")]


def test_a_sourceless_module_of_the_user_counts_as_his() -> None:
    old = image_of({"lib/pkg/a.py": "1", "lib/pkg/b.py": "1"})
    new = image_of({"lib/pkg/a.py": "2", "lib/pkg/b.py": "2"}, mtime=LATER)
    disk = MemoryDisk()
    disk.lay(old)
    disk.put("lib/pkg/own.pyc", "a module without source")
    assert ("swap", "lib/pkg") not in units(planned(wish(old, new), disk=disk))


def test_without_exchange_directories_are_not_swapped() -> None:
    old, new = image_of({"lib/a": "1", "lib/b": "1"}), image_of({"lib/a": "2", "lib/b": "2"})
    disk = MemoryDisk(exchange=False)
    disk.lay(old)
    assert units(planned(wish(old, new), disk=disk)) == [("swap", "lib/a"), ("swap", "lib/b")]


def test_a_directory_that_the_kernel_would_not_move_is_taken_apart_and_then_removed() -> None:
    old = image_of({"lib/a": "1", "lib/b": "1"})
    disk = MemoryDisk(immovable={"lib": "an overlay's lower layer"})
    disk.lay(old)
    assert units(planned(wish(old, None), disk=disk)) == [("retire", "lib/a"), ("retire", "lib/b"), ("rmdir", "lib")]


def test_a_source_that_could_pass_for_the_old_one_is_named() -> None:
    old, new = image_of({"lib/a.py": "1", "lib/b": "1"}), image_of({"lib/a.py": "2", "lib/b": "2"})
    disk = MemoryDisk()
    disk.lay(old)
    assert [s[:2] for s in planned(wish(old, new), disk=disk).shadowed] == [(ME, "lib/a.py")]
    assert planned(wish(old, image_of({"lib/a.py": "2", "lib/b": "2"}, mtime=LATER)), disk=disk).shadowed == ()


def test_removal_takes_a_directory_as_one_and_leaves_a_foreign_one() -> None:
    old = image_of({"lib/pkg/a": "1", "share/b": "1"})
    disk = MemoryDisk()
    disk.lay(old)
    made = planned(wish(old, None), disk=disk, record=MemoryRecord(foreigns={"lib": "755"}))
    assert units(made) == [("retire", "lib/pkg"), ("retire", "share")]
    assert [(c.kind, c.key, c.new) for c in made.changes] == [(FOREIGN, "lib", None)]


def test_removal_leaves_a_directory_that_holds_somebodys_file_and_says_so() -> None:
    old = image_of({"lib/pkg/a": "1"})
    disk = MemoryDisk()
    disk.lay(old)
    disk.put("lib/pkg/notes.txt", "mine")
    made = planned(wish(old, None), disk=disk)
    assert units(made) == [("retire", "lib/pkg/a")]
    assert any(note.kind == "left" and note.path == "lib/pkg" for note in made.notes)


def test_removal_of_a_module_takes_every_interpreters_bytecode_of_it_alone() -> None:
    old = image_of({"lib/six.py": "1"})
    disk = MemoryDisk()
    disk.lay(old)
    for name in ("six.cpython-311.pyc", "six.cpython-38.opt-1.pyc", "seven.cpython-311.pyc"):
        disk.put(f"lib/__pycache__/{name}", "bytecode")
    disk.put("lib/six.pyc", "2.7")
    disk.put("lib/seven.py", "user's")
    gone = [path for verb, path in units(planned(wish(old, None), disk=disk)) if verb == "retire"]
    assert sorted(gone) == [
        "lib/__pycache__/six.cpython-311.pyc",
        "lib/__pycache__/six.cpython-38.opt-1.pyc",
        "lib/six.py",
        "lib/six.pyc",
    ]


def test_a_file_that_nobody_owns_is_a_conflict_and_all_conflicts_are_listed() -> None:
    disk = MemoryDisk()
    disk.put("bin/a", "user's")
    disk.put("bin/b", "user's")
    made = planned(wish(None, image_of({"bin/a": "1", "bin/b": "2", "bin/c": "3"})), disk=disk)
    assert [c.path for c in made.conflicts] == ["bin/a", "bin/b"]


def test_backup_keeps_what_was_there_as_a_claim_below() -> None:
    disk = MemoryDisk()
    disk.put("bin/a", "user's")
    made = planned(wish(None, image_of({"bin/a": "1"})), disk=disk, policy=Policy.BACKUP)
    assert units(made) == [("swap", "bin/a")]
    assert made.backups is not None and made.backups.entry("bin/a") is not None
    (stack,) = [decode_owners(c.new or "[]") for c in made.changes if c.kind == CONTEST]
    assert stack == (BACKUP + made.backups.image_name(), ME)


def test_two_packages_with_the_same_content_share_a_path() -> None:
    other = image_of({"lib/x": "same", "lib/other": "1"})
    disk = MemoryDisk()
    disk.lay(other)
    made = planned(wish(None, image_of({"lib/x": "same"})), disk=disk, record=MemoryRecord({OTHER: other}))
    assert made.units == () and made.conflicts == ()


def test_a_shared_file_stays_until_the_last_claim_goes() -> None:
    both = image_of({"lib/x": "same"})
    disk = MemoryDisk()
    disk.lay(both)
    assert units(planned(wish(both, None), disk=disk, record=MemoryRecord({OTHER: both}))) == []
    assert units(planned(wish(both, None), disk=disk)) == [("retire", "lib")]


def test_a_pushed_claim_gives_way_to_the_one_below_when_it_goes() -> None:
    other, mine = image_of({"lib/x": "theirs"}), image_of({"lib/x": "mine"})
    disk = MemoryDisk()
    disk.lay(mine)
    record = MemoryRecord({OTHER: other}, contests={"lib/x": (OTHER, ME)})
    made = planned(wish(mine, None), disk=disk, record=record)
    assert units(made) == [("swap", "lib/x")]
    assert made.units[0].sources[0].image == f"image of {OTHER}"


def test_a_file_against_a_directory_is_a_conflict_that_no_policy_settles() -> None:
    other = image_of({"lib/x/y": "1"})
    disk = MemoryDisk()
    disk.lay(other)
    record = MemoryRecord({OTHER: other})
    made = planned(wish(None, image_of({"lib/x": "file"})), disk=disk, record=record, policy=Policy.OVERWRITE)
    assert [(c.path, c.settled_by) for c in made.conflicts] == [("lib/x", ())]


def test_two_packages_of_one_transaction_with_differing_content_conflict() -> None:
    one, two = image_of({"lib/x": "1"}), image_of({"lib/x": "2", "bin/y": "1"})
    disk = MemoryDisk(directories={"lib": 0o755})
    made = planned(wish(None, one), wish(None, two, OTHER), disk=disk)
    assert [c.path for c in made.conflicts] == ["lib/x"]


def test_a_users_configuration_stays_and_the_new_one_is_laid_beside() -> None:
    old = image_of({"etc/a.conf": "1", "etc/b.conf": "1"})
    new = image_of({"etc/a.conf": "2", "etc/b.conf": "2"}, mtime=LATER)
    disk = MemoryDisk()
    disk.lay(old)
    disk.put("etc/a.conf", "edited", mtime=LATER)
    made = planned(wish(old, new), disk=disk)
    assert units(made) == [("place", "etc/a.conf.new"), ("swap", "etc/b.conf")]
    assert sorted(c.key.split("\n")[1] for c in made.changes if c.kind == OVERRIDE) == ["etc/a.conf", "etc/a.conf.new"]


def test_another_changed_file_goes_to_the_undo_area_and_is_told() -> None:
    old, new = image_of({"lib/a": "1", "lib/b": "1"}), image_of({"lib/a": "2", "lib/b": "2"})
    disk = MemoryDisk()
    disk.lay(old)
    disk.put("lib/a", "edited", mtime=LATER)
    made = planned(wish(old, new), disk=disk)
    assert [(u.path, u.keep) for u in made.units] == [("lib/a", "changed"), ("lib/b", "")]
    assert [note.path for note in made.notes if note.kind == "changed"] == ["lib/a"]


def test_a_file_that_became_a_directory_is_swapped_in_one_step() -> None:
    old, new = image_of({"lib/x": "1", "lib/k": "1"}), image_of({"lib/x/y": "1", "lib/k": "1"})
    disk = MemoryDisk()
    disk.lay(old)
    disk.put("lib/stray", "keeps lib from going as one")
    assert units(planned(wish(old, new), disk=disk)) == [("swap", "lib/x")]


def test_programs_appear_after_libraries_and_metadata_last_and_go_the_other_way() -> None:
    paths = ["bin/p", "lib/l.so", "lib/pkgconfig/l.pc", "lib/py/x.dist-info/RECORD"]
    disk = MemoryDisk(directories={d: 0o755 for d in ("bin", "lib", "lib/pkgconfig", "lib/py")})
    new = image_of(dict.fromkeys(paths, "1"))
    order = [unit.path for unit in planned(wish(None, new), disk=disk).units]
    assert order == ["lib/l.so", "bin/p", "lib/pkgconfig/l.pc", "lib/py/x.dist-info"]
    disk.lay(new)
    foreigns = dict.fromkeys(disk.directories, "755") | {"lib/py/x.dist-info": "755"}
    del foreigns["lib/py/x.dist-info"]
    back = planned(wish(new, None), disk=disk, record=MemoryRecord(foreigns=foreigns)).units
    assert [unit.path for unit in back] == ["lib/pkgconfig/l.pc", "lib/py/x.dist-info", "bin/p", "lib/l.so"]
    assert all(unit.verb is Verb.RETIRE for unit in back)


def test_a_live_symlink_where_a_directory_must_be_is_a_conflict() -> None:
    disk = MemoryDisk()
    disk.put("lib", "-> /elsewhere")
    made = planned(wish(None, image_of({"lib/a": "1"})), disk=disk, policy=Policy.OVERWRITE)
    assert [(c.path, c.settled_by) for c in made.conflicts] == [("lib", ())]


def test_planning_again_after_the_change_gives_nothing() -> None:
    new = image_of({"lib/a": "1", "bin/b": "2"})
    disk = MemoryDisk()
    disk.lay(new)
    assert planned(wish(new, new), disk=disk).units == ()
