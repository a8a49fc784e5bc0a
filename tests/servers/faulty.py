"""Mail servers that misbehave on purpose: small honest dialogues with one fault at one command.

    with ScriptedServer(pop3(messages, fault=Fault("RETR", "hang"))) as server:
        ... connect to 127.0.0.1, server.port ...

A dialogue is a function that gets a `Talk`. `Fault` replaces the answer to one command word, or to
the "greeting". Any function will do where the small dialogues don't.
"""

import socket
import ssl
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from tests.servers.certificates import ServerCertificate

GARBAGE = b"\x00\xff\xfe )]} lorem ipsum\r\n"
KINDS = ("hang", "drop", "garbage", "endless", "trickle")


class Stopped(Exception):
    """The test is over, or the client went away."""


@dataclass
class Fault:
    """What happens instead of the answer to `command`. `times`: how often, then never again.

    hang      no answer
    drop      the line is cut
    garbage   a line outside every protocol
    endless   a line that never ends
    trickle   an octet now and then, for ever
    """

    command: str
    kind: str
    times: int = 1000

    def strikes(self, command: str) -> bool:
        if command.upper() != self.command.upper() or self.times < 1:
            return False
        self.times -= 1
        return True


class Talk:
    """One connection, seen from the server."""

    def __init__(self, connection: socket.socket, server: "ScriptedServer") -> None:
        self.server = server
        self._connection = connection
        self._file = connection.makefile("rb")
        self.secure = isinstance(connection, ssl.SSLSocket)

    def line(self) -> str:
        """The client's next line without its end."""
        self.server.lines.append(self.raw_line().rstrip(b"\r\n").decode("utf-8", "replace"))
        return self.server.lines[-1]

    def raw_line(self) -> bytes:
        """The same as it came, e.g. of a message."""
        raw = self._file.readline()
        if not raw:
            raise Stopped
        return raw

    def say(self, *lines: str | bytes) -> None:
        raw = (line if isinstance(line, bytes) else f"{line}\r\n".encode() for line in lines)
        self._connection.sendall(b"".join(raw))

    def start_tls(self) -> None:
        """A handshake on the present connection."""
        assert self.server.tls
        self._connection = self.server.tls.wrap_socket(self._connection, server_side=True)
        self._file = self._connection.makefile("rb")
        self.secure = True

    def hang(self) -> None:
        self.server.stopping.wait()
        raise Stopped

    def drop(self) -> None:
        raise Stopped

    def commit(self, fault: Fault) -> None:
        if fault.kind == "hang":
            self.hang()
        elif fault.kind == "drop":
            self.drop()
        elif fault.kind == "garbage":
            self.say(GARBAGE)
        elif fault.kind == "endless":
            while not self.server.stopping.is_set():
                self.say(b"endless " * 8192)
        elif fault.kind == "trickle":
            while not self.server.stopping.wait(0.02):
                self.say(b"x")

    def close(self) -> None:
        """The socket first: closing a file waits for whoever is reading from it."""
        with suppress(OSError):
            self._connection.shutdown(socket.SHUT_RDWR)
        with suppress(OSError):
            self._file.close()
        with suppress(OSError):
            self._connection.close()


Dialogue = Callable[[Talk], None]


