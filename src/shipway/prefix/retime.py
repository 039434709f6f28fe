"""An image again with other times, where bytecode of what is there now could pass for that of what comes (I6).

Sealing looks at the version installed then.  But another may be installed by the time of the commit, and undo goes back to
images that were sealed against something else.  So the planner names the sources concerned, and the image is made
anew: all files linked, those sources copied with an mtime that says what they hold, their bytecode left out.
"""

from __future__ import annotations

import os
from collections.abc import Collection

from shipway.model.derived import sources_of
from shipway.model.entry import Entry, Manifest, join, manifest_of
from shipway.model.facts import Installed
from shipway.prefix.library import Library
from shipway.prefix.session import Session
from shipway.prefix.site import Site
from shipway.store.link import LinkMode, LinkRequest, link_out
from shipway.store.times import settled


def retimed(site: Site, session: Session, library: Library, package: Installed, against: dict[str, Entry]) -> Installed:
    """A package with an image whose sources at the given paths differ in time from what is there (`against`)."""
    before = library(package.image)
    manifest = _with_times(before, against)
    name = manifest.image_name()
    place = site.layout.image(name)
    if not os.path.isdir(place):
        made = f"{session.area}/retimed-{name[:16]}"
        site.fs.mkdir(made, 0o755)
        request = LinkRequest(
            tree=site.layout.image(package.image),
            manifest=without_bytecode(before, against.keys()),
            path="",
            destination=f"{made}/tree",
            how=LinkMode.HARDLINK,
            copied=against.__contains__,
            for_image=True,
            jobs=site.options.jobs,
        )
        link_out(site.fs, request)
        for path in against:
            entry = manifest.entry(path)
            assert entry is not None
            site.fs.utime(f"{made}/tree/{path}", entry.mtime)
        site.fs.take(made, os.path.dirname(place))
    library.add(name, manifest)
    return package._replace(image=name)


def _with_times(manifest: Manifest, against: dict[str, Entry]) -> Manifest:
    listings = {p: dict(d.entries) for p, d in without_bytecode(manifest, against.keys()).directories.items()}
    for path, present in against.items():
        parent, _, name = path.rpartition("/")
        entry = listings[parent][name]
        listings[parent][name] = entry._replace(mtime=settled((entry,), (present,), frozenset()))
    return manifest_of({path: listing.values() for path, listing in listings.items()})


def without_bytecode(manifest: Manifest, sources: Collection[str]) -> Manifest:
    """The manifest without the bytecode of some sources: it would be rewritten at the first import anyhow."""
    return manifest_of(
        {
            path: [e for e in d.entries.values() if not (e.derived and _is_of(join(path, e.name), sources))]
            for path, d in manifest.directories.items()
        }
    )


def _is_of(derived: str, sources: Collection[str]) -> bool:
    return any(source in sources for source in sources_of(derived))
