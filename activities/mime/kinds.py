"""What sort of mail a message is: both parsers end here."""

from dataclasses import replace

from activities.mime.message import MessageKind, ParsedMessage
from activities.mime.reply import is_reply_subject
from activities.mime.reporting import OF_DELIVERY, Verdict, reported
from activities.mime.signs import Signs, read_signs
from activities.mime.structure import Fields, Part

_PUBLISH = "PUBLISH"


def with_kind(message: ParsedMessage, fields: Fields, root: Part) -> ParsedMessage:
    kind, report = judge(message, fields, root)
    if kind is MessageKind.ORDINARY:
        return message
    return replace(message, kind=kind, report=report)


def judge(message: ParsedMessage, fields: Fields, root: Part) -> Verdict:
    """The first that fits, in the order of MessageKind."""
    if _is_calendar(message, root):
        return MessageKind.CALENDAR, None
    signs = read_signs(fields, message.senders, message.subject, message.text)
    verdict = reported(message, signs, root)
    if verdict:
        return verdict
    answers = bool(message.in_reply_to or message.references)
    if _is_automatic(message, signs, answers=answers):
        return MessageKind.AUTO_REPLY, None
    if signs.listed or (signs.bulk and not answers):
        return MessageKind.LIST, None
    if answers or is_reply_subject(message.subject):
        return MessageKind.REPLY, None
    return MessageKind.ORDINARY, None


def _is_calendar(message: ParsedMessage, root: Part) -> bool:
    """A published event that comes beside a text is something to read, not traffic."""
    if message.calendar_method == _PUBLISH:
        return root.content_type == "text/calendar"
    return bool(message.calendar_method)


def _is_automatic(message: ParsedMessage, signs: Signs, *, answers: bool) -> bool:
    """No mail program sends a person's answer, or mail to many, from the empty address."""
    if signs.automatic or signs.seems_automatic or message.report_type not in OF_DELIVERY:
        return True
    return signs.null_path and (answers or signs.bulk or signs.server or signs.nobody)
