"""An SMTP server that may fail at every step of the dialogue, and whose books tell what it took.

    with HostileServer(certificate) as server:
        server.plans.append(Plan("RCPT", 2, Evil.DROP))        # for the next connection
        ...
        server.quiet()                                         # all conversations are over
        server.took[message_id]                                # how often each address got it

Steps are named as their commands, and besides these

    CONNECT     before anything is said
    GREETING    the first reply
    TLS         the handshake
    AGAIN       EHLO after TLS
    QUESTION    the second step of a login
    CONTENT     in the middle of the message's octets
    VERDICT     after the final dot, before the answer: the message is taken or it is not
    AFTERWARDS  after the answer
"""

import re
import socket
import threading
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from tests.servers.certificates import ServerCertificate
from tests.servers.faulty import GARBAGE, ScriptedServer, Stopped, Talk

MESSAGE_ID = re.compile(rb"(?im)^message-id: <([^>]*)>")
PATIENCE = 60.0  # for conversations to end whose client is gone; a busy machine takes its time


class Evil(StrEnum):
    DROP = "drop"
    """The line is cut; nothing was done."""
    STALL = "stall"
    """Nothing is done, and nothing answered."""
    STALL_AFTER = "stall_after"
    """It was done, and is not answered."""
    DEFER = "defer"
    """Refused for now."""
    REFUSE = "refuse"
    """Refused for good."""
    BYE = "bye"
    """421, and the line is cut."""
    GARBAGE = "garbage"
    """Noise in place of the answer."""
    TRUNCATE = "truncate"
    """It was done; half of the answer, and the line is cut."""
    DROP_AFTER = "drop_after"
    """It was done; the line is cut before the answer."""
    TWICE = "twice"
    """It was done, and is answered twice."""


ANSWERS = {
    Evil.DEFER: "451 4.3.0 not now",
    Evil.REFUSE: "550 5.7.1 not here",
    Evil.BYE: "421 4.3.2 going down",
}
SILENT = (Evil.DROP, Evil.STALL)
NOT_DONE = (*SILENT, Evil.BYE, Evil.GARBAGE)
ANSWERED = (Evil.DEFER, Evil.REFUSE)
DONE = (Evil.STALL_AFTER, Evil.TRUNCATE, Evil.DROP_AFTER, Evil.TWICE)

