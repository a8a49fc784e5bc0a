"""PURE  what verbose logging keeps of a conversation: words of the protocols, and numbers (R8.18).

Nothing is taken out; what is not known is never let in. So addresses, names of folders, subjects, bodies and
secrets can't come through, whatever a server or a message says.
"""

import re

COMMANDS = frozenset(
    [
        "EHLO",
        "HELO",
        "STARTTLS",
        "AUTH",
        "MAIL",
        "RCPT",
        "DATA",
        "BDAT",
        "RSET",
        "QUIT",
        "NOOP",
        "CAPA",
        "STLS",
        "USER",
        "PASS",
        "APOP",
        "UIDL",
        "LIST",
        "STAT",
        "TOP",
        "RETR",
        "DELE",
        "CAPABILITY",
        "AUTHENTICATE",
        "LOGIN",
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
        "FETCH",
        "STORE",
        "SEARCH",
        "COPY",
        "MOVE",
        "EXPUNGE",
        "APPEND",
        "CREATE",
        "UNSELECT",
    ]
)
AFTER_UID = frozenset(["FETCH", "STORE", "SEARCH", "COPY", "MOVE", "EXPUNGE"])
MECHANISMS = frozenset(["PLAIN", "LOGIN", "NTLM", "GSSAPI", "XOAUTH2", "OAUTHBEARER"])
UNTAGGED = frozenset(
    [
        "OK",
        "NO",
        "BAD",
        "BYE",
        "PREAUTH",
        "CAPABILITY",
        "LIST",
        "LSUB",
        "STATUS",
        "SEARCH",
        "ESEARCH",
        "FLAGS",
        "EXISTS",
        "RECENT",
        "EXPUNGE",
        "FETCH",
        "ENABLED",
        "NAMESPACE",
        "ID",
        "VANISHED",
    ]
)
POP3_CODES = ("AUTH", "IN-USE", "LOGIN-DELAY", "SYS/TEMP", "SYS/PERM")

TAG = re.compile(r"[A-Z]{4}\d{1,6}$")
OCTETS = re.compile(r"\(\d+ octets\)$")
EXCHANGE = re.compile(r"(POST|GET) [\w.:-]{1,100} ([A-Z][A-Za-z]{3,40})$")
SMTP = re.compile(r"\d{3}(?=[ -]|$)(?:[ -]\d\.\d{1,3}\.\d{1,3}(?= |$))?")
SOAP = re.compile(r"\d{3} (?:NoError|Error[A-Za-z]{3,50})(?= |$)")


def bare_command(words: str) -> str:
    """Of a command of ours."""
    if OCTETS.match(words):
        return words
    if found := EXCHANGE.match(words):
        return f"{found[1]} {found[2]}"
    parts = words.upper().split()
    tag = [parts.pop(0)] if len(parts) > 1 and TAG.match(parts[0]) else []
    if not parts or parts[0] not in COMMANDS:
        return "(a command)"
    kept = parts[:1]
    second = parts[1] if len(parts) > 1 else ""
    if parts[0] == "UID":
        kept += [each for each in parts[1:3] if each in AFTER_UID][:1]
    elif parts[0] in ("AUTH", "AUTHENTICATE") and second in MECHANISMS:
        kept.append(second)
    more = ["…"] if len(parts) > len(kept) else []
    return " ".join([*tag, *kept, *more])


def bare_answer(words: str) -> str:
    """Of a line of the server's: how it answers, and how long it is."""
    kept = _status(words)
    size = f"({len(words)} octets)"
    return f"{kept} {size}" if kept else size


def _status(words: str) -> str:
    first, _space, rest = words.partition(" ")
    if first == "+OK" or words == "+" or words.startswith("+ "):
        return first
    if first == "-ERR":
        return next((f"-ERR [{code}]" for code in POP3_CODES if f"[{code}]" in rest), first)
    if TAG.match(first):
        status = rest.partition(" ")[0]
        return f"{first} {status}" if status in ("OK", "NO", "BAD") else ""
    if first == "*":
        number, _space, after = rest.partition(" ")
        name = (after if number.isdigit() else rest).partition(" ")[0]
        if name not in UNTAGGED:
            return ""
        return f"* {number} {name}" if number.isdigit() else f"* {name}"
    found = SOAP.match(words) or SMTP.match(words)
    return found[0] if found else ""
