"""What tests of the wizard share: its addresses, and what it said."""

from django.contrib.messages import get_messages
from django.urls import reverse


def url(step: str, key) -> str:
    """Of a step for a profile, or for the key of one that is still to be made."""
    return reverse(f"admin:wizard_{step}", args=[getattr(key, "pk", key)])


def said(answer) -> str:
    return " | ".join(str(message) for message in get_messages(answer.wsgi_request))
