"""Files with just as much inside as tells their type, and containers made for tests."""

import io
import struct
import zipfile

COMPOUND = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"


def windows_program(*, library: bool = False) -> bytes:
    flags = 0x2022 if library else 0x0022
    header = struct.pack("<4sHHIIIHH", b"PE\0\0", 0x8664, 1, 0, 0, 0, 0xF0, flags)
    return b"MZ" + bytes(58) + struct.pack("<I", 64) + header + bytes(200)


def dos_program() -> bytes:
    return (
        b"MZ" + struct.pack("<13H", 0x90, 1, 0, 2, 0, 0xFFFF, 0, 0xB8, 0, 0, 0, 0x1C, 0) + bytes(90)
    )


def zip_of(*names: str) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in names:
            archive.writestr(zipfile.ZipInfo(name), f"content of {name}")
    return file.getvalue()


def word_document() -> bytes:
    return zip_of("[Content_Types].xml", "_rels/.rels", "word/document.xml")


def compound_with_class(class_id: str) -> bytes:
    """The header of a compound file, and the root of its directory in the second sector."""
    header = COMPOUND + bytes(16) + struct.pack("<HHHHH", 0x3E, 3, 0xFFFE, 9, 6)
    header = (header.ljust(48, b"\0") + struct.pack("<I", 1)).ljust(512, b"\0")
    return header + bytes(512) + bytes(80) + bytes.fromhex(class_id) + bytes(32)
