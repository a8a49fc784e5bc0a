"""The note of the organization that this account synchronizes with (R6.60): a user configuration of the calendar
folder. It moves with the mailbox, no client shows it, and it is read by one request."""

from exchangelib import errors as codes
from lxml import etree

from mailboxes.protocols.ews import configurations, messages
from mailboxes.protocols.ews.conversation import Conversation
from mailboxes.protocols.ews.faults import xml_of
from mailboxes.protocols.ews.operations import clean, timestamp
from mailboxes.protocols.items import Marker
from mailboxes.protocols.phases import Phase

NAME = "ServersyncOrganization"


def read(talk: Conversation) -> Marker | None:
    """Also None for a note that nobody can read any more."""
    content = _stored(talk)
    return None if content is None else _marker(content)


def _stored(talk: Conversation) -> bytes | None:
    """None: there is none. b"": there is one that nobody can read."""
    try:
        return configurations.read(talk, NAME)
    except codes.EWSError as refusal:
        raise talk.error(refusal, Phase.LIST) from refusal
    except configurations.Unreadable:
        return b""


def _marker(content: bytes) -> Marker | None:
    root = xml_of(content) if content else None
    organization = "" if root is None else root.get("id") or ""
    if root is None or not organization:
        return None
    at = messages.moment(root.get("synced") or "")
    return Marker(organization, root.get("name") or "", at)


def write(talk: Conversation, marker: Marker) -> None:
    """Raises ActionRefused."""
    configurations.write(talk, NAME, _document(marker), new=_stored(talk) is None)


def _document(marker: Marker) -> bytes:
    root = etree.Element("organization", id=clean(marker.organization), name=clean(marker.name))
    if marker.synced_at is not None:
        root.set("synced", timestamp(marker.synced_at))
    document: bytes = etree.tostring(root, xml_declaration=True, encoding="utf-8")
    return document
