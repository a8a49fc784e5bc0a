"""What the sandbox servers do wrong, on request.

A fault waits for a command that fits it: of a protocol, of an account, the n-th of a connection,
with a text in it. Commands are named as their protocols name them, and besides these

    CONNECT     the greeting, before anything was said
    CONTENT     SMTP: the octets after DATA, up to and with the final dot
    TLS         SMTP, POP3, IMAP: the handshake itself
"""

import threading
from dataclasses import asdict, dataclass, fields, replace
from enum import StrEnum


class Kind(StrEnum):
    HANG = "hang"
    """Never answer."""
    DROP = "drop"
    """Close the line instead of doing it."""
    DROP_AFTER = "drop_after"
    """Do it, then close the line instead of answering."""
    GARBAGE = "garbage"
    """Answer with noise."""
    TRUNCATE = "truncate"
    """Do it, send half of the answer, close the line."""
    SLOW = "slow"
    """Wait `argument` seconds, then go on."""
    REPLY = "reply"
    """Don't do it, answer `argument`: "451 4.7.1 Try later", "-ERR [IN-USE]", "NO [INUSE]"."""
    HIDE = "hide"
    """Leave the capability `argument` out of the list and don't know its commands."""
    REPEAT_UIDL = "repeat_uidl"
    """POP3: all messages have the same UIDL."""
    SOAP_FAULT = "soap_fault"
    """EWS: don't do it, answer a SOAP fault: "ErrorServerBusy BackOffMilliseconds=1500"."""
    REFUSE = "refuse"
    """EWS: refuse it in the answer's messages: "ErrorItemCorrupt", "ErrorItemCorrupt position=2"."""
    STATUS = "status"
    """EWS: don't do it, answer with this HTTP status: "503 Retry-After=30"."""


NOISE = b"\x00\xff\xfe %s garbage \x7f\r\n\r\n*&^\r\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """Empty fields fit everything.

    `command`: its name, e.g. "RCPT" or "UID FETCH"; `at`: it is the n-th command of its
    connection, the greeting being number 0; `text`: is in the command's argument;
    `times`: how often it strikes, None: always.
    """

    kind: Kind
    protocol: str = ""
    account: str = ""
    command: str = ""
    text: str = ""
    at: int | None = None
    times: int | None = None
    argument: str = ""

    def fits(self, protocol: str, account: str, command: str, text: str, number: int) -> bool:
        return (
            self.protocol in ("", protocol)
            and self.account.lower() in ("", account.lower())
            and self.command.upper() in ("", command.upper())
            and self.text.lower() in text.lower()
            and self.at in (None, number)
        )

    def as_dict(self) -> dict[str, object]:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, object]) -> "Fault":
        """From the control port. Raises ValueError that names what is wrong."""
        if unknown := set(values) - {field.name for field in fields(cls)}:
            raise ValueError(f"a fault has no {', '.join(sorted(unknown))}")
        if "kind" not in values:
            raise ValueError(f"kind is missing: one of {', '.join(Kind)}")
        return cls(**{**values, "kind": Kind(str(values["kind"]))})  # type: ignore[arg-type]


def greylist(recipient: str = "") -> Fault:
    """The first attempt is deferred, the next is taken."""
    reply = "451 4.7.1 Greylisted, please try again"
    return Fault(
        kind=Kind.REPLY, protocol="smtp", command="RCPT", text=recipient, times=1, argument=reply
    )


def refuse_recipient(recipient: str, times: int | None = None) -> Fault:
    reply = "550 5.1.1 No such user here"
    return Fault(
        kind=Kind.REPLY,
        protocol="smtp",
        command="RCPT",
        text=recipient,
        times=times,
        argument=reply,
    )


class Faults:
    """The faults of one sandbox. Any thread may add and clear."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: list[Fault] = []
        self.struck: list[Fault] = []

    def add(self, *faults: Fault) -> None:
        with self._lock:
            self._waiting.extend(faults)

    def clear(self) -> None:
        with self._lock:
            self._waiting.clear()

    def waiting(self) -> list[Fault]:
        with self._lock:
            return list(self._waiting)

    def strike(
        self, protocol: str, account: str, command: str, text: str, number: int
    ) -> Fault | None:
        """The first fault that fits this command, counted down."""
        with self._lock:
            for place, fault in enumerate(self._waiting):
                if fault.kind in (Kind.HIDE, Kind.REPEAT_UIDL):
                    continue
                if not fault.fits(protocol, account, command, text, number):
                    continue
                self.struck.append(fault)
                if fault.times is not None:
                    if fault.times <= 1:
                        del self._waiting[place]
                    else:
                        self._waiting[place] = replace(fault, times=fault.times - 1)
                return fault
        return None

    def hides(self, protocol: str, capability: str) -> bool:
        name = capability.split("=")[0].split(" ")[0]
        return any(
            fault.kind is Kind.HIDE
            and fault.protocol in ("", protocol)
            and fault.argument.upper() in (name.upper(), capability.upper())
            for fault in self.waiting()
        )

    def repeats_uidl(self, account: str) -> bool:
        return any(
            fault.kind is Kind.REPEAT_UIDL and fault.account.lower() in ("", account.lower())
            for fault in self.waiting()
        )
