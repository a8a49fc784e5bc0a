"""Links to records of any kind."""

from typing import Any

from django.contrib.contenttypes.models import ContentType
from django.urls import NoReverseMatch, reverse
from django.utils.safestring import SafeString

from mailboxes.screens import EMPTY, link

SUBJECT_SHOWN = 120  # of up to 800 characters, which would fill a screen


def record_link(kind: ContentType | None, key: str, words: Any = None) -> SafeString | str:
    """A link to any record that has a screen; its words where it has none."""
    if kind is None or not key:
        return words or EMPTY
    words = words or kind.name
    try:
        return link(reverse(f"admin:{kind.app_label}_{kind.model}_change", args=[key]), words)
    except NoReverseMatch:
        return str(words)
