"""The steps of a test, as its reader knows them."""

from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext_lazy as _

from mailboxes.causes import cause_of
from mailboxes.conditions import TABLE
from mailboxes.protocols.phases import Phase


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a test. `words`: the server's own; `meaning` and `advice`: ours."""

    name: Any
    ok: bool
    milliseconds: int | None
    words: str
    meaning: str = ""
    advice: str = ""


#: The steps of a conversation with a server, as an administrator knows them.
STEPS: dict[str, Any] = {
    Phase.DISCOVER: _("Find the web service"),
    Phase.AUTHORIZE: _("Get a token"),
    Phase.RESOLVE: _("Find the host"),
    Phase.CONNECT: _("Connect"),
    Phase.TLS: _("Secure the line (TLS)"),
    Phase.LOGIN: _("Log in"),
    Phase.OPEN: _("Open the inbox"),
    Phase.LIST: _("List a message"),
    Phase.FETCH: _("Fetch a message"),
    Phase.APPLY: _("Mark a message"),
    Phase.SIGN: _("Look up the DKIM record"),
    Phase.SEND: _("Send a test message"),
    Phase.FIND: _("Look into sent items"),
    Phase.CLOSE: _("Leave"),
    Phase.CALENDAR: _("Open the calendar"),
    Phase.CONTACTS: _("Open the contacts"),
    Phase.TASKS: _("Open the tasks"),
    Phase.MARKER: _("Note on it that it is ours"),
    # Before and between them.
    "preconditions": _("Look at what it needs"),
    "settings": _("Read the settings"),
    "conversation": _("Talk to the server"),
}


def read_step(step: dict[str, Any]) -> Step:
    code = str(step.get("code") or "")
    # In the reader's language where the code is known; as it was noted where it isn't.
    cause = cause_of(code) if code in TABLE else None
    name = str(step.get("step") or "")
    return Step(
        name=STEPS.get(name, name),
        ok=bool(step.get("ok")),
        milliseconds=step.get("ms"),
        words=str(step.get("text") or ""),
        meaning=cause.meaning if cause else str(step.get("cause") or ""),
        advice=cause.advice if cause else str(step.get("cure") or ""),
    )
