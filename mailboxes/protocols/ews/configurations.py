"""User configurations of the calendar folder: documents that no client shows, and that move with the mailbox."""

import base64
import binascii

from exchangelib import errors as codes

from mailboxes.protocols.ews.conversation import Conversation
from mailboxes.protocols.ews.operations import (
    CreateUserConfiguration,
    Element,
    GetUserConfiguration,
    M,
    T,
    UpdateUserConfiguration,
    message_space,
    type_space,
)
from mailboxes.protocols.phases import Phase

_XML = f"{message_space}UserConfiguration/{type_space}XmlData"


class Unreadable(ValueError):
    """What stands there is no base64."""


def read(talk: Conversation, name: str) -> bytes | None:
    """None: there is none. b"": there is one without a document. Raises Unreadable, and an EWSError where the
    server refuses."""
    answer = talk.ask_one(
        Phase.LIST,
        GetUserConfiguration,
        M.UserConfigurationName(talk.distinguished("calendar"), Name=name),
        M.UserConfigurationProperties("XmlData"),
    )
    if isinstance(answer, codes.ErrorItemNotFound):
        return None
    if isinstance(answer, codes.EWSError):
        raise answer
    try:
        return base64.b64decode(answer.findtext(_XML) or "")
    except (binascii.Error, ValueError) as error:
        raise Unreadable(f"{name} is no base64") from error


def write(talk: Conversation, name: str, document: bytes, *, new: bool) -> None:
    """`new`: there is none yet. Raises ActionRefused."""
    operation = CreateUserConfiguration if new else UpdateUserConfiguration
    answer = talk.ask_one(Phase.APPLY, operation, _configuration(talk, name, document))
    if isinstance(answer, codes.EWSError):
        raise talk.action_error(answer)


def _configuration(talk: Conversation, name: str, document: bytes) -> Element:
    return M.UserConfiguration(
        T.UserConfigurationName(talk.distinguished("calendar"), Name=name),
        T.XmlData(base64.b64encode(document).decode()),
    )
