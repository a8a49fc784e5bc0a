"""The steps of a test as they are stored: timed, with what was learned on the way, and for a failed one what
happened, what that means and what to do.

    {"step": "tls", "ms": 41, "ok": true, "found": {"tls": "TLSv1.3 ...", "valid_until": "2027-01-01..."}}
    {"step": "login", "ms": 12, "ok": false, "code": "InvalidCredentials", "fault": "password_wrong",
     "text": "the server's words", "cause": "...", "cure": "..."}
"""

from dataclasses import replace
from time import monotonic
from typing import Any

from mailboxes.causes import cause_of
from mailboxes.conditions import Condition
from mailboxes.protocols.base import INBOX
from mailboxes.protocols.diagnosis import diagnose
from mailboxes.protocols.errors import ServerError
from mailboxes.protocols.phases import Phase

Step = dict[str, Any]

INTERNAL = "IncomingMailboxInternalCrmError"
MOST_LINES = 40  # of what is said in one step
LONGEST_LINE = 300


class StepWatcher:
    """Times the phases of a conversation, in the order in which they began. `talk`: keeps what was said, too,
    as ["asked", words] and ["answered", words]."""

    def __init__(self, *, talk: bool = False) -> None:
        self.steps: list[Step] = []
        self._talk = talk
        self._began: dict[Phase, float] = {}

    def begin(self, phase: Phase) -> None:
        self._began[phase] = monotonic()
        if not any(step["step"] == phase.value for step in self.steps):
            self.steps.append({"step": phase.value, "ms": 0, "ok": True})

    def end(self, phase: Phase, error: Exception | None) -> None:
        step = next(step for step in self.steps if step["step"] == phase.value)
        step["ms"] += int((monotonic() - self._began.pop(phase, monotonic())) * 1000)
        if error is not None:
            step |= told(error, phase)

    def asked(self, words: str) -> None:
        self._heard("asked", words)

    def answered(self, words: str) -> None:
        self._heard("answered", words)

    def found(self, fact: str, words: str) -> None:
        if step := self._current():
            step.setdefault("found", {})[fact] = printable(words)[:LONGEST_LINE]

    def _heard(self, who: str, words: str) -> None:
        step = self._current() if self._talk else None
        if step is not None and len(step.setdefault("talk", [])) < MOST_LINES:
            step["talk"].append([who, printable(words)[:LONGEST_LINE]])

    def _current(self) -> Step | None:
        """That of the phase which began last and isn't over."""
        running = list(self._began)
        if not running:
            return None
        return next(step for step in self.steps if step["step"] == running[-1].value)


def told(error: Exception, phase: Phase | None = None) -> Step:
    """A failed step in plain words."""
    if not isinstance(error, ServerError):
        return _step(INTERNAL, f"{type(error).__name__}: {error}", None)
    return _step(error.code, error.detail, diagnose(error, phase))


def _step(code: str, detail: str, fault: str | None) -> Step:
    cause = cause_of(code, "", {"folder": INBOX, "what": detail}, fault=fault)
    return {
        "ok": False,
        "code": code,
        **({"fault": str(fault)} if fault else {}),
        "text": printable(detail)[:1000],
        "cause": cause.meaning,
        "cure": cause.advice,
    }


def meaning_of(condition: Condition, parameters: dict[str, Any] | None = None) -> str:
    return replace(condition, advice="").sentence(parameters)


def printable(words: str) -> str:
    return words.replace("\0", "�")
