"""POP3 (RFC 1939) with CAPA, STLS, UIDL, TOP, APOP, AUTH PLAIN and pipelining."""

import base64
import binascii
import hashlib
import secrets
import socket

from serversync.sandbox.conversation import Conversation, Hangup, Site, dotted
from serversync.sandbox.store import INBOX, Entry, UnknownFolder

LONGEST_COMMAND = 253  # and CRLF (RFC 5034, section 4)


class Pop3(Conversation):
    protocol = "pop3"

    def __init__(self, site: Site, connection: socket.socket, *, secure: bool) -> None:
        super().__init__(site, connection, secure=secure)
        self._stamp = f"<{secrets.token_hex(8)}@sandbox.example>"
        self._user = ""
        self._uidvalidity = 0
        self._drop: list[Entry] = []
        self._deleted: set[int] = set()

    def greet(self) -> None:
        self.say("+OK Sandbox ready" + ("" if self.hides("APOP") else f" {self._stamp}"))

    def shape_reply(self, text: str) -> str:
        return text if text.startswith(("+OK", "-ERR")) else f"-ERR {text}"

    def take(self, line: bytes) -> None:
        name, _, argument = line.decode("utf-8", "surrogateescape").partition(" ")
        name, argument = name.upper(), argument.strip()
        handlers = {
            "CAPA": self._capa,
            "NOOP": lambda _: self.say("+OK"),
            "QUIT": self._quit,
            "STLS": self._stls,
            "USER": self._user_command,
            "PASS": self._pass,
            "APOP": self._apop,
            "AUTH": self._auth,
        }
        if self.account:
            handlers |= {
                "STAT": self._stat,
                "LIST": self._list,
                "UIDL": self._uidl,
                "RETR": self._retr,
                "TOP": self._top,
                "DELE": self._dele,
                "RSET": self._rset,
            }
            for over in ("USER", "PASS", "APOP", "AUTH", "STLS"):
                handlers.pop(over)
        handler = handlers.get(name)
        # A password is no text for a fault to be matched with.
        text = "" if name in ("PASS", "APOP", "AUTH") else argument
        if handler is None or self.hides(name):
            self.obey(name, text, lambda: self.say("-ERR Unknown command"))
        else:
            self.obey(name, text, lambda: handler(argument))

    # -- before the login

    def _capa(self, _: str) -> None:
        offered = ["TOP", "UIDL", "RESP-CODES", "AUTH-RESP-CODE", "PIPELINING"]
        if not self.secure:
            offered.append("STLS")
        if self.may_log_in:
            offered += ["USER", " ".join(["SASL", "PLAIN", *self.token_mechanisms()])]
        self.say("+OK Capability list follows")
        for capability in offered:
            if not self.hides(capability):
                self.say(capability)
        self.say(".")

    def _stls(self, _: str) -> None:
        if self.secure:
            self.say("-ERR Already protected")
            return
        self.say("+OK Begin TLS")
        self.start_tls()
        self._user = ""

    def _user_command(self, argument: str) -> None:
        if not self.may_log_in:
            self.say("-ERR [AUTH] Passwords only under TLS: STLS first")
            return
        self._user = argument
        self.say("+OK Send the password")

    def _pass(self, argument: str) -> None:
        if not self._user:
            self.say("-ERR USER first")
        elif self.log_in(self._user, argument):
            self._open()
        else:
            self.say("-ERR [AUTH] Wrong name or password")

    def _apop(self, argument: str) -> None:
        address, _, digest = argument.rpartition(" ")
        password = self.store.password_of(address)
        if password is not None:
            right = hashlib.md5((self._stamp + password).encode(), usedforsecurity=False)
            if secrets.compare_digest(right.hexdigest(), digest.lower()):
                self.account = address.lower()
                self._open()
                return
        self.say("-ERR [AUTH] Wrong name or digest")

    def _auth(self, argument: str) -> None:
        mechanism, _, initial = argument.partition(" ")
        mechanism = mechanism.upper()
        by_token = mechanism in self.token_mechanisms()
        if not (by_token or mechanism == "PLAIN") or not self.may_log_in:
            self.say("-ERR Not this mechanism, or not without TLS")
            return
        if len(argument) + len("AUTH ") > LONGEST_COMMAND:
            self.say("-ERR Too long a line")
            return
        initial = initial or self._ask(b"")
        try:
            shown = base64.b64decode(initial, validate=True)
            if by_token:
                self._auth_by_token(mechanism, shown)
                return
            _, address, password = shown.decode().split("\0")
        except (ValueError, binascii.Error):
            self.say("-ERR Malformed")
            return
        if self.log_in(address, password):
            self._open()
        else:
            self.say("-ERR [AUTH] Wrong name or password")

    def _ask(self, challenge: bytes) -> str:
        self.say(f"+ {base64.b64encode(challenge).decode()}")
        return self.read_line().decode("ascii", "replace")

    def _auth_by_token(self, mechanism: str, shown: bytes) -> None:
        if error := self.log_in_with_token(mechanism, shown):
            self._ask(error.encode())
            self.say("-ERR [AUTH] The token opens nothing here")
        else:
            self._open()

    def _open(self) -> None:
        self._uidvalidity = self.store.folder(self.account).uidvalidity
        self._drop = self.store.entries(self.account)
        self.say(f"+OK {len(self._drop)} messages")

    # -- after it

    def _quit(self, _: str) -> None:
        self.ended = True
        if self.account and self._deleted:
            try:
                still = self.store.folder(self.account).uidvalidity == self._uidvalidity
            except UnknownFolder:
                raise Hangup from None
            if still:
                self.store.remove(self.account, INBOX, sorted(self._deleted))
        self.say("+OK Bye")

    def _present(self) -> list[tuple[int, Entry]]:
        return [
            (number, entry)
            for number, entry in enumerate(self._drop, start=1)
            if entry.uid not in self._deleted
        ]

    def _find(self, argument: str) -> Entry | None:
        """The entry with this message number; says so where there is none."""
        number = int(argument) if argument.isdigit() else 0
        if 1 <= number <= len(self._drop) and self._drop[number - 1].uid not in self._deleted:
            return self._drop[number - 1]
        self.say("-ERR No such message")
        return None

    def _unique_id(self, entry: Entry) -> str:
        if self.site.faults.repeats_uidl(self.account):
            return "always-the-same"
        return f"{self._uidvalidity:08x}{entry.uid:08x}"

    def _stat(self, _: str) -> None:
        present = self._present()
        self.say(f"+OK {len(present)} {sum(entry.size for _, entry in present)}")

    def _list(self, argument: str) -> None:
        if argument:
            if entry := self._find(argument):
                self.say(f"+OK {argument} {entry.size}")
            return
        present = self._present()
        self.say(f"+OK {len(present)} messages")
        self.send(b"".join(b"%d %d\r\n" % (number, entry.size) for number, entry in present))
        self.say(".")

    def _uidl(self, argument: str) -> None:
        if argument:
            if entry := self._find(argument):
                self.say(f"+OK {argument} {self._unique_id(entry)}")
            return
        self.say("+OK Unique ids follow")
        for number, entry in self._present():
            self.say(f"{number} {self._unique_id(entry)}")
        self.say(".")

    def _mime(self, argument: str) -> bytes | None:
        entry = self._find(argument)
        if entry is None:
            return None
        mime = self.store.mime(self.account, INBOX, entry.uid)
        if mime is None:
            self.say("-ERR Somebody else removed it")
        return mime

    def _retr(self, argument: str) -> None:
        mime = self._mime(argument)
        if mime is not None:
            self.say(f"+OK {len(mime)} octets")
            self.send(dotted(mime))

    def _top(self, argument: str) -> None:
        number, _, lines = argument.partition(" ")
        if not lines.isdigit():
            self.say("-ERR TOP message lines")
            return
        mime = self._mime(number)
        if mime is not None:
            header, gap, body = mime.replace(b"\r\n", b"\n").partition(b"\n\n")
            kept = body.split(b"\n")[: int(lines)]
            self.say("+OK The top follows")
            self.send(dotted(header + gap + b"".join(line + b"\n" for line in kept)))

    def _dele(self, argument: str) -> None:
        if entry := self._find(argument):
            self._deleted.add(entry.uid)
            self.say("+OK Marked")

    def _rset(self, _: str) -> None:
        self._deleted.clear()
        self.say("+OK")
