"""What a resolver chose: projects with their versions, and where their archives are.

Sources: pip's "Installation Report", version 1; PEP 610 (direct_url.json).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit


class Chosen(NamedTuple):
    """One project as resolved: where its archive is, its digests by algorithm, and what direct_url.json has to say, or ""."""

    name: str
    version: str
    url: str
    hashes: Mapping[str, str]
    requested: bool
    direct_url: str

    @property
    def local_wheel(self) -> str:
        """The path of a wheel that lies on this machine, or ""."""
        parts = urlsplit(self.url)
        return unquote(parts.path) if parts.scheme == "file" and parts.path.endswith(".whl") else ""

    @property
    def directory(self) -> str:
        """The path of a local directory."""
        return unquote(urlsplit(self.url).path)

    @property
    def editable(self) -> bool:
        """Whether the project is to be used where it lies."""
        told = json.loads(self.direct_url) if self.direct_url else {}
        return bool(told.get("dir_info", {}).get("editable"))


def reported(item: Mapping[str, Any]) -> Chosen:
    """One entry of pip's report; a version 1 report has had these fields since pip 22.2."""
    info = item["download_info"]
    archive = info.get("archive_info") or {}
    vcs = info.get("vcs_info")
    url = f"{vcs['vcs']}+{info['url']}@{vcs['commit_id']}" if vcs else info["url"]
    part = f"#subdirectory={info['subdirectory']}" if info.get("subdirectory") else ""
    return Chosen(
        item["metadata"]["name"],
        item["metadata"]["version"],
        url + part,
        archive.get("hashes") or {},
        bool(item.get("requested")),
        json.dumps(info) if item.get("is_direct") else "",
    )
