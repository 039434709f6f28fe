"""What a build may have done to files of others: by hand."""

from __future__ import annotations

from shipway.fs.overlay import Captured
from shipway.schedule.trespass import judge


def test_what_was_added_or_is_nobodys_is_no_business_of_this() -> None:
    verdict = judge("gmp", Captured(added=("lib/a",), same=("lib/b",), changed=("lib/c",)), {})
    assert verdict == ((), (), ())


def test_what_others_have_is_neither_changed_nor_deleted() -> None:
    written = Captured(changed=("lib/a", "lib/mine"), deleted=("include/b",))
    verdict = judge("mpfr", written, {"lib/a": ["gmp"], "include/b": ["gmp", "other"]})
    assert verdict.refused == (
        "mpfr changes lib/a, which belongs to gmp",
        "mpfr deletes include/b, which belongs to gmp and other",
    )
    assert verdict.others == verdict.told == ()


def test_what_others_have_stays_theirs_when_it_was_written_as_it_was() -> None:
    verdict = judge("mpfr", Captured(same=("lib/a", "lib/b")), {"lib/a": ["gmp"]})
    assert (verdict.refused, verdict.others) == ((), ("lib/a",))


def test_what_nobody_owns_is_not_deleted_and_told() -> None:
    verdict = judge("mpfr", Captured(deleted=("etc/notes",)), {})
    assert verdict.refused == ()
    assert verdict.told == ("mpfr deletes etc/notes, which nobody owns; it stays",)
