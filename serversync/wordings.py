"""Templates and signatures for whoever writes: which may be used, and what their names stand for.

Nothing gets into an e-mail that its writer may not see: records are looked up within his sight.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from django.db.models import Q, QuerySet

from activities.html import html_of, text_of
from activities.mime.message import Address
from activities.models import EmailSignature, Incident, Template, TemplateFor
from activities.wording import Worded, fields_for, word
from mailboxes import access
from mailboxes.models import Organization, Queue, SystemUser
from tracking.addresses import look_up
from tracking.names import name_of
from tracking.records import record_of
from tracking.resolution import resolve_sender

Sender = SystemUser | Queue
_BREAK = "<br>\n"  # as html_of makes it
_EMAILS = ("email_address1", "email_address")
_PHONES = ("telephone1", "mobile_phone")


@dataclass(frozen=True, slots=True)
class Inserted:
    """What came of a template. `empty`: what stayed empty, in words. `lacks_case`: it is one for cases,
    and the email is about none."""

    empty: tuple[str, ...] = ()
    lacks_case: bool = False


# -- templates -----------------------------------------------------------------------------------


def templates_for(actor: Any) -> "QuerySet[Template]":
    """Own ones, and those that are for all."""
    return access.visible_to(actor, Template.objects.all(), "view").order_by("title")


def worded(
    template: Template, *, actor: Any, sender: Sender, to: Address | None, regarding: Any
) -> Worded:
    """The template for this email. Names of a case stay empty where it is about none, and whom the actor
    can't see isn't named."""
    return word(template.subject, template.body, _values(sender, to, regarding, actor))


def insert_template(
    template: Template,
    typed: dict[str, Any],
    *,
    actor: Any,
    sender: Sender,
    to: Address | None,
    regarding: Any,
) -> Inserted:
    """Change what was typed: the template's text goes before it, its subject where none was."""
    made = worded(template, actor=actor, sender=sender, to=to, regarding=regarding)
    typed["subject"] = typed["subject"] or made.subject
    typed["body"], typed["is_html"] = as_typed(f"{made.html}{_html_of(typed)}")
    kind = template.template_type_code
    lacks_case = kind == TemplateFor.CASE and not isinstance(regarding, Incident)
    return Inserted(in_words(made.empty, kind), lacks_case)


def address_of_record(record: Any) -> Address | None:
    """Whom an email about this record would go to."""
    address = _first(record, _EMAILS)
    return Address(address, str(record)) if address else None


def in_words(names: Iterable[str], kind: str) -> tuple[str, ...]:
    """What these names of a template stand for."""
    known = fields_for(kind)
    return tuple(f"{known.get(name, name)} ({{{{ {name} }}}})" for name in names)


# -- signatures ----------------------------------------------------------------------------------


def signatures_for(actor: Any) -> "QuerySet[EmailSignature]":
    """Own ones, those for all, and those of queues that one may write as."""
    return access.visible_to(actor, EmailSignature.objects.all(), "view").order_by("title")


def signature_of(actor: SystemUser, sender: Sender | None = None) -> str:
    """The HTML of the default signature: that of the queue that it is written as, else that of whoever
    writes; "" if there is none."""
    own = Q(owning_user=actor, queue__isnull=True)
    wanted = own | Q(queue=sender) if isinstance(sender, Queue) else own
    found = list(EmailSignature.objects.filter(wanted, is_default=True))
    found.sort(key=lambda each: each.queue_id is None)
    return _signed(found[0], sender or actor, actor) if found else ""


def put_signature(
    chosen: EmailSignature | None,
    typed: dict[str, Any],
    *,
    actor: SystemUser,
    sender: Sender,
    known: Iterable[EmailSignature],
) -> None:
    """Change what was typed: the chosen one stands at its end, in place of the one that stood there."""
    text = _html_of(typed)
    standing = [_signed(each, who, actor) for each in known for who in (sender, actor)]
    for html in sorted(filter(None, standing), key=len, reverse=True):
        if text.endswith(html):
            text = text.removesuffix(html).removesuffix(_BREAK).removesuffix(_BREAK)
            break
    new = below(_signed(chosen, sender, actor)) if chosen is not None else ""
    typed["body"], typed["is_html"] = as_typed(f"{text}{new}")


def _signed(signature: EmailSignature, sender: Sender, actor: SystemUser) -> str:
    return word("", signature.body, _values(sender, None, None, actor)).html


def _html_of(typed: dict[str, Any]) -> str:
    """The text of the box as HTML."""
    text = str(typed["body"] or "").replace("\r\n", "\n")
    return text if typed["is_html"] else html_of(text)


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


# -- what names stand for ------------------------------------------------------------------------


def _values(sender: Sender, to: Address | None, regarding: Any, actor: Any) -> dict[str, str]:
    shown = regarding if _in_sight(regarding, actor) else None
    return {
        "sender.name": str(sender),
        "sender.address": sender.email_address
        if isinstance(sender, Queue)
        else sender.internal_email_address,
        "organization.name": Organization.objects.current().name,
        **dict(_of_recipient(to, actor)),
        **dict(_of_regarding(shown)),
        **dict(_of_case(shown, actor)),
    }


def _of_recipient(to: Address | None, actor: Any) -> Iterator[tuple[str, str]]:
    if to is None:
        return
    match = resolve_sender(to, look_up([to.key])).match
    in_sight = match is not None and record_of(f"{match.kind}:{match.id}", actor) is not None
    shown = match.name if match is not None and in_sight else to.name
    name = name_of(shown, to.address)
    yield "recipient.name", shown or name.full
    yield "recipient.first_name", name.first
    yield "recipient.last_name", name.last
    yield "recipient.address", to.address


def _of_regarding(record: Any) -> Iterator[tuple[str, str]]:
    """Of any model, as far as it has such columns."""
    if record is None:
        return
    yield "regarding.name", str(record)
    yield "regarding.email", _first(record, _EMAILS)
    yield "regarding.phone", _first(record, _PHONES)
    yield "regarding.owner", str(getattr(record, "owner", None) or "")


def _of_case(record: Any, actor: Any) -> Iterator[tuple[str, str]]:
    """A case may be in sight while its customer is not."""
    if not isinstance(record, Incident):
        return
    yield "case.title", record.title
    yield "case.number", record.ticket_number
    yield "case.customer", str(record.customer) if _in_sight(record.customer, actor) else ""


def _first(record: Any, columns: Iterable[str]) -> str:
    return next((str(found) for name in columns if (found := getattr(record, name, ""))), "")


def _in_sight(record: Any, actor: Any) -> bool:
    return record is not None and access.may(actor, "view", record)
