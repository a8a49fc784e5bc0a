"""Templates and signatures for whoever writes: which may be used, and what their names stand for."""

from typing import Any

from django.db.models import QuerySet

from activities.html import html_of, text_of
from activities.mime.message import Address
from activities.models import EmailSignature, Incident, Template, TemplateFor
from activities.wording import Worded, word
from mailboxes import access
from mailboxes.models import Organization, Queue, SystemUser
from tracking.addresses import look_up
from tracking.names import name_of
from tracking.records import record_of
from tracking.resolution import resolve_sender

Sender = SystemUser | Queue
_BREAK = "<br>\n"  # as html_of makes it


def templates_for(actor: Any) -> "QuerySet[Template]":
    """Own ones, and those that are for all."""
    return access.visible_to(actor, Template.objects.all(), "view").order_by("title")


def worded(
    template: Template, *, actor: Any, sender: Sender, to: Address | None, regarding: Any
) -> Worded:
    """The template for this email. Names of a case stay empty where it is about none, and whom the actor
    can't see isn't named."""
    return word(template.subject, template.body, _values(sender, to, regarding, actor))


def signature_of(actor: SystemUser) -> str:
    """The HTML of the writer's default signature, "" if there is none."""
    own = EmailSignature.objects.filter(owning_user=actor, is_default=True).first()
    return word("", own.body, _values(actor, None, None, actor)).html if own is not None else ""


def below(html: str) -> str:
    """A signature as it stands below an empty body."""
    return f"{_BREAK}{_BREAK}{html}" if html else ""


def as_typed(html: str) -> tuple[str, bool]:
    """The text for a box that people type in, and whether it is HTML source: only what would lose
    nothing is shown as plain text."""
    breaks = 0
    while html.startswith(_BREAK, breaks * len(_BREAK)):
        breaks += 1
    rest = html[breaks * len(_BREAK) :]
    plain = "\n" * breaks + (text_of(rest) if rest.strip() else "")
    return (plain, False) if html_of(plain) == html else (html, True)


def _values(sender: Sender, to: Address | None, regarding: Any, actor: Any) -> dict[str, str]:
    values = {
        "sender.name": str(sender),
        "sender.address": sender.email_address
        if isinstance(sender, Queue)
        else sender.internal_email_address,
        "regarding.name": str(regarding) if regarding is not None else "",
        "organization.name": Organization.objects.current().name,
    }
    if to is not None:
        match = resolve_sender(to, look_up([to.key])).match
        in_sight = match is not None and record_of(f"{match.kind}:{match.id}", actor) is not None
        shown = match.name if match is not None and in_sight else to.name
        name = name_of(shown, to.address)
        values |= {
            "recipient.name": shown or name.full,
            "recipient.first_name": name.first,
            "recipient.last_name": name.last,
            "recipient.address": to.address,
        }
    if isinstance(regarding, Incident):
        values |= {
            "case.title": regarding.title,
            "case.number": regarding.ticket_number,
            "case.customer": str(regarding.customer),
        }
    return values


def is_for_cases(template: Template) -> bool:
    return template.template_type_code == TemplateFor.CASE
