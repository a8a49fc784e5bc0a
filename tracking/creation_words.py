"""What mail made, and what not, as stored data and as sentences. `tracking.trace` puts them in their place."""

from collections.abc import Iterator, Mapping
from typing import Any

from django.apps import apps
from django.utils.translation import gettext as _

from tracking.creation import Creation, Said, Why

Line = tuple[str, str]  # a sentence and its rule


def data_of(creation: Creation) -> list[dict[str, Any]]:
    return [
        {"said": note.said.value, "why": note.why.value, **_short(note.about)}
        for note in creation.notes
    ]


def _short(about: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value[:200] if isinstance(value, str) else value for key, value in about.items()}


def lines_of(notes: Any) -> Iterator[Line]:
    """Of whatever was stored; what nobody understands any more is left unsaid."""
    for note in notes if isinstance(notes, list) else ():
        if isinstance(note, Mapping) and (line := _line(note)):
            yield line


def _line(note: Mapping[str, Any]) -> Line | None:
    tell = {
        Said.PERSON: _person,
        Said.NO_PERSON: _no_person,
        Said.CASE: _case,
        Said.NO_CASE: _no_case,
        Said.ANSWER: _answer,
        Said.NO_ANSWER: _no_answer,
    }.get(str(note.get("said", "")))  # type: ignore[call-overload]
    return tell(note) if tell else None


def _values(note: Mapping[str, Any]) -> dict[str, Any]:
    """Everything a sentence may name, so that none fails for what is missing."""
    names = (
        *("rule", "queue", "item", "name", "case", "owner", "permission", "address", "who"),
        *("count", "kind"),
    )
    return {name: note.get(name, "") for name in names} | {"kind": kind_of(note.get("kind"))}


def kind_of(label: Any) -> str:
    try:
        return str(apps.get_model(str(label))._meta.verbose_name)
    except (LookupError, ValueError):
        return str(label or "")


def _person(note: Mapping[str, Any]) -> Line:
    if note.get("why") == Why.RULE:
        text = _("Made: %(kind)s %(name)s of the unknown sender, as the rule %(who)s wants it.")
        return text % _values(note), "R3.59"
    text = _(
        "Made: %(kind)s %(name)s of the unknown sender, as the personal options of %(who)s say."
    )
    return text % _values(note), "R3.57"


def _no_person(note: Mapping[str, Any]) -> Line:
    if note.get("why") == Why.LEAD_BESIDE_RULE:
        text = _(
            "No lead was made of the sender: in a queue with a rule the options of its owner, %(owner)s, "
            "make contacts only."
        )
        return text % _values(note), "R3.59"
    text = _("No record was made of the sender: %(because)s.")
    return text % {"because": _because(note)}, "R3.57"


def _case(note: Mapping[str, Any]) -> Line:
    text = _(
        "Made: case %(case)s by the rule %(rule)s of queue %(queue)s, item %(item)s, “%(name)s”. The email"
        " leaves the queue."
    )
    return text % _values(note), "R3.59"


def _no_case(note: Mapping[str, Any]) -> Line:
    values = _values(note)
    if note.get("why") == Why.RELATED_OPEN:
        text = _("No case by the rule %(rule)s: it is about the open case %(case)s.")
        return text % values, "R3.59"
    if note.get("why") == Why.RELATED_SETTLED:
        text = _("No case by the rule %(rule)s: it goes to the settled case %(case)s.")
        return text % values, "R3.59"
    if note.get("why") == Why.RIGHTS:
        text = _(
            "No case by the rule %(rule)s: its owner, %(owner)s, lacks the permission %(permission)s."
        )
        return text % values, "R3.58"
    if note.get("why") == Why.NO_ITEM:
        return _("No case by the rule %(rule)s: none of its items holds.") % values, "R3.58"
    text = _("No case by the rule %(rule)s: %(because)s.")
    return text % {**values, "because": _because(note)}, "R3.59"


def _answer(note: Mapping[str, Any]) -> Line:
    return _("Answered automatically: to %(address)s.") % _values(note), "R3.59"


def _no_answer(note: Mapping[str, Any]) -> Line:
    text = _("No automatic answer: %(because)s.")
    return text % {"because": _because(note)}, "R3.59"


def _because(note: Mapping[str, Any]) -> str:
    texts = {
        Why.AUTOMATIC: _("no person wrote this mail"),
        Why.LIST: _("it came over a list or belongs to a calendar"),
        Why.OWN_MARK: _("it bears the mark of mail that this site sent itself"),
        Why.UNATTENDED: _("nobody reads what is sent to %(address)s"),
        Why.NULL_PATH: _("it came without a sender in its envelope, as bounces do"),
        Why.OWN_DOMAIN: _("its address belongs to a domain of this site"),
        Why.SWITCHED_OFF: _("the organization doesn't let personal options make records"),
        Why.UNKNOWN_SENDER: _("the sender is unknown"),
        Why.OWNER_DISABLED: _("its owner, %(owner)s, is disabled"),
        Why.SENDER_KIND: _("the sender is a %(kind)s, and customers are accounts or contacts"),
        Why.IGNORED_RECORD: _("an inactive record has this address"),
        Why.FOLDER: _("the folder that it lies in says where it is filed"),
        Why.ADDRESS_LIMIT: _("this address got %(count)s within a day"),
        Why.QUEUE_LIMIT: _("the queue %(queue)s sent %(count)s within an hour"),
        Why.HOUR_LIMIT: _(
            "%(count)s unknown senders became records by the same rule or options within an hour"
        ),
        Why.DAY_LIMIT: _(
            "%(count)s unknown senders became records by the same rule or options within a day"
        ),
        Why.UNWANTED: _("the sender doesn't want email"),
        Why.SUPPRESSED: _("it asks not to be answered automatically"),
        Why.TOO_LATE: _("the mail arrived more than %(count)s days before it was read"),
        Why.REPLAYED: _("a replay brought it up again, and a replay answers nobody"),
        Why.NO_OUTGOING: _("nothing can leave through the mailbox of queue %(queue)s"),
    }
    why = str(note.get("why", ""))
    text = texts.get(why)  # type: ignore[call-overload]
    return text % _values(note) if text else why
