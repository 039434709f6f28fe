"""Shipway itself."""

from __future__ import annotations

import json
from pathlib import Path

from proof.peers.payload import NAME, VERSIONS, move_in, stage
from proof.peers.tool import Record, Tool, first_line
from proof.scene import run


class Shipway(Tool):
    """`shipway merge` of a staged tree, which stays; bytecode is compiled, as pip does."""

    name = "shipway"
    installed_by = "pip install shipway"
    own = ("var/*",)
    litter = ("root/var/lib/shipway/work/*",)

    def version(self) -> str:
        return "shipway " + first_line([self.scene.shipway, "--version"]).split()[-1]

    def prepare(self, here: Path) -> None:
        for version in VERSIONS:
            stage(version, here / f"stage{version}")
        move_in(self.root(here))

    def upgrade(self, here: Path, old: str, new: str) -> list[str]:
        named = ["--name", NAME, "--version", new, "--python", self.scene.python]
        return [self.scene.shipway, "-p", str(self.root(here)), "merge", str(here / f"stage{new}"), *named]

    def recorded(self, here: Path) -> Record:
        done = run([self.scene.shipway, "-p", str(self.root(here)), "list", "--json"])
        if done.returncode:
            return (done.stderr.strip(),)
        return tuple(package["version"] for package in json.loads(done.stdout) if package["name"] == NAME)

    def remedy(self, here: Path, old: str, new: str) -> list[list[str]]:
        command = [self.scene.shipway, "-p", str(self.root(here))]
        return [[*command, "recover"], [*command, "repair"]]
