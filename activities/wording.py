"""PURE  Templates: names in double braces, replaced by what the record says. Nothing else runs.

A value is text: it is escaped on its way into HTML, never read as a template again, and what comes out
is sanitised as mail from outside is. A name that nobody knows is refused when the template is saved.
"""

import re
from collections.abc import Container, Mapping
from dataclasses import dataclass
from html import escape

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from activities.html import sanitise

_FIELD = re.compile(r"\{\{([^{}]*)\}\}")
LONGEST_SUBJECT = 800

#: What any template may name.
GENERAL: dict[str, Promise] = {
    "recipient.name": _("name of the recipient"),
    "recipient.first_name": _("first name of the recipient"),
    "recipient.last_name": _("last name of the recipient"),
    "recipient.address": _("address of the recipient"),
    "sender.name": _("name of whoever sends it: user or queue"),
    "sender.address": _("address of whoever sends it"),
    "regarding.name": _("name of the record that it is filed under"),
    "regarding.email": _("its email address"),
    "regarding.phone": _("its telephone number"),
    "regarding.owner": _("its owner: user or team"),
    "organization.name": _("name of the organization"),
}
#: What templates for cases may name, too.
OF_CASES: dict[str, Promise] = {
    "case.title": _("title of the case"),
    "case.number": _("number of the case"),
    "case.customer": _("name of its customer"),
}


@dataclass(frozen=True, slots=True)
class Worded:
    """A template made into a message. `html` is fit to send. `empty`: the names in it that nobody had a
    value for."""

    subject: str
    html: str
    empty: tuple[str, ...] = ()


def fields_for(kind: str) -> dict[str, Promise]:
    """Name -> what it stands for. `kind`: a value of TemplateFor."""
    return {**GENERAL, **OF_CASES} if kind == "incident" else dict(GENERAL)


def unknown_fields(text: str, known: Container[str]) -> list[str]:
    """Names in braces that are none of these."""
    names = dict.fromkeys(name.strip() for name in _FIELD.findall(text))
    return [name for name in names if name not in known]


def word(subject: str, body: str, values: Mapping[str, str]) -> Worded:
    """Fields without a value leave nothing behind."""
    line = " ".join(_fill(subject, values).split())[:LONGEST_SUBJECT]
    escaped = {name: escape(value).replace("\n", "<br>") for name, value in values.items()}
    html = sanitise(_fill(body, escaped), {}, allow_remote=True).html
    return Worded(line, html, _without(f"{subject} {body}", values))


def _without(text: str, values: Mapping[str, str]) -> tuple[str, ...]:
    names = dict.fromkeys(name.strip() for name in _FIELD.findall(text))
    return tuple(name for name in names if name and not values.get(name))


def _fill(text: str, values: Mapping[str, str]) -> str:
    return _FIELD.sub(lambda found: values.get(found[1].strip(), ""), text)
