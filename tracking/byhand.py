"""PURE  what a person asked for by hand, as data beside a decision, and as sentences (R3.18, R7.13).
What a replay decided anew says so in the same way.

`by_hand` in the trace of an item, or in the decision of an email, says who asked for what and when. While
it waits for the next cycle it also says what the item `was`.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _

from tracking import stored
from tracking.telling import Sentence, sentences, summary
from tracking.trace import UNTRACKED, without_personal

BY_HAND = "by_hand"
REPLAYED = "replayed"  # by whom, when and by which replay a decision was replaced
TRACK = "track"
REPLAY = "replay"
UNLINK = "unlink"
DELETE = "delete"

Data = Mapping[str, Any]


def asked(what: str, who: Any, now: datetime, **more: Any) -> dict[str, Any]:
    """As it is kept. `more`: the record to file it under, what the item was."""
    by = {"id": str(who.pk), "name": str(who)[:200]}
    given = {key: value for key, value in more.items() if value}
    return {"what": what, "by": by, "at": now.isoformat(), **given}


def settled(data: Data) -> dict[str, Any]:
    """The same once the item was judged, whatever came of it."""
    return {key: value for key, value in data.items() if key != "was"}


def of(trace: Data) -> dict[str, Any]:
    """What was asked for, {} for nothing."""
    found = trace.get(BY_HAND)
    return dict(found) if isinstance(found, Mapping) else {}


def is_quiet(data: Data) -> bool:
    """Nobody gets an answer to what a replay brought up again."""
    return data.get("what") == REPLAY


def blanked(trace: Data) -> dict[str, Any]:
    """What may stay of it when the retention ends (R3.73): also by which replay it was decided, for that
    can be undone."""
    kept = {REPLAYED: trace[REPLAYED]} if REPLAYED in trace else {}
    if is_quiet(request := of(trace)):
        kept[BY_HAND] = request
    return {**without_personal(trace), **kept}


def is_waiting(trace: Data) -> bool:
    return "was" in of(trace)


def sentences_of(trace: Data) -> list[Sentence]:
    """What a person asked for, then the decision. Translated when called."""
    if not of(trace):
        return [*about_request(trace), *sentences(trace)] if trace else []
    return [*headline_of(trace), *sentences(before(trace))[1:]]


def headline_of(trace: Data) -> list[Sentence]:
    """The same in short: the request, and the whole decision in one line."""
    if trace.get("reason") == UNTRACKED and of(trace):
        return about_request(trace)  # the line speaks of the category
    return [*about_request(trace), summary(before(trace))]


def before(trace: Data) -> Data:
    """The decision that stands until the next cycle looks at what was asked for."""
    return {**trace, **stored.map_of(of(trace), "was")}


def about_request(trace: Data) -> list[Sentence]:
    """What a person asked for, and no word of the decision."""
    told = of(trace)
    return [*([_first(told), *_filed(told)] if told else []), *_replayed(trace)]


def _first(told: Data) -> Sentence:
    values, what = _asked_by(told), told.get("what")
    if what == UNLINK:
        text = _("Untracked by hand: %(who)s unlinked this copy on %(when)s. The email stays here.")
        return Sentence(text % values, "R7.13")
    if what == DELETE:
        text = _("Untracked by hand: %(who)s deleted the email here on %(when)s.")
        return Sentence(text % values, "R7.13")
    if what == REPLAY and "was" in told:
        text = _(
            "A replay that %(who)s applied on %(when)s wants it. The next cycle fetches it again; until"
            " then what was decided before stands below."
        )
        return Sentence(text % values, "R8.33")
    if what == REPLAY:
        return _replayed_by(told)
    if "was" in told:
        text = _(
            "%(who)s asked on %(when)s to track it all the same. The next cycle fetches it again; until"
            " then what was decided before stands below."
        )
        return Sentence(text % values, "R3.18")
    return Sentence(_("%(who)s asked on %(when)s to track it all the same.") % values, "R3.18")


def _asked_by(told: Data) -> dict[str, str]:
    who = stored.text(stored.map_of(told, "by"), "name")
    return {"who": who or "?", "when": _moment(told.get("at"))}


def _replayed(trace: Data) -> list[Sentence]:
    told = trace.get(REPLAYED)
    return [_replayed_by(told)] if isinstance(told, Mapping) else []


def _replayed_by(told: Data) -> Sentence:
    values = _asked_by(told)
    text = _("Decided again by a replay that %(who)s applied on %(when)s.")
    return Sentence(text % values, "R8.33")


def _filed(told: Data) -> list[Sentence]:
    """Not which record: not everybody who may read this may see it."""
    if not told.get("record"):
        return []
    return [Sentence(_("The record to file it under was chosen, too."), "R7.10")]


def _moment(text: Any) -> str:
    try:
        when = datetime.fromisoformat(str(text))
    except ValueError:
        return "?"
    return date_format(timezone.localtime(when), "SHORT_DATETIME_FORMAT")