#: What may go wrong where.
EVILS: dict[str, tuple[Evil, ...]] = {
    "CONNECT": SILENT,
    "TLS": (*SILENT, Evil.GARBAGE),
    "CONTENT": (*NOT_DONE, *ANSWERED),
    "AFTERWARDS": (*SILENT, Evil.BYE),
    **dict.fromkeys(
        (
            "GREETING", "EHLO", "STARTTLS", "AGAIN", "AUTH", "QUESTION", "MAIL", "RCPT", "DATA",
            "VERDICT", "RSET", "QUIT",
        ),
        (*NOT_DONE, *ANSWERED, *DONE),
    ),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Plan:
    """What goes wrong on one connection: at the n-th time that it comes to this step; for CONTENT,
    after the n-th line."""

    step: str
    number: int
    evil: Evil


class HostileServer(ScriptedServer):
    """`plans`: a list for each of the next connections. `took`: Message-ID -> address -> how often.
    `seen`: Message-ID -> the connections that brought its content. `struck`: what went wrong."""

    def __init__(self, certificate: ServerCertificate) -> None:
        super().__init__(lambda talk: _Conversation(talk, self).run(), certificate)
        self.plans: deque[list[Plan]] = deque()
        self.took: dict[str, Counter[str]] = {}
        self.seen: dict[str, set[int]] = {}
        self.struck: Counter[tuple[str, Evil]] = Counter()
        self.transactions = 0
        self.books = threading.Condition()
        self._running = 0

    def quiet(self) -> None:
        """Wait until every conversation is over and in the books. Their clients are to be gone."""
        with self.books:
            assert self.books.wait_for(lambda: not self._running, PATIENCE), "still talking"
        self._threads[1:] = [each for each in self._threads[1:] if each.is_alive()]
        self._open.clear()

    def _serve(self, connection: socket.socket) -> None:
        with self.books:
            self._running += 1
        connection.settimeout(PATIENCE)
        try:
            super()._serve(connection)
        finally:
            with self.books:
                self._running -= 1
                self.books.notify_all()


class _Conversation:
    """Honest but for its plans."""

    def __init__(self, talk: Talk, server: HostileServer) -> None:
        self.talk, self.server = talk, server
        with server.books:
            self.plans = server.plans.popleft() if server.plans else []
            self.number = server.connections
        self.times: Counter[str] = Counter()
        self.sender = ""
        self.recipients: list[str] = []
        self.secure = self.over = False

    def run(self) -> None:
        if evil := self._evil("CONNECT"):
            self._be(evil)
        self._answer("GREETING", "220 mail.example.com ready")
        while not self.over:
            line = self.talk.line()
            word = line.partition(" ")[0].upper()
            getattr(self, f"_{word.lower()}", self._unknown)(line)

    # -- going wrong

    def _evil(self, step: str) -> Evil | None:
        """What is planned for this time."""
        self.times[step] += 1
        for plan in self.plans:
            if (plan.step, plan.number) == (step, self.times[step]):
                with self.server.books:
                    self.server.struck[step, plan.evil] += 1
                return plan.evil
        return None

    def _be(self, evil: Evil, answer: str = "") -> None:
        """In place of an answer, or with half of it."""
        if evil in ANSWERED:
            self.talk.say(ANSWERS[evil])
            return
        if evil is Evil.GARBAGE:
            self.talk.say(GARBAGE)
            return
        if evil is Evil.TWICE:
            self.talk.say(f"{answer}\r\n{answer}")
            return
        if evil in (Evil.STALL, Evil.STALL_AFTER):
            self._wait_until_left()
        elif evil is Evil.BYE:
            self.talk.say(ANSWERS[evil])
        elif evil is Evil.TRUNCATE:
            self.talk.say(answer.encode()[: len(answer) // 2])
        raise Stopped

    def _wait_until_left(self) -> None:
        while True:
            self.talk.raw_line()

    def _answer(self, step: str, answer: str, act: Callable[[], None] = lambda: None) -> bool:
        """Do it and answer, or go wrong. True: it was done, and the client may think so."""
        evil = self._evil(step)
        if evil is None or evil in DONE:
            act()
        if evil is None:
            self.talk.say(answer)
            return True
        self._be(evil, answer)
        return evil is Evil.TWICE

    # -- commands

    def _unknown(self, _line: str) -> None:
        self.talk.say("500 5.5.2 what?")

    def _ehlo(self, _line: str) -> None:
        offers = ["PIPELINING", "SIZE 1000000", "8BITMIME", "AUTH LOGIN"]
        lines = ["mail.example.com", *offers, *([] if self.secure else ["STARTTLS"])]
        answer = "\r\n".join([*(f"250-{each}" for each in lines[:-1]), f"250 {lines[-1]}"])
        self._answer("AGAIN" if self.secure else "EHLO", answer)

    def _starttls(self, _line: str) -> None:
        if not self._answer("STARTTLS", "220 go"):
            return
        if evil := self._evil("TLS"):
            self._be(evil)
            raise Stopped
        self.talk.start_tls()
        self.secure = True

    def _auth(self, _line: str) -> None:
        if not self._answer("AUTH", "334 VXNlcm5hbWU6"):
            return
        self.talk.line()
        if self._answer("QUESTION", "334 UGFzc3dvcmQ6"):
            self.talk.line()
            self.talk.say("235 2.7.0 ok")

    def _mail(self, line: str) -> None:
        def begin() -> None:
            self.sender, self.recipients = line, []

        self._answer("MAIL", "250 2.1.0 ok", begin)

    def _rcpt(self, line: str) -> None:
        address = line.partition("<")[2].partition(">")[0]
        if self.sender:
            self._answer("RCPT", "250 2.1.5 ok", lambda: self.recipients.append(address))
        else:
            self.talk.say("503 5.5.1 MAIL first")

    def _data(self, _line: str) -> None:
        if not self.recipients:
            self.talk.say("503 5.5.1 no valid recipients")
        elif self._answer("DATA", "354 go on"):
            message_id = self._read()
            self._answer("VERDICT", "250 2.0.0 queued", lambda: self._take(message_id))
            self.sender, self.recipients = "", []
            if evil := self._evil("AFTERWARDS"):
                self._be(evil)

    def _read(self) -> str:
        content, lines = b"", 0
        while (line := self.talk.raw_line()) != b".\r\n":
            content += line
            lines += 1
            if found := MESSAGE_ID.search(line):
                with self.server.books:
                    self.server.transactions += 1
                    self.server.seen.setdefault(found[1].decode(), set()).add(self.number)
            if evil := self._evil("CONTENT"):
                self._be(evil)
                raise Stopped
        found = MESSAGE_ID.search(content)
        return found[1].decode() if found else ""

    def _take(self, message_id: str) -> None:
        with self.server.books:
            self.server.took.setdefault(message_id, Counter()).update(self.recipients)

    def _rset(self, _line: str) -> None:
        self.sender, self.recipients = "", []
        self._answer("RSET", "250 2.0.0 ok")

    def _quit(self, _line: str) -> None:
        self._answer("QUIT", "221 2.0.0 bye")
        self.over = True
