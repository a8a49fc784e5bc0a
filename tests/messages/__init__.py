"""The corpus: one message per file, named after its trait or its defect, and makers of absurd ones."""

from pathlib import Path

FOLDER = Path(__file__).parent


def read(name: str) -> bytes:
    return (FOLDER / f"{name}.eml").read_bytes()


def names() -> list[str]:
    return sorted(path.stem for path in FOLDER.glob("*.eml"))


def plain(body: bytes = b"words\r\n", **fields: str) -> bytes:
    """A clean message; keyword arguments replace or add fields ("message_id" is Message-ID)."""
    values = {
        "From": "Ada <ada@example.com>",
        "To": "Ben <ben@example.org>",
        "Subject": "Delivery",
        "Date": "Thu, 05 Mar 2026 09:30:00 +0100",
        "Message-Id": "<plain-1@mail.example.com>",
    }
    values |= {name.replace("_", "-").title(): value for name, value in fields.items()}
    head = "".join(f"{name}: {value}\r\n" for name, value in values.items())
    return head.encode() + b"\r\n" + body


def nested(depth: int) -> bytes:
    """Multiparts `depth` deep, with a line of text in the innermost one."""
    pieces = [plain(b"", content_type='multipart/mixed; boundary="b0"')]
    for level in range(1, depth + 1):
        pieces.append(
            f'--b{level - 1}\r\nContent-Type: multipart/mixed; boundary="b{level}"\r\n\r\n'.encode()
        )
    pieces.append(f"--b{depth}\r\n\r\ninnermost\r\n".encode())
    pieces += [f"--b{level}--\r\n".encode() for level in range(depth, -1, -1)]
    return b"".join(pieces)


def many_parts(count: int) -> bytes:
    part = b"--b\r\nContent-Type: application/pdf\r\n\r\nx\r\n"
    return plain(part * count + b"--b--\r\n", content_type='multipart/mixed; boundary="b"')
