"""The Python API: a prefix, its packages and its transactions.

from shipway import Prefix

with Prefix("/opt/site") as prefix:
    image = prefix.seal("stage/", name="gmp", version="6.3.0")
    with prefix.transaction(reason="update") as tx:
        tx.install(image)
        tx.remove("oldgmp")
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Self

from shipway.errors import LockedError, ShipwayError, StuckError
from shipway.fs.system import FileSystem
from shipway.model.entry import Entry
from shipway.model.event import Listener, silent
from shipway.model.facts import Installed
from shipway.model.identity import checked_version, identity_of, short_name
from shipway.model.planning import Plan, Policy
from shipway.model.projects import brings_interpreter
from shipway.prefix import gc, queries, verify
from shipway.prefix.change import Follow, Intent
from shipway.prefix.commit import Planned, Request
from shipway.prefix.library import Library
from shipway.prefix.lookup import resolve
from shipway.prefix.recover import needs_recovery, recover_locked
from shipway.prefix.session import Session
from shipway.prefix.site import Options, Site, open_site
from shipway.prefix.undoing import choose, intent_to_undo, only_facts
from shipway.prefix.verify import Report
from shipway.prefix.work import Outcome, Work
from shipway.sealing import Image, Sealer, Staged

if TYPE_CHECKING:
    from shipway.assembling import Wanted

_HEALING = 1.0
"""Seconds that whoever opens a prefix waits for the record, to finish what others left: perhaps he only asks."""

__all__ = ["Image", "Options", "Outcome", "Plan", "Policy", "Prefix", "Staged", "Transaction"]


Sealed = Callable[[Image], None]


class Prefix:
    """A live prefix.  Opening it finishes what a dead process left, if whoever opens it may write there.

    Raises UsageError if it is no directory, ShipwayError if its record cannot be used.
    """

    def __init__(
        self,
        root: str,
        *,
        options: Options | None = None,
        listener: Listener = silent,
        fs: FileSystem | None = None,
    ) -> None:
        self.site: Site = open_site(root, options or Options(), listener, fs)
        self._sealing: Session | None = None
        self._sealer: Sealer | None = None
        self.library = Library(self.site.database)
        self._check()
        self._heal()

    @property
    def writable(self) -> bool:
        """Whether this user may change it."""
        return self.site.database.writable

    def close(self) -> None:
        """End sealing (what was sealed and not committed is left to `gc`) and close the record."""
        if self._sealing:
            if not self._sealing.needed:
                self._sealing.forget_origin()
            self._sealing.close()
        self.site.database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # -- changing --------------------------------------------------------------------------------------------

    def seal(self, tree: str, *, name: str, version: str, move: bool = False, python: str | None = None) -> Image:
        """Seal a staged tree into the store.  Nothing in the live tree changes.  See `Staged` for what can be said beside."""
        return self.seal_staged(staged(tree, name, version, move=move, python=python))

    def seal_staged(self, wanted: Staged, policy: Policy = Policy.FAIL) -> Image:
        """Seal; where the tree is taken, first see whether it would meet conflicts under a policy (ConflictError)."""

        def check(image: Image) -> None:
            preview = Library(self.site.database)
            preview.add(image.package.image, image.manifest)
            Work(self.site, preview).check(Intent(targets_of(self.site, image), policy))

        return self._sealer_of_mine().seal(wanted, check)

    def assemble(self, wanted: Sequence[Wanted]) -> list[Image]:
        """Images put together from parts of others; see `assembling.assembled` for what is raised."""
        from shipway.assembling import assembled

        return assembled(self._sealer_of_mine(), wanted)

    def staging(self, name: str) -> str:
        """A fresh directory for a tree to be sealed with `move`: on the prefix's file system, gone when this process is."""
        area = f"{self._sealer_of_mine().session.area}/{name}"
        self.site.fs.mkdir(area, 0o700)
        return area

    def transaction(
        self, reason: str = "", policy: Policy = Policy.FAIL, *, follow: Follow | None = None
    ) -> Transaction:
        """A transaction to be filled and, at the end of its `with` block, committed; `follow` as in `Intent`."""
        self._refuse_reader()
        return Transaction(self, reason, Intent({}, policy, follow=follow))

    def merge(
        self, wanted: Staged, policy: Policy = Policy.FAIL, *, reason: str = "", sealed: Sealed = lambda image: None
    ) -> tuple[Image, Outcome]:
        """Seal a tree, show the image to `sealed`, and commit it; if that fails a tree that was taken is given back."""
        self._refuse_reader()
        image = self.seal_staged(wanted, policy)
        try:
            sealed(image)
            return image, self.run(
                Intent(targets_of(self.site, image), policy, exclusive=wanted.exclusive),
                reason or f"merge {wanted.name} {wanted.version}",
            )
        except BaseException:
            self._give_back(wanted, image)
            raise

    def plan_merge(self, wanted: Staged, policy: Policy = Policy.FAIL) -> tuple[Image, Plan]:
        """What a merge would do; the tree is only read."""
        self._refuse_reader()
        image = self._sealer_of_mine().preview(wanted)
        preview = Library(self.site.database)
        preview.add(image.package.image, image.manifest)
        return image, Work(self.site, preview).plan(Intent(targets_of(self.site, image), policy))

    def plan_images(self, images: Sequence[Image], policy: Policy = Policy.FAIL) -> Plan:
        """What a transaction that installs these images would do."""
        self._refuse_reader()
        targets = {identity: package for image in images for identity, package in targets_of(self.site, image).items()}
        return self._work().plan(Intent(targets, policy))

    def run(self, intent: Intent, reason: str, *, undoes: int = 0) -> Outcome:
        """Carry out an intent as one transaction; where it brings another interpreter, what that will run is compiled anew in it (I6)."""
        self._refuse_reader()
        if intent.follow is None:
            intent = intent._replace(follow=self._followers(intent.targets))
        return self._work().run(intent, reason, undoes=undoes)

    def remove(self, names: Sequence[str]) -> Outcome:
        """Remove packages, in one transaction.  Raises ShipwayError if one is not installed."""
        packages = [resolve(self.site.database, name) for name in names]
        label = " ".join(package.name for package in packages)
        return self.run(Intent({package.identity: None for package in packages}), f"remove {label}")

    def undo(self, number: int | None = None, *, redo: bool = False, policy: Policy = Policy.FAIL) -> Outcome:
        """Take a transaction back (without a number the last one that has its effect); `redo` takes an undo back."""
        self._refuse_reader()
        row = choose(self.site.database, number, redo=redo)
        reason = f"{'redo' if redo else 'undo'} {row.id}"
        planned = only_facts(self.site.database, row)
        if planned is None:
            return self.run(intent_to_undo(self.site.database, row, policy), reason, undoes=row.id)
        return self._carry_out(lambda: planned, reason, row.id)

    def verify(self, names: Sequence[str] = (), *, quick: bool = False) -> Report:
        """Compare packages (all if none are named) with the disk."""
        return verify.verify(self.site, names, quick=quick)

    def accept(self, names: Sequence[str] = ()) -> Outcome:
        """Take changes of metadata alone (somebody's chmod) as wanted."""
        return self._carry_out(lambda: verify.plan_accept(self.site, names), "verify --accept")

    def repair(self, names: Sequence[str] = ()) -> Outcome:
        """Put back from the images what is missing or changed, and compile anew what another interpreter runs now.

        Raises CorruptError if an image is damaged itself.
        """
        label = " ".join(("repair", *names))
        anew = self._renew(names)
        done = self._carry_out(lambda: verify.plan_repair(self.site, names), label)
        if anew is None:
            return done
        return done._replace(notes=(*anew.notes, *done.notes)) if done.number else anew

    def detach(self, names: Sequence[str]) -> Outcome:
        """Forget packages and keep their files, which belong to nobody then."""
        label = " ".join(("detach", *names))
        return self._carry_out(lambda: verify.plan_detach(self.site, names), label)

    def detach_all(self) -> str:
        """Leave a plain tree: forget everything and remove the state directory; returns its path.

        What programs wrote into old directories stays in its `lost+found`, and is told, as is what cannot be removed.
        """
        from shipway.prefix.leaving import leave  # late: once in a prefix's life

        self._refuse_reader()
        gc.collect(self.site, 0, 0)
        lock = self.site.prefix_lock()
        lock.acquire(wait=self.site.options.wait, on_wait=self.site.on_wait)
        try:
            recover_locked(self.site)
            if self._sealing:
                self._sealing.close()
                self._sealing = None
            leave(self.site)
        finally:
            lock.release()
        return self.site.layout.state

    def recover(self) -> list[str]:
        """Finish what dead processes left, stuck transactions too; returns one sentence each.  Raises StuckError."""
        self._refuse_reader()
        lock = self.site.prefix_lock()
        lock.acquire(wait=self.site.options.wait, on_wait=self.site.on_wait)
        try:
            return recover_locked(self.site, again=True)
        finally:
            lock.release()

    def forget_undo(self, number: int) -> gc.Collected:
        """Give up the undo area of one transaction, whatever the horizon: it cannot be undone any longer."""
        self._refuse_reader()
        return gc.forget(self.site, number)

    def gc(self, keep: int | None = None) -> gc.Collected:
        """Collect undo areas beyond the last `keep` transactions (None: the horizon), and what nothing refers to."""
        self._refuse_reader()
        options = self.site.options
        return gc.collect(self.site, options.keep if keep is None else keep, options.keep_bytes)

    # -- asking ----------------------------------------------------------------------------------------------

    def packages(self) -> list[queries.Package]:
        """What is installed, by name."""
        return queries.packages(self.site.database)

    def package(self, name: str) -> Installed:
        """One installed package by name or identity.  Raises ShipwayError if there is none."""
        return resolve(self.site.database, name)

    def files(self, name: str) -> list[tuple[str, Entry]]:
        """The paths of a package with their entries, directories too, sorted."""
        return queries.files(self.site.database, self.package(name))

    def owners(self, path: str) -> list[queries.Owner]:
        """Who owns a path (relative to the prefix, or absolute)."""
        return queries.owners(self.site, path)

    def history(self) -> list[queries.Past]:
        """The transactions, newest first."""
        return queries.history(self.site)

    # -- inside ----------------------------------------------------------------------------------------------

    def _check(self) -> None:
        try:
            self.site.database.check()
        except BaseException:
            self.site.database.close()
            raise

    def _heal(self) -> None:
        if not self.site.database.writable:
            if self.site.database.unfinished():
                self.site.tell(
                    "unfinished", "a transaction is unfinished; whoever may write here should run `shipway recover`"
                )
            return
        if needs_recovery(self.site):
            lock = self.site.prefix_lock()
            try:
                lock.acquire(wait=0)
            except ShipwayError:
                return
            try:
                with self.site.database.hurried(_HEALING):
                    recover_locked(self.site)
            except StuckError as error:
                self.site.tell("stuck", f"{error.message}; {error.hint}")
            except LockedError as error:
                self.site.tell("unfinished", f"what a dead process left cannot be finished yet: {error.message}")
            finally:
                lock.release()

    def _followers(self, targets: Mapping[str, Installed | None]) -> Follow | None:
        """What compiles packages anew for an interpreter that comes; loaded only if one does."""
        if not any(package and brings_interpreter(self.library(package.image)) for package in targets.values()):
            return None
        from shipway.recompiling import Follower, for_upgrade

        renewal = for_upgrade(self.site, self.library, targets)
        return Follower(self.site, self.library, renewal) if renewal else None

    def _renew(self, names: Sequence[str]) -> Outcome | None:
        """Compile anew what the prefix's own interpreter finds not to be its own; None if there is nothing of that kind."""
        from shipway.recompiling import Follower, of_own

        self._refuse_reader()
        chosen = {package.identity for package in verify.chosen(self.site.database, names)}
        found = of_own(self.site)
        packages = {i: package for i, package in found.packages.items() if i in chosen} if found else {}
        if not found or not packages:
            return None
        follow = Follower(self.site, self.library, found._replace(packages=packages))
        return self.run(Intent({}, follow=follow), "repair bytecode")

    def _carry_out(self, plan: Callable[[], Planned], reason: str, undoes: int = 0) -> Outcome:
        self._refuse_reader()
        with Session(self.site) as session:
            return self._work().carry_out(session, Request(plan, lambda _: None, reason, undoes))

    def _refuse_reader(self) -> None:
        if not self.writable:
            raise ShipwayError(f"you may not write in {self.site.layout.root}", hint="ask its owner, or use sudo")

    def _give_back(self, wanted: Staged, image: Image) -> None:
        """Give a tree back; where that cannot be done now, or not be known whether it should, the next command does it."""
        sealer = self._sealer_of_mine()
        try:
            with self.site.database.hurried():
                sealer.give_back(wanted, image)
        except (ShipwayError, OSError):
            sealer.session.needed = True
            if wanted.move:
                self.site.tell("unfinished", f"{wanted.tree} is given back by the next command that changes something")

    def _work(self) -> Work:
        token = self._sealing.token if self._sealing else ""
        return Work(self.site, self.library, dict.fromkeys(self.library.fresh, token))

    def _sealer_of_mine(self) -> Sealer:
        if self._sealer is None:
            self._sealing = Session(self.site)
            self._sealer = Sealer(self.site, self._sealing, self.library)
        return self._sealer


