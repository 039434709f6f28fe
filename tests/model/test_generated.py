"""Which files no package owns because many make them, and which tools make them anew."""

from __future__ import annotations

import pytest

from shipway.model.generated import Output, is_generated, regenerate_for

GENERATED = [
    "share/info/dir",
    "share/info/dir.old",
    "lib/perl5/5.36/x86_64-linux/perllocal.pod",
    "share/icons/hicolor/icon-theme.cache",
    "share/mime/mime.cache",
    "share/mime/globs2",
    "share/mime/text/x-thing.xml",
    "share/glib-2.0/schemas/gschemas.compiled",
    "share/applications/mimeinfo.cache",
    "lib/gio/modules/giomodule.cache",
    "lib/x86_64-linux-gnu/gio/modules/giomodule.cache",
    "share/fonts/X11/misc/fonts.dir",
    "share/fonts/fonts.scale",
    "share/fonts/truetype/fonts.cache-1",
    "var/cache/fontconfig/0123-le64.cache-9",
    "lib/python3.11/site-packages/twisted/plugins/dropin.cache",
]

ORDINARY = [
    "dir",
    "share/info/gmp.info",
    "share/info/sub/dir",
    "lib/dir",
    "share/mime/packages/thing.xml",
    "share/mime/packages",
    "share/mime-info/globs",
    "share/glib-2.0/schemas/org.thing.gschema.xml",
    "share/other/gschemas.compiled",
    "lib/magic",
    "share/fonts/X11/misc/fonts.alias",
    "share/fontsets/fonts.dir",
    "lib/gdk-pixbuf-2.0/2.10.0/loaders.cache",
    "",
]


@pytest.mark.parametrize("path", GENERATED)
def test_an_index_that_many_packages_make_belongs_to_none(path: str) -> None:
    assert is_generated(path)


@pytest.mark.parametrize("path", ORDINARY)
def test_what_one_package_brings_is_its_own(path: str) -> None:
    assert not is_generated(path)


@pytest.mark.parametrize(
    ("changed", "directory", "tool"),
    [
        ("share/info/gmp.info", "share/info", "install-info"),
        ("share/info/gmp.info.gz", "share/info", "install-info"),
        ("share/icons/hicolor/48x48/apps/a b\n.png", "share/icons/hicolor", "gtk-update-icon-cache"),
        ("share/mime/packages/a.xml", "share/mime", "update-mime-database"),
        ("share/glib-2.0/schemas/a.gschema.xml", "share/glib-2.0/schemas", "glib-compile-schemas"),
        ("share/applications/a.desktop", "share/applications", "update-desktop-database"),
        ("lib64/gio/modules/liba.so", "lib64/gio/modules", "gio-querymodules"),
        ("share/fonts/X11/misc/a.pcf.gz", "share/fonts/X11/misc", "mkfontdir"),
        ("share/fonts/truetype/a.ttf", "share/fonts", "fc-cache"),
    ],
)
def test_a_change_calls_for_the_tool_of_its_directory(changed: str, directory: str, tool: str) -> None:
    assert [r.directory for r in regenerate_for([changed]) if tool in r.tools] == [directory]


@pytest.mark.parametrize(
    "changed", ["lib/libgmp.so", "share/info/gmp.info-1", "share/info/dir", "share/icons/hicolor/icon-theme.cache"]
)
def test_other_changes_call_for_nothing(changed: str) -> None:
    assert regenerate_for([changed]) == []


def test_many_changes_in_one_directory_are_one_run() -> None:
    changed = [f"share/glib-2.0/schemas/{name}.gschema.xml" for name in "cab"] * 2
    (only,) = regenerate_for(changed)
    assert only.inputs == tuple(f"share/glib-2.0/schemas/{name}.gschema.xml" for name in "abc")
    assert only.output is Output.VIEW


def test_scalable_fonts_are_listed_before_the_list_of_all_fonts_is_made() -> None:
    found = regenerate_for(["share/fonts/X11/OTF/a.otf"])
    assert [r.tools[0] for r in found] == ["mkfontscale", "mkfontdir", "fc-cache"]


def test_every_output_of_a_regeneration_is_left_out_of_images() -> None:
    changed = [
        "share/info/a.info",
        "share/icons/h/a.png",
        "share/mime/packages/a.xml",
        "share/glib-2.0/schemas/a.gschema.xml",
        "share/applications/a.desktop",
        "lib/gio/modules/a.so",
        "share/fonts/X11/OTF/a.otf",
    ]
    for regeneration in regenerate_for(changed):
        for name in regeneration.outputs:
            assert is_generated(f"{regeneration.directory}/{name}")
