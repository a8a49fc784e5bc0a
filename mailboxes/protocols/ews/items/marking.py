"""The note of the organization that this account synchronizes with (R6.60): a user configuration of the calendar
folder. It moves with the mailbox, no client shows it, and it is read by one request."""

import base64
import binascii

from exchangelib import errors as codes
from lxml import etree

from mailboxes.protocols.ews import messages
from mailboxes.protocols.ews.conversation import Conversation
from mailboxes.protocols.ews.faults import xml_of
from mailboxes.protocols.ews.operations import (
    CreateUserConfiguration,
    Element,
    GetUserConfiguration,
    M,
    T,
    UpdateUserConfiguration,
    clean,
    message_space,
    timestamp,
    type_space,
)
from mailboxes.protocols.items import Marker
from mailboxes.protocols.phases import Phase

NAME = "ServersyncOrganization"


def read(talk: Conversation) -> Marker | None:
    """Also None for a note that nobody can read any more."""
    content = _stored(talk)
    return None if content is None else _marker(content)


def _stored(talk: Conversation) -> bytes | None:
    """None: there is none."""
    answer = talk.ask_one(
        Phase.LIST,
        GetUserConfiguration,
        M.UserConfigurationName(talk.distinguished("calendar"), Name=NAME),
        M.UserConfigurationProperties("XmlData"),
    )
    if isinstance(answer, codes.ErrorItemNotFound):
        return None
    if isinstance(answer, codes.EWSError):
        raise talk.error(answer, Phase.LIST) from answer
    path = f"{message_space}UserConfiguration/{type_space}XmlData"
    try:
        return base64.b64decode(answer.findtext(path) or "")
    except (binascii.Error, ValueError):
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
    operation = CreateUserConfiguration if _stored(talk) is None else UpdateUserConfiguration
    answer = talk.ask_one(Phase.APPLY, operation, _configuration(talk, marker))
    if isinstance(answer, codes.EWSError):
        raise talk.action_error(answer)


def _configuration(talk: Conversation, marker: Marker) -> Element:
    root = etree.Element("organization", id=clean(marker.organization), name=clean(marker.name))
    if marker.synced_at is not None:
        root.set("synced", timestamp(marker.synced_at))
    document = etree.tostring(root, xml_declaration=True, encoding="utf-8")
    return M.UserConfiguration(
        T.UserConfigurationName(talk.distinguished("calendar"), Name=NAME),
        T.XmlData(base64.b64encode(document).decode()),
    )