class Transaction:
    """Several changes that become one commit when the `with` block ends; none if it raises."""

    def __init__(self, prefix: Prefix, reason: str, intent: Intent) -> None:
        self._prefix = prefix
        self._reason = reason
        self._intent = intent
        self._targets: dict[str, Installed | None] = {}
        self.outcome: Outcome | None = None

    def install(self, image: Image) -> None:
        """Install a sealed image, or upgrade to it."""
        self._targets |= targets_of(self._prefix.site, image)

    def remove(self, name: str) -> None:
        """Remove a package.  Raises ShipwayError if it is not installed."""
        self._targets[self._prefix.package(name).identity] = None

    def commit(self) -> Outcome:
        """Commit what was asked for.  Raises ConflictError, LockedError or ShipwayError, the prefix unchanged."""
        exclusive = any(package is not None and package.exclusive for package in self._targets.values())
        intent = self._intent._replace(targets=self._targets, exclusive=exclusive)
        self.outcome = self._prefix.run(intent, self._reason or "transaction")
        return self.outcome

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.commit()


def targets_of(site: Site, image: Image) -> dict[str, Installed | None]:
    """What installing an image changes: the package, and what was installed under the name it was staged under."""
    aliases = {image.alias} & site.database.installed().keys()
    return {**dict.fromkeys(aliases), image.package.identity: image.package}


def staged(tree: str, name: str, version: str, *, move: bool = False, python: str | None = None) -> Staged:
    """A `Staged` for a plain name and version, both checked (UsageError)."""
    identity = identity_of(name)
    return Staged(tree, identity, short_name(identity), checked_version(version), move=move, python=python)
