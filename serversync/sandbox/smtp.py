"""SMTP submission (RFC 6409) with STARTTLS, AUTH, SIZE, 8BITMIME, SMTPUTF8 and PIPELINING."""

import base64
import binascii
import re
import secrets
import socket
from datetime import UTC, datetime
from email.utils import format_datetime

from serversync.sandbox.conversation import Conversation, Site

LONGEST_COMMAND = 510  # and CRLF (RFC 4954, section 4)
PATH = re.compile(r"<(?:@[^:>]*:)?(?P<address>[^>]*)>\s*(?P<parameters>.*)$")
MAX_RECIPIENTS = 1000


class Smtp(Conversation):
    protocol = "smtp"

    def __init__(self, site: Site, connection: socket.socket, *, secure: bool) -> None:
        super().__init__(site, connection, secure=secure)
        self._client = ""
        self._sender: str | None = None
        self._utf8 = False
        self._recipients: list[str] = []

    def greet(self) -> None:
        self.say("220 sandbox.example ESMTP ready")

    def shape_reply(self, text: str) -> str:
        return text if text[:3].isdigit() else f"451 4.3.0 {text}".rstrip()

    def take(self, line: bytes) -> None:
        name, _, argument = line.decode("utf-8", "surrogateescape").partition(" ")
        name, argument = name.upper(), argument.strip()
        handlers = {
            "EHLO": self._ehlo,
            "HELO": self._helo,
            "STARTTLS": self._starttls,
            "AUTH": self._auth,
            "MAIL": self._mail,
            "RCPT": self._rcpt,
            "DATA": self._data,
            "RSET": self._rset,
            "NOOP": lambda _: self.say("250 2.0.0 Ok"),
            "VRFY": lambda _: self.say("252 2.0.0 Try it"),
            "QUIT": self._quit,
        }
        handler = handlers.get(name)
        text = "" if name == "AUTH" else argument
        if handler is None or self.hides(name):
            self.obey(name, text, lambda: self.say("500 5.5.2 Command not known"))
        else:
            self.obey(name, text, lambda: handler(argument))

    def _ehlo(self, argument: str) -> None:
        self._client = argument
        self._forget()
        offered = [
            f"SIZE {self.site.max_message_bytes}",
            "PIPELINING",
            "8BITMIME",
            "SMTPUTF8",
            "ENHANCEDSTATUSCODES",
        ]
        if not self.secure:
            offered.append("STARTTLS")
        if self.may_log_in:
            offered.append(" ".join(["AUTH", "PLAIN", "LOGIN", *self.token_mechanisms()]))
        lines = ["sandbox.example", *(name for name in offered if not self.hides(name))]
        for line in lines[:-1]:
            self.say(f"250-{line}")
        self.say(f"250 {lines[-1]}")

    def _helo(self, argument: str) -> None:
        self._client = argument
        self._forget()
        self.say("250 sandbox.example")

    def _starttls(self, _: str) -> None:
        if self.secure:
            self.say("503 5.5.1 Already protected")
            return
        self.say("220 2.0.0 Begin TLS")
        self.start_tls()
        self._client = ""
        self.account = ""
        self._forget()

    # -- logging in

    def _auth(self, argument: str) -> None:
        mechanism, _, initial = argument.partition(" ")
        if len(argument) + len("AUTH ") > LONGEST_COMMAND:
            self.say("500 5.5.6 Too long a line")
            return
        if not self.may_log_in:
            self.say("538 5.7.11 Passwords only under TLS: STARTTLS first")
            return
        if self.account:
            self.say("503 5.5.1 Already logged in")
            return
        try:
            if mechanism.upper() == "PLAIN":
                answer = _decode(initial) if initial else self._ask("")
                _, address, password = answer.split("\0")
            elif mechanism.upper() in self.token_mechanisms():
                self._auth_by_token(mechanism.upper(), initial or self._ask_raw(""))
                return
            elif mechanism.upper() == "LOGIN":
                address = _decode(initial) if initial else self._ask("Username:")
                password = self._ask("Password:")
            else:
                self.say("504 5.5.4 Not this mechanism")
                return
        except (ValueError, binascii.Error):
            self.say("501 5.5.2 Malformed")
            return
        if self.log_in(address, password):
            self.say("235 2.7.0 Welcome")
        else:
            self.say("535 5.7.8 Wrong name or password")

    def _ask(self, question: str) -> str:
        return _decode(self._ask_raw(question))

    def _ask_raw(self, question: str) -> str:
        """The answer as it came, in base64."""
        self.say(f"334 {base64.b64encode(question.encode()).decode()}")
        answer = self.read_line().decode("ascii", "replace")
        if answer == "*":
            raise ValueError("cancelled")
        return answer

    def _auth_by_token(self, mechanism: str, initial: str) -> None:
        if error := self.log_in_with_token(mechanism, base64.b64decode(initial, validate=True)):
            self._ask_raw(error)
            self.say("535 5.7.8 The token opens nothing here")
        else:
            self.say("235 2.7.0 Welcome")

    # -- a message

    def _forget(self) -> None:
        self._sender = None
        self._utf8 = False
        self._recipients = []

    def _mail(self, argument: str) -> None:
        found = PATH.match(argument[5:].strip()) if argument.upper().startswith("FROM:") else None
        if found is None:
            self.say("501 5.5.4 MAIL FROM:<address>")
        elif not self.account:
            self.say("530 5.7.0 Log in first")
        elif self._sender is not None:
            self.say("503 5.5.1 One sender is enough")
        else:
            parameters = found["parameters"].upper().split()
            utf8 = "SMTPUTF8" in parameters
            size = next((p[5:] for p in parameters if p.startswith("SIZE=")), "0")
            if not utf8 and not found["address"].isascii():
                self.say("553 5.6.7 That address needs SMTPUTF8")
            elif size.isdigit() and int(size) > self.site.max_message_bytes:
                self.say("552 5.3.4 Message too large")
            else:
                self._sender, self._utf8 = found["address"], utf8
                self.say("250 2.1.0 Ok")

    def _rcpt(self, argument: str) -> None:
        found = PATH.match(argument[3:].strip()) if argument.upper().startswith("TO:") else None
        address = found["address"] if found else ""
        _, _, domain = address.rpartition("@")
        if self._sender is None:
            self.say("503 5.5.1 MAIL first")
        elif not address:
            self.say("501 5.1.3 RCPT TO:<address>")
        elif not address.isascii() and not self._utf8:
            self.say("553 5.6.7 That address needs SMTPUTF8")
        elif len(self._recipients) >= MAX_RECIPIENTS:
            self.say("452 4.5.3 Too many recipients")
        elif domain.lower() in self.site.local_domains and not self.site.has_account(address):
            self.say("550 5.1.1 No such user here")
        else:
            self._recipients.append(address)
            self.say("250 2.1.5 Ok")

    def _data(self, _: str) -> None:
        if not self._recipients:
            self.say("503 5.5.1 No valid recipients")
            return
        self.say("354 End with a dot on a line of its own")
        self.flush()
        content = self.read_dotted()
        self.obey("CONTENT", "", lambda: self._accept(content))
        self._forget()

    def _accept(self, content: bytes) -> None:
        if len(content) > self.site.max_message_bytes:
            self.say("552 5.3.4 Message too large")
            return
        number = secrets.token_hex(6)
        head = (
            f"Return-Path: <{self._sender}>\r\n"
            f"Received: from {self._client} (127.0.0.1) by sandbox.example\r\n"
            f"\twith {'UTF8' if self._utf8 else ''}ESMTP{'S' * self.secure}A id {number};\r\n"
            f"\t{format_datetime(datetime.now(UTC))}\r\n"
        )
        self.site.accept_mail(
            self._sender or "",
            self._recipients,
            head.encode("utf-8", "surrogateescape") + content,
        )
        self.say(f"250 2.0.0 Ok: queued as {number}")

    def _rset(self, _: str) -> None:
        self._forget()
        self.say("250 2.0.0 Ok")

    def _quit(self, _: str) -> None:
        self.ended = True
        self.say("221 2.0.0 Bye")


def _decode(text: str) -> str:
    return base64.b64decode(text, validate=True).decode()
