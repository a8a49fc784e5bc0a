"""The steps of a test, as its reader knows them."""

from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext as __
from django.utils.translation import gettext_lazy as _

from mailboxes.causes import cause_of
from mailboxes.conditions import TABLE
from mailboxes.protocols.phases import Phase
from serversync.choices import ProbeState
from serversync.models import Workload
from serversync.testing_return import delay_of


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
    Phase.GREET: _("Hear its first words"),
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
    code, fault = str(step.get("code") or ""), step.get("fault")
    # In the reader's language where the code is known; as it was noted where it isn't.
    cause = cause_of(code, fault=fault) if code in TABLE or fault else None
    name = str(step.get("step") or "")
    return Step(
        name=STEPS.get(name, name),
        ok=bool(step.get("ok")),
        milliseconds=step.get("ms"),
        words=str(step.get("text") or found_words(step.get("found") or {})),
        meaning=cause.meaning if cause else str(step.get("cause") or ""),
        advice=cause.advice if cause else str(step.get("cure") or ""),
    )


@dataclass(frozen=True, slots=True)
class Probe:
    """What became of the message that the outgoing test sent to the mailbox itself (R2.14)."""

    words: Any
    kind: str


PROBE_KIND = {
    ProbeState.WAITING: "info",
    ProbeState.BACK: "good",
    ProbeState.LOST: "bad",
    ProbeState.UNSEEN: "warn",
}


def probe_of(row: Workload) -> Probe | None:
    state = ProbeState(row.probe_state)
    if state == ProbeState.NONE:
        return None
    if (delay := delay_of(row)) is not None:
        words = __("Came back after %(seconds)d s") % {"seconds": delay.total_seconds()}
        return Probe(words, PROBE_KIND[ProbeState.BACK])
    return Probe(state.label, PROBE_KIND[state])


def found_words(found: dict[str, str]) -> str:
    """What was learned on the way, as one line."""
    words = [found[name] for name in ("addresses", "connected", "tls") if name in found]
    if "certificate" in found:
        words.append(
            __("certificate for %(names)s, issued by %(issuer)s, valid until %(until)s")
            % {
                "names": found["certificate"],
                "issuer": found.get("issuer", "?"),
                "until": found.get("valid_until", "?").partition("T")[0],
            }
        )
    return "; ".join(words)
