"""PURE  what of a conversation may be shown: the commands that are known to hold no secret, and the first
words of answers. Everything else is a number of octets, since a list of what is secret would forget something.
"""

import re

MOST_COMMANDS = 20  # of one group; a pipelined one may have hundreds
LONGEST = 200

REPLY = re.compile(rb"\* |\+|-ERR\b|[2-5]\d\d(?:[ -]|\r?\n)|[A-Z]{4}\d+ ", re.IGNORECASE)
FETCHED = re.compile(rb"\* \d+ FETCH", re.IGNORECASE)
HEAD = 64 * 1024
OPERATION = re.compile(rb"<(?:[\w.-]+:)?Body[^>]*>\s*<(?:[\w.-]+:)?([A-Za-z]{3,40})")
RESPONSE_CODE = re.compile(rb"ResponseCode[^>]*>\s*([A-Za-z]{3,60})\s*<")

#: The commands of POP3, SMTP and IMAP whose arguments are no secret.
OPEN = frozenset(
    [
        "EHLO",
        "HELO",
        "STARTTLS",
        "MAIL",
        "RCPT",
        "DATA",
        "RSET",
        "QUIT",
        "NOOP",
        "CAPA",
        "STLS",
        "USER",
        "UIDL",
        "LIST",
        "STAT",
        "TOP",
        "CAPABILITY",
        "LOGOUT",
        "SELECT",
        "EXAMINE",
        "STATUS",
        "UID",
        "ID",
        "NAMESPACE",
        "ENABLE",
        "IDLE",
        "DONE",
        "CLOSE",
    ]
)
#: Those that show who we are: only the mechanism stays.
SECRET = frozenset({"PASS", "APOP", "AUTH", "AUTHENTICATE", "LOGIN"})
MECHANISM = re.compile(r"[A-Z][A-Z0-9-]{2,19}", re.IGNORECASE)
TAG = re.compile(r"[A-Z]{4}\d+$")  # as the IMAP library makes them


def shown_command(data: bytes) -> list[str]:
    """The lines of one write, fit to show; a number of octets unless each of them is a command."""
    lines = data.split(b"\r\n")[:-1] if data.endswith(b"\r\n") else []
    shown = [_shown(line) for line in lines[: MOST_COMMANDS + 1]]
    if not shown or None in shown:
        return [f"({len(data)} octets)"]
    return [words for words in shown if words is not None][:MOST_COMMANDS]


def _shown(raw: bytes) -> str | None:
    """None: no command that we know."""
    words = raw.decode("ascii", "replace").split(" ")
    tag = [words.pop(0)] if len(words) > 1 and TAG.match(words[0]) else []
    word = words[0].upper()
    if word in OPEN or raw == b".":
        return " ".join([*tag, *words])[:LONGEST]
    if word in SECRET and len(words) > 1:
        named = word.startswith("AUTH") and MECHANISM.fullmatch(words[1])
        kept = words[:2] if named else words[:1]
        return " ".join([*tag, *kept, *(["***"] if len(words) > len(kept) else [])])
    return None


def shown_reply(line: bytes) -> bytes:
    """A line of the server's. What it tells of a message may stand in the line itself, and what goes on after a
    literal looks like anything, so that neither is shown."""
    if told := FETCHED.match(line):
        return told[0] + b" (...)"
    return line if REPLY.match(line) else b"(%d octets)" % len(line)


def shown_request(method: str, place: str, body: bytes) -> str:
    """Of a web request: where it goes, and which operation it names; never its headers."""
    operation = OPERATION.search(body[:HEAD])
    named = f" {operation[1].decode()}" if operation else ""
    return f"{method} {place}{named} ({len(body)} octets)"


def shown_answer(status: int, content: bytes) -> str:
    """Its status, and the web service's own names of what came of it."""
    codes = dict.fromkeys(code.decode() for code in RESPONSE_CODE.findall(content[:HEAD]))
    return " ".join([f"HTTP {status}", *codes, f"({len(content)} octets)"])