class ScriptedServer:
    """Runs a dialogue with every client, each in a thread, on a free port of 127.0.0.1.

    `lines`: all that clients said. `connections`: how many there were. With `certificate`, TLS is
    available to `Talk.start_tls`, and implicit if `implicit_tls` is set.
    """

    def __init__(
        self,
        dialogue: Dialogue,
        certificate: ServerCertificate | None = None,
        *,
        implicit_tls: bool = False,
    ) -> None:
        self.dialogue = dialogue
        self.implicit_tls = implicit_tls
        self.lines: list[str] = []
        self.connections = 0
        self.stopping = threading.Event()
        self.tls: ssl.SSLContext | None = None
        if certificate:
            self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.tls.load_cert_chain(certificate.certificate, certificate.key)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._threads: list[threading.Thread] = []
        self._open: list[Talk | socket.socket] = []

    def __enter__(self) -> Self:
        self._threads.append(threading.Thread(target=self._accept, daemon=True))
        self._threads[0].start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stopping.set()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for each in self._open:
            each.close()
        for thread in self._threads:
            thread.join(5)

    def _accept(self) -> None:
        while not self.stopping.is_set():
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            thread = threading.Thread(target=self._serve, args=[connection], daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        self._open.append(connection)
        talk = None
        try:
            if self.implicit_tls:
                assert self.tls
                connection = self.tls.wrap_socket(connection, server_side=True)
            talk = Talk(connection, self)
            self._open.append(talk)
            self.dialogue(talk)
        except (Stopped, OSError, ValueError):  # ValueError: a file that was closed meanwhile
            pass
        finally:
            (talk or connection).close()


# -- POP3 ----------------------------------------------------------------------------------------


@dataclass
class Pop3Box:
    """`uidls`: in place of u1, u2, ...; None: UIDL is not known. `deleted`: after QUIT."""

    messages: Sequence[bytes] = ()
    uidls: Sequence[str] | None = field(default_factory=list)
    capabilities: Sequence[str] | None = ("USER", "UIDL", "TOP", "PIPELINING", "STLS")
    greeting: str = "+OK ready"
    quit_answer: str = "+OK bye"
    sizes: dict[int, int] = field(default_factory=dict)
    replies: dict[str, str] = field(default_factory=dict)
    deleted: list[int] = field(default_factory=list)


def pop3(box: Pop3Box, fault: Fault | None = None) -> Dialogue:
    def dialogue(talk: Talk) -> None:
        marked: list[int] = []
        if fault and fault.strikes("greeting"):
            talk.commit(fault)
        talk.say(box.greeting)
        while True:
            command, *arguments = talk.line().split(" ")
            word = command.upper()
            if fault and fault.strikes(word):
                talk.commit(fault)
                continue
            if word in box.replies:
                talk.say(box.replies[word])
                continue
            number = int(arguments[0]) if arguments and arguments[0].isdecimal() else 0
            if word == "QUIT":
                if box.quit_answer.startswith("+OK"):
                    box.deleted.extend(marked)
                talk.say(box.quit_answer)
                return
            if word == "DELE":
                marked.append(number)
                talk.say("+OK")
            elif word == "STLS" and talk.server.tls:
                talk.say("+OK go")
                talk.start_tls()
            else:
                talk.say(*answer_pop3(box, word, number))

    return dialogue


def answer_pop3(box: Pop3Box, word: str, number: int) -> list[str | bytes]:
    if word in ("USER", "PASS", "APOP", "NOOP"):
        return ["+OK"]
    if word == "CAPA" and box.capabilities is not None:
        return ["+OK", *box.capabilities, "."]
    if word == "UIDL" and box.uidls is not None:
        uidls = box.uidls or [f"u{n}" for n, _ in enumerate(box.messages, 1)]
        return ["+OK", *(f"{n} {uidl}" for n, uidl in enumerate(uidls, 1)), "."]
    if word == "LIST":
        sizes = {n: len(mime) for n, mime in enumerate(box.messages, 1)} | box.sizes
        return ["+OK", *(f"{n} {size}" for n, size in sizes.items()), "."]
    if word in ("RETR", "TOP") and 1 <= number <= len(box.messages):
        mime = box.messages[number - 1]
        if word == "TOP":
            mime = mime.partition(b"\r\n\r\n")[0] + b"\r\n\r\n"
        stuffed = mime.replace(b"\r\n.", b"\r\n..")
        return ["+OK", b"." + stuffed if stuffed.startswith(b".") else stuffed, b".\r\n"]
    return ["-ERR not here"]


# -- IMAP ----------------------------------------------------------------------------------------


@dataclass
class ImapBox:
    """UIDs are the keys of `messages`. `replies`: what to answer to a command word (or, e.g., to
    "UID FETCH") instead; the tag is put in for "TAG"."""

    messages: dict[int, bytes] = field(default_factory=dict)
    capabilities: str = "IMAP4rev1 STARTTLS UIDPLUS MOVE"
    validity: int = 7
    next_uid: int | None = None
    permanent_flags: str = r"\Seen \Deleted \*"
    greeting: str = "* OK ready"
    flags: dict[int, set[str]] = field(default_factory=dict)
    replies: dict[str, list[str | bytes]] = field(default_factory=dict)


def imap(box: ImapBox, fault: Fault | None = None) -> Dialogue:
    def dialogue(talk: Talk) -> None:
        if fault and fault.strikes("greeting"):
            talk.commit(fault)
        talk.say(box.greeting)
        while True:
            tag, word, *arguments = talk.line().split(" ")
            word = word.upper()
            if word == "UID":
                word = f"UID {arguments.pop(0).upper()}"
            if fault and fault.strikes(word):
                talk.commit(fault)
                continue
            if word in box.replies:
                talk.say(*(with_tag(line, tag) for line in box.replies[word]))
                continue
            if word == "STARTTLS" and talk.server.tls:
                talk.say(f"{tag} OK go")
                talk.start_tls()
                continue
            talk.say(*answer_imap(box, word, arguments), f"{tag} OK done")
            if word == "LOGOUT":
                return

    return dialogue


def with_tag(line: str | bytes, tag: str) -> str | bytes:
    return line.replace("TAG", tag) if isinstance(line, str) else line


def answer_imap(box: ImapBox, word: str, arguments: list[str]) -> list[str | bytes]:
    if word == "CAPABILITY":
        return [f"* CAPABILITY {box.capabilities}"]
    if word in ("SELECT", "EXAMINE"):
        next_uid = box.next_uid or max(box.messages, default=0) + 1
        return [
            f"* {len(box.messages)} EXISTS",
            r"* FLAGS (\Seen \Deleted)",
            f"* OK [PERMANENTFLAGS ({box.permanent_flags})] flags",
            f"* OK [UIDVALIDITY {box.validity}] validity",
            f"* OK [UIDNEXT {next_uid}] next",
        ]
    if word == "LOGOUT":
        return ["* BYE see you"]
    if word == "UID FETCH":
        wanted = uids_of(box, arguments[0])
        return [line for uid in wanted for line in fetched(box, uid, " ".join(arguments[1:]))]
    if word == "UID SEARCH":
        if arguments == ["DELETED"]:
            found = [uid for uid, flags in box.flags.items() if "\\Deleted" in flags]
        elif arguments[0] == "KEYWORD":
            found = [uid for uid, flags in box.flags.items() if arguments[1] in flags]
        else:
            found = uids_of(box, "1:*" if arguments == ["ALL"] else arguments[-1])
        return ["* SEARCH" + "".join(f" {uid}" for uid in found)]
    if word == "UID STORE":
        flags = " ".join(arguments[2:]).strip("()").split()
        for uid in uids_of(box, arguments[0]):
            taken = box.flags.setdefault(uid, set())
            taken.difference_update(flags) if arguments[1].startswith("-") else taken.update(flags)
    if word in ("EXPUNGE", "UID EXPUNGE"):
        named = set(uids_of(box, arguments[0])) if arguments else set(box.messages)
        for uid in [uid for uid in named if "\\Deleted" in box.flags.get(uid, set())]:
            box.messages.pop(uid)
            box.flags.pop(uid)
    return []


def uids_of(box: ImapBox, uid_set: str) -> list[int]:
    highest = max(box.messages, default=0)
    found: set[int] = set()
    for part in uid_set.split(","):
        first, _, last = part.partition(":")
        ends = sorted(highest if end == "*" else int(end) for end in (first, last or first))
        found |= {uid for uid in box.messages if ends[0] <= uid <= ends[1]}
    return sorted(found)


def fetched(box: ImapBox, uid: int, items: str) -> list[str | bytes]:
    mime = box.messages[uid]
    sequence = sorted(box.messages).index(uid) + 1
    if "BODY" in items:
        literal = mime.partition(b"\r\n\r\n")[0] + b"\r\n\r\n" if "HEADER" in items else mime
        name = "BODY[HEADER.FIELDS (MESSAGE-ID DATE)]" if "HEADER" in items else "BODY[]"
        head = f"* {sequence} FETCH (UID {uid} RFC822.SIZE {len(mime)} {name} {{{len(literal)}}}"
        return [head, literal, ")"]
    moment = '"05-Jan-2026 08:00:00 +0100"'
    return [f"* {sequence} FETCH (UID {uid} RFC822.SIZE {len(mime)} INTERNALDATE {moment})"]


# -- SMTP ----------------------------------------------------------------------------------------


@dataclass
class SmtpBox:
    """`received`: what was accepted, as (sender line, recipient lines, content as it came).
    `answers`: by command word, or by the whole line, or "content" for the final dot.
    `empty_contents`: how often a lone dot was all the content. `lax`: takes recipients without a
    sender."""

    extensions: Sequence[str] = (
        "PIPELINING",
        "SIZE 100000",
        "8BITMIME",
        "AUTH PLAIN LOGIN CRAM-MD5",
    )
    greeting: str = "220 mail.example.com ready"
    answers: dict[str, str] = field(default_factory=dict)
    received: list[tuple[str, list[str], bytes]] = field(default_factory=list)
    empty_contents: int = 0
    lax: bool = False


def smtp(box: SmtpBox, fault: Fault | None = None) -> Dialogue:
    def dialogue(talk: Talk) -> None:
        sender, recipients = "", []
        if fault and fault.strikes("greeting"):
            talk.commit(fault)
        talk.say(box.greeting)
        while True:
            line = talk.line()
            word = line.split(" ")[0].upper()
            if fault and fault.strikes(word):
                talk.commit(fault)
                continue
            answer = box.answers.get(line) or box.answers.get(word) or usual_answer(box, word)
            if word == "RCPT" and answer.startswith("250"):
                if sender or box.lax:
                    recipients.append(line)
                else:
                    answer = "503 5.5.1 need MAIL first"
            elif word == "MAIL":
                sender, recipients = line if answer.startswith("250") else "", []
            elif word == "RSET":
                sender, recipients = "", []
            elif word == "DATA" and not recipients and "DATA" not in box.answers:
                answer = "554 no valid recipients"
            talk.say(*answer.split("\n"))
            if word == "QUIT" or answer.startswith("421"):
                return
            if word == "STARTTLS" and answer.startswith("220"):
                talk.start_tls()
            elif word == "AUTH" and answer.startswith("334"):
                finish_login(box, talk, line.split(" ")[1].upper())
            elif word == "DATA" and answer.startswith("354"):
                content = read_content(talk, fault)
                box.empty_contents += not content
                if fault and fault.strikes("content"):
                    talk.commit(fault)
                    continue
                verdict = box.answers.get("content", "250 2.0.0 queued")
                if verdict.startswith("250") and recipients:
                    box.received.append((sender, recipients, content))
                talk.say(verdict if recipients else "554 no valid recipients")
                sender, recipients = "", []

    return dialogue


def usual_answer(box: SmtpBox, word: str) -> str:
    if word == "EHLO":
        lines = ["mail.example.com", *box.extensions]
        return "\n".join([*(f"250-{line}" for line in lines[:-1]), f"250 {lines[-1]}"])
    usual = {"AUTH": "235 2.7.0 ok", "DATA": "354 go on", "QUIT": "221 bye", "STARTTLS": "220 go"}
    return usual.get(word, "250 2.1.0 ok")


def finish_login(box: SmtpBox, talk: Talk, mechanism: str) -> None:
    """After a 334 to AUTH: one more question for LOGIN, then the verdict."""
    talk.line()
    if mechanism == "LOGIN":
        talk.say("334 UGFzc3dvcmQ6")
        talk.line()
    talk.say(box.answers.get("verdict", "235 2.7.0 ok"))


def read_content(talk: Talk, fault: Fault | None) -> bytes:
    content = b""
    while True:
        line = talk.raw_line()
        if line == b".\r\n":
            return content
        content += line
        if fault and fault.strikes("first line"):
            talk.commit(fault)
