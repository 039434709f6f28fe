"""What `merge` puts into a prefix: a staged tree, or what is in an image file, a tree or a wheel.  Not a command of its own."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING, NamedTuple, Protocol

from shipway.errors import ShipwayError, UsageError

if TYPE_CHECKING:
    from shipway.adopting import Adopted
    from shipway.api import Image, Outcome, Prefix
    from shipway.model.planning import Plan, Policy
    from shipway.schedule.ingredients import Ingredients
    from shipway.sealing import Staged
    from shipway.store.image_file import Head


class Arrival(Protocol):
    """Something that can be merged, or planned to be."""

    def taken_over(self, *, dry_run: bool = False) -> list[Adopted]:
        """What somebody else installed of the same project; unless `dry_run`, it is taken over."""

    def plan(self, policy: Policy) -> tuple[Image, Plan]:
        """What would be done."""

    def merge(self, policy: Policy) -> tuple[Image, Outcome]:
        """Do it, in one transaction."""


class Tree(NamedTuple):
    """A staged tree."""

    prefix: Prefix
    staged: Staged

    def taken_over(self, *, dry_run: bool = False) -> list[Adopted]:
        """As in `Arrival`; only where the tree is a project is what it takes loaded."""
        from shipway.python.staged import infos_in

        root = self.prefix.site.layout.root if self.staged.destdir else ""
        infos = infos_in(f"{os.path.realpath(self.staged.tree)}{root}")
        if not infos:
            return []
        from shipway.adopting import adopt_before

        return adopt_before(self.prefix, self.staged, infos, dry_run=dry_run)

    def plan(self, policy: Policy) -> tuple[Image, Plan]:
        """As in `Arrival`; the tree is only read."""
        return self.prefix.plan_merge(self.staged, policy)

    def merge(self, policy: Policy) -> tuple[Image, Outcome]:
        """As in `Arrival`."""
        return self.prefix.merge(self.staged, policy)


class Packed:
    """An image file whose head was read, and what its package was built from.  `note` is None if nobody knows, or nobody here can read it."""

    def __init__(self, path: str) -> None:
        from shipway.store.image_file import read_head

        self.path = path
        self.head: Head = read_head(path)
        self.note: Ingredients | None = None
        if self.head.about.note:
            from shipway.schedule.ingredients import Ingredients

            self.note = Ingredients.decode(self.head.about.note)

    @property
    def is_wheel(self) -> bool:
        """Whether there is a wheel in it."""
        from shipway.store.image_file import WheelFile

        return isinstance(self.head.content, WheelFile)

    def refuse(self, name: str | None, version: str | None) -> None:
        """Raise UsageError if that is not what is in the file."""
        from shipway.model.identity import identity_of

        about = self.head.about
        if name and name != about.name and identity_of(name) != about.identity:
            raise UsageError(f"{self.path} is of {about.name}, not of {name}")
        if version and version != about.version:
            raise UsageError(f"{self.path} is of {about.name} {about.version}, not {version}")

    def refuse_elsewhere(self, root: str) -> None:
        """Raise ShipwayError if the file was built for another prefix than the one at this real path."""
        built_for = self.head.about.prefix
        if root in (built_for, os.path.realpath(built_for)):
            return
        raise ShipwayError(
            f"{self.path} was built for {built_for}, and this prefix is {root}; nothing was changed",
            hint="build it for this prefix; or, if nothing in it names its prefix, "
            f"unpack it (tar -xf {os.path.basename(self.path)}) and merge what is in it",
        )

    def tree(self, prefix: Prefix, staged: Staged) -> Tree:
        """The tree in it, unpacked to be taken; the rest is as in `staged`."""
        about = self.head.about
        made = staged._replace(
            tree=self._unpacked(prefix),
            identity=about.identity,
            name=about.name,
            version=about.version,
            move=True,
            exclusive=staged.exclusive or about.exclusive,
        )
        return Tree(prefix, made)

    def wheel(self, prefix: Prefix, python: str | None, *, exclusive: bool) -> OneWheel:
        """The wheel in it, for this interpreter; "" for no bytecode, None for the prefix's own."""
        return OneWheel(prefix, self._unpacked(prefix), python, exclusive or self.head.about.exclusive)

    def keep_note(self, prefix: Prefix, image: Image) -> None:
        """Remember what a package that is in the prefix now was built from; whether that can be does not matter to it."""
        if self.note is None:
            return
        from shipway.schedule import notes

        try:
            notes.write(prefix.site, image.package, self.note)
        except OSError as error:
            prefix.site.tell("note", f"what {image.package.name} was built from cannot be kept: {error}")

    def _unpacked(self, prefix: Prefix) -> str:
        from shipway.store.image_file import unpack

        site = prefix.site
        site.tell("phase", f"unpacking {self.path}")
        done = unpack(site.fs, self.path, self.head, f"{prefix.staging('file')}/unpacked")
        for remark in done.remarks:
            site.tell("note", f"{remark.path}: {remark.text}")
        return done.path


class OneWheel:
    """A wheel file."""

    def __init__(self, prefix: Prefix, path: str, python: str | None, exclusive: bool) -> None:
        from packaging.utils import InvalidWheelFilename, parse_wheel_filename

        from shipway.python.target import target_in
        from shipway.python.wheel import Wheel

        try:
            name, version, _, _ = parse_wheel_filename(os.path.basename(path))
        except InvalidWheelFilename as error:
            raise ShipwayError(f"{os.path.basename(path)} is no wheel: {error}; nothing was changed") from error
        self.prefix = prefix
        self.exclusive = exclusive
        self.compiled = python != ""
        self.made = Wheel(path, str(name), str(version), requested=True)
        root = prefix.site.layout.root
        self.target = target_in(root, python or _python_of(root))
        self._image: Image | None = None

    def taken_over(self, *, dry_run: bool = False) -> list[Adopted]:
        """As in `Arrival`."""
        from shipway.adopting import Adopted, Adopter
        from shipway.python.distributions import normal

        adopter = Adopter(self.prefix, self.target)
        coming = {normal(self.made.name): self.image().manifest}
        if dry_run:
            return [Adopted(key, each.version, each.damage) for key, each in adopter.found(coming).items()]
        return adopter.adopt(coming)

    def image(self) -> Image:
        """The image that the wheel becomes."""
        from shipway.stocking import Stock

        if self._image is None:
            (image,) = Stock(self.prefix, self.target, compiled=self.compiled).images([self.made])
            self._image = image._replace(package=image.package._replace(exclusive=self.exclusive))
        return self._image

    def plan(self, policy: Policy) -> tuple[Image, Plan]:
        """As in `Arrival`."""
        return self.image(), self.prefix.plan_images([self.image()], policy)

    def merge(self, policy: Policy) -> tuple[Image, Outcome]:
        """As in `Arrival`."""
        image = self.image()
        transaction = self.prefix.transaction(f"merge {image.package.name} {image.package.version}", policy)
        transaction.install(image)
        return image, transaction.commit()


def _python_of(root: str) -> str:
    from shipway.python.interpreter import of_prefix

    found = of_prefix(root) or shutil.which("python3")
    if found is None:
        raise UsageError("there is no interpreter that the wheel could be for", hint="name one with --python EXE")
    return found
