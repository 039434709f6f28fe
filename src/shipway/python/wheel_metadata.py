"""The METADATA of a wheel, without reading the directory of the whole archive, which takes longer than all else for large ones.

Source: the ".ZIP File Format Specification" (APPNOTE.TXT): end of central directory, central headers, local headers.  What is not
plain is left to `zipfile`.
"""

from __future__ import annotations

import os
import struct
import zipfile
import zlib

_END = struct.Struct("<4s4H2LH")
_CENTRAL = struct.Struct("<4s6H3L5H2L")
_LOCAL = struct.Struct("<4s5H3L2H")
_END_MARK, _CENTRAL_MARK, _LOCAL_MARK = b"PK\5\6", b"PK\1\2", b"PK\3\4"
_NAME = b".dist-info/METADATA"
_STORED, _DEFLATED, _ENCRYPTED = 0, 8, 1
_LARGEST = 16 << 20


def metadata_of(path: str) -> str:
    """The text of METADATA.  Raises ValueError if the archive has none, more than one, or is damaged; OSError."""
    with open(path, "rb") as file:
        descriptor = file.fileno()
        data = _quickly(descriptor, os.fstat(descriptor).st_size)
    return (_slowly(path) if data is None else data).decode("utf-8", "replace")


def _quickly(descriptor: int, size: int) -> bytes | None:
    """The content; None where it takes more than this."""
    end = os.pread(descriptor, _END.size, max(0, size - _END.size))
    if len(end) != _END.size:
        return None
    mark, _, _, _, _, length, offset, comment = _END.unpack(end)
    if mark != _END_MARK or comment or offset + length + _END.size != size:
        return None
    directory = os.pread(descriptor, length, offset)
    place = directory.find(_NAME)
    start = directory.rfind(_CENTRAL_MARK, 0, max(place, 0))
    if place < 0 or start < 0 or directory.find(_NAME, place + 1) >= 0:
        return None
    header = _CENTRAL.unpack_from(directory, start)
    name = directory[start + _CENTRAL.size : start + _CENTRAL.size + header[10]]
    if not name.endswith(_NAME) or name.count(b"/") != 1 or header[3] & _ENCRYPTED:
        return None
    return _content(descriptor, header)


def _content(descriptor: int, header: tuple[int, ...]) -> bytes | None:
    method, check, packed, size, offset = header[4], header[7], header[8], header[9], header[16]
    local = os.pread(descriptor, _LOCAL.size, offset)
    if len(local) != _LOCAL.size or not local.startswith(_LOCAL_MARK) or max(packed, size) > _LARGEST:
        return None
    *_, name, extra = _LOCAL.unpack(local)
    data = os.pread(descriptor, packed, offset + _LOCAL.size + name + extra)
    if method == _DEFLATED:
        try:
            data = zlib.decompressobj(-zlib.MAX_WBITS).decompress(data, size)
        except zlib.error:
            return None
    elif method != _STORED:
        return None
    return data if len(data) == size and zlib.crc32(data) == check else None


def _slowly(path: str) -> bytes:
    try:
        with zipfile.ZipFile(path) as archive:
            names = [n for n in archive.namelist() if n.endswith(_NAME.decode()) and n.count("/") == 1]
            if len(names) != 1 or archive.getinfo(names[0]).file_size > _LARGEST:
                raise ValueError(f"{path} has {len(names)} METADATA that can be read")
            return archive.read(names[0])
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError) as error:
        raise ValueError(f"{path}: {error}") from error
