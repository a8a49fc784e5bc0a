"""How the console's templates write times, states and rules."""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django import template
from django.urls import reverse
from django.utils.html import conditional_escape, format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext_lazy as _

from mailboxes import screens
from mailboxes.protocols.base import ActionKind
from serversync.actions import FILE_SENT
from serversync.choices import ItemState, counted_as
from serversync.console import foldernames, importing, reasons, rules
from tracking.telling import dropped_because

register = template.Library()

_RULE = re.compile(r"\bR\d{1,2}\.\d{1,2}[a-z]?\b")

#: How the states of the ledger look.
STATE_KIND = {
    ItemState.TRACKED: "good",
    ItemState.REJECTED: "quiet",
    ItemState.DUPLICATE: "quiet",
    ItemState.SKIPPED: "quiet",
    ItemState.QUARANTINED: "bad",
    ItemState.RETRYING: "warn",
    ItemState.GONE: "quiet",
}

#: Server actions, by their kind.
DEED_WORDS = {
    ActionKind.DELETE: _("delete"),
    ActionKind.MOVE: _("move to “%(argument)s”"),
    ActionKind.MARK: _("mark with “%(argument)s”"),
    ActionKind.UNMARK: _("take off “%(argument)s”"),
    ActionKind.SEEN: _("mark as read"),
    FILE_SENT: _("file a copy in sent items"),
}


@register.filter
def moment(when: datetime | None) -> SafeString | str:
    return screens.moment(when)


@register.filter
def size(octets: int | None) -> str:
    return screens.bytes_in_words(octets or 0)


@register.filter
def visible(name: Any) -> str:
    """A stranger's file name without what turns its letters round or hides them: "exe.txt" is no text
    if the letters before it run backwards."""
    return "".join(letter for letter in str(name or "") if letter.isprintable())


@register.filter
def left_out_because(file: Mapping[str, Any]) -> str:
    """Of an entry of Email.dropped_attachments."""
    return dropped_because(str(file.get("reason") or ""), str(file.get("type") or ""))


@register.simple_tag
def badge(words: Any, kind: str) -> SafeString:
    return screens.badge(words, kind)


@register.filter
def item_state(item: Any) -> SafeString:
    return screens.badge(item.get_state_display(), STATE_KIND.get(item.state, "quiet"))


@register.filter
def reason(item: Any) -> str:
    """Why an item ended in its state, in words."""
    return reasons.words_of(item.reason, item.sub_reason)


@register.simple_tag
def import_page(opts: Any, user: Any) -> str:
    """Where files of this list's records are brought; "" where the reader can't, or there is none."""
    return importing.page_of(opts.model, user)


@register.simple_tag
def folder_names(mailbox: Any) -> foldernames.Names:
    return foldernames.folder_names(mailbox)


@register.filter
def folder_name(folder: str, names: foldernames.Names) -> str:
    return foldernames.folder_name(folder, names)


@register.filter
def folder_of(item: Any) -> str:
    return foldernames.folder_of(item)


@register.filter
def deed_words(action: Any, names: foldernames.Names) -> str:
    """What was to be done on the server: "move to Undeliverable"."""
    words = DEED_WORDS.get(action.kind)
    if words is None:
        return f"{action.kind} {action.argument}".strip()
    return str(words) % {"argument": foldernames.folder_name(action.argument, names)}


@register.filter
def counts(by_state: Mapping[str, int] | None) -> SafeString | str:
    """ "3 tracked · 1 rejected" in the words of the ledger."""
    if not by_state:
        return screens.EMPTY
    return format_html_join(
        " · ",
        "{} {}",
        ((number, counted_as(state)) for state, number in by_state.items() if number),
    )


@register.filter
def took(cycle: Any) -> str:
    """How long a cycle lasted."""
    span = cycle.mailbox_process_completed_on - cycle.mailbox_process_started_on
    seconds = span.total_seconds()
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"


@register.filter
def with_rules(text: Any) -> SafeString:
    """The text with its rule numbers as links to what they say."""
    return mark_safe(_RULE.sub(lambda match: rule_link(match.group()), conditional_escape(text)))


def rule_link(number: str) -> str:
    if not rules.known(number):
        return number
    return format_html('<a href="{}">{}</a>', f"{reverse('admin:rules')}#{number}", number)
