"""From a finished stage to a committed package: whose files it touches, which way it goes in, and what it was built from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import NamedTuple

from shipway.adopting import Adopted, Adopter, adopt_before
from shipway.api import Image, Outcome, Prefix
from shipway.build.recipe import Recipe
from shipway.build.stage import leave_out
from shipway.errors import ShipwayError
from shipway.model.toolchain import toolchain_reasons
from shipway.prefix import queries
from shipway.python.distributions import normal
from shipway.python.staged import infos_in
from shipway.python.target import Target, target_in
from shipway.python.wheel import Wheel
from shipway.schedule import notes
from shipway.schedule.maker import Made
from shipway.schedule.order import Order, is_wheel
from shipway.schedule.paths import files_below, files_of_wheel
from shipway.schedule.trespass import judge
from shipway.sealing import Staged
from shipway.stocking import Stock


class Entered(NamedTuple):
    """A package that is in the prefix: its image, the transaction, and what was taken over first."""

    image: Image
    outcome: Outcome
    adopted: tuple[Adopted, ...] = ()


class Entrance:
    """Puts stages into a prefix.  `python` is the interpreter that packages are for."""

    def __init__(self, prefix: Prefix, python: str, order: Order) -> None:
        self.prefix = prefix
        self.python = python
        self.order = order

    def refuse(self, recipe: Recipe, made: Made) -> None:
        """Raise ShipwayError for what a stage must not hold; leave out of it what stays others'."""
        staged = made.stage.staged
        if staged.outside:
            raise ShipwayError(
                f"{recipe.name} {recipe.version} installs files outside of the prefix; nothing was changed",
                details=staged.outside,
                hint=f"mend its install phase; {made.stage.log} says what it did",
            )
        touched = (*staged.written.same, *staged.written.changed, *staged.written.deleted)
        verdict = judge(
            recipe.name, staged.written, {path: names for path, names in self._owners(recipe, touched) if names}
        )
        if verdict.refused:
            raise ShipwayError(
                f"{recipe.name} {recipe.version} touches what belongs to others; nothing was changed",
                details=verdict.refused,
                hint=f"mend its install phase; {made.stage.log} says what it did",
            )
        for line in verdict.told:
            self.prefix.site.tell("note", line)
        if verdict.others:
            made.room.spent()  # what is in the stage depends from now on on what others have
            leave_out(staged.tree, verdict.others, self.prefix.site.fs)

    def exclusive(self, recipe: Recipe, made: Made) -> list[str]:
        """Why a package may only be committed when no build runs, one line each."""
        said = ["its recipe says so"] if recipe.exclusive else []
        wheel = self.wheel(recipe, made)
        if wheel is None:
            return said + toolchain_reasons(files_below(made.stage.staged.tree))
        return said + toolchain_reasons(files_of_wheel(wheel.path, self._libraries))

    def enter(self, recipe: Recipe, made: Made, *, exclusive: bool) -> Entered:
        """Seal and commit.  Raises what `Prefix.merge` does; then the stage is where it was."""
        wheel = self.wheel(recipe, made)
        if wheel is not None:
            return self._enter_wheel(wheel, recipe, made, exclusive=exclusive)
        return self._enter_tree(recipe, made, exclusive=exclusive)

    def wheel(self, recipe: Recipe, made: Made) -> Wheel | None:
        """The wheel that goes in instead of the stage: where the recipe leaves it to the build system to install."""
        from packaging.utils import InvalidWheelFilename, parse_wheel_filename

        if not is_wheel(recipe):
            return None
        if len(made.stage.wheels) != 1:
            found = [path.rpartition("/")[2] for path in made.stage.wheels]
            raise ShipwayError(
                f"{recipe.name} {recipe.version} has to make one wheel", details=found or ["it made none"]
            )
        path = made.stage.wheels[0]
        try:
            name, version, _, _ = parse_wheel_filename(path.rpartition("/")[2])
        except InvalidWheelFilename as error:
            raise ShipwayError(f"what {recipe.name} {recipe.version} made is no wheel: {error}") from error
        return Wheel(path, str(name), str(version), requested=recipe.name in self.order.asked)

    # -- ways in

    def _enter_wheel(self, wheel: Wheel, recipe: Recipe, made: Made, *, exclusive: bool) -> Entered:
        image = Stock(self.prefix, self.target, compiled=True).images([wheel])[0]
        image = image._replace(package=image.package._replace(exclusive=exclusive))
        adopted = Adopter(self.prefix, self.target).adopt({normal(wheel.name): image.manifest})
        notes.write(self.prefix.site, image.package, made.ingredients)
        with self.prefix.transaction(_reason(recipe), self.order.policy) as transaction:
            transaction.install(image)
        assert transaction.outcome is not None
        return Entered(image, transaction.outcome, tuple(adopted))

    def _enter_tree(self, recipe: Recipe, made: Made, *, exclusive: bool) -> Entered:
        tree = made.stage.staged.tree
        made.room.ensure_tree(tree)
        staged = Staged(
            tree, recipe.purl, recipe.name, recipe.version, move=True, exclusive=exclusive, allow_stage_paths=False
        )
        infos = infos_in(tree)
        adopted = adopt_before(self.prefix, staged, infos) if infos else []
        image, outcome = self.prefix.merge(
            staged,
            self.order.policy,
            reason=_reason(recipe),
            sealed=lambda image: notes.write(self.prefix.site, image.package, made.ingredients),
        )
        return Entered(image, outcome, tuple(adopted))

    # -- what is asked on the way

    @cached_property
    def target(self) -> Target:
        """Where Python packages go in this prefix."""
        return target_in(self.prefix.site.layout.root, self.python)

    @property
    def _libraries(self) -> tuple[str, str]:
        """Where modules go (purelib, platlib), relative to the prefix."""
        root = self.prefix.site.layout.root
        pure, plat = (self.target.paths[scheme].removeprefix(f"{root}/") for scheme in ("purelib", "platlib"))
        return pure, plat

    def _owners(self, recipe: Recipe, paths: Sequence[str]) -> Iterator[tuple[str, list[str]]]:
        root = self.prefix.site.layout.root
        for path in paths:
            found = queries.owners(self.prefix.site, f"{root}/{path}")
            yield path, [each.package.name for each in found if each.package.identity != recipe.purl]


def _reason(recipe: Recipe) -> str:
    return f"install {recipe.name} {recipe.version}"
