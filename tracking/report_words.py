"""PURE  What a report tells, as stored data and as sentences. `tracking.trace` puts them in their place."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext as _

from activities.choices import DeliveryResult, EmailKind
from activities.mime.message import ParsedMessage
from tracking.choices import ReportWay
from tracking.reports import About, Effect, news_of

RULE = "R5.21"
MOST_TOLD = 25

Line = tuple[str, str]  # a sentence and its rule


@dataclass(frozen=True, slots=True)
class Report:
    """A message that reports on another one, and what came of it. `effect` None: nothing is noted."""

    message: ParsedMessage
    about: About
    effect: Effect | None = None


def data_of(report: Report) -> dict[str, Any]:
    about = report.about
    news = news_of(report.message, about.email) if about.email else ()
    data = {
        "kind": report.message.kind.value,
        "by": about.way.value,
        "for": about.looked_for[:320],
        "of": about.of if about.of > 1 else None,
        "email": str(about.email.id) if about.email else None,
        "told": [
            {"address": one.address[:320], "result": int(one.result), "detail": one.detail[:200]}
            for one in news[:MOST_TOLD]
        ],
        "noted": report.effect is not None,
    }
    return {key: value for key, value in data.items() if value not in (None, "", [], False)}


def lines_of(report: Any) -> Iterator[Line]:
    """Of whatever was stored; what nobody understands any more is left unsaid."""
    if not isinstance(report, Mapping) or not (text := _found(report)):
        return
    yield text, RULE
    told = report.get("told")
    for one in told if isinstance(told, list) else ():
        if isinstance(one, Mapping) and (line := _told(one)):
            yield line, RULE
    if told:
        yield _noted(report), RULE


def _found(report: Mapping[str, Any]) -> str:
    texts = {
        ReportWay.MESSAGE_ID: _(
            "%(kind)s: it is about the email sent with the Message-ID %(for)s."
        ),
        ReportWay.HEADER: _(
            "%(kind)s: it returns subject, recipients and date of an email that was sent from here,"
            " “%(for)s”."
        ),
        ReportWay.RECIPIENT: _(
            "%(kind)s: it names no message, so it is taken for one about the newest email that was sent"
            " to %(for)s."
        ),
        ReportWay.NONE: _("%(kind)s: no email that was sent from here is known to be meant."),
    }
    text = texts.get(str(report.get("by", "")))  # type: ignore[call-overload]
    values = {"kind": _kind(report.get("kind")), "for": str(report.get("for") or "…")}
    return text % values if text else ""


def _kind(value: Any) -> str:
    return str(EmailKind(value).label) if value in EmailKind.values else str(value or _("Report"))


def _told(one: Mapping[str, Any]) -> str:
    result = one.get("result")
    if result not in DeliveryResult.values:
        return ""
    values = {
        "address": str(one.get("address") or "…"),
        "result": DeliveryResult(result).label,
        "detail": str(one.get("detail") or ""),
    }
    return (_("It tells of %(address)s: %(result)s. %(detail)s") % values).rstrip()


def _noted(report: Mapping[str, Any]) -> str:
    if report.get("noted"):
        return (
            _("That is noted on the email that was sent, whether this report is tracked or not.")
            if report.get("by") == ReportWay.MESSAGE_ID
            else _("That is noted on the email that was sent.")
        )
    if isinstance(report.get("of"), int):
        text = _("Nothing is noted: %(of)s emails might be meant.")
        return text % {"of": report["of"]}
    return _(
        "Nothing is noted: a report that names no message of ours counts only if it is tracked."
    )
