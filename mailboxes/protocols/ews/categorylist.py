"""The list of categories where Exchange keeps it: a user configuration of the calendar folder."""

import base64
import binascii

from exchangelib import errors as codes

from mailboxes.protocols.base import Category
from mailboxes.protocols.errors import ActionRefused
from mailboxes.protocols.ews import categories
from mailboxes.protocols.ews.conversation import Conversation
from mailboxes.protocols.ews.operations import (
    CreateUserConfiguration,
    Element,
    GetUserConfiguration,
    M,
    Operation,
    T,
    UpdateUserConfiguration,
    message_space,
    type_space,
)
from mailboxes.protocols.phases import Phase

NAME = "CategoryList"


def ensure(talk: Conversation, wanted: Category) -> Category:
    """Raises ActionRefused, also for a list that is not what it should be: it is the user's, so it
    is left as it is."""
    stored = _read(talk)
    document = stored or categories.EMPTY
    try:
        found = categories.find(document, wanted)
        if found is not None:
            return found
        changed = categories.add(document, wanted)
    except categories.Unreadable as error:
        raise ActionRefused(str(error), phase=Phase.APPLY) from error
    _write(
        talk, UpdateUserConfiguration if stored is not None else CreateUserConfiguration, changed
    )
    return Category(categories.bare(wanted.id), wanted.name)


def drop(talk: Conversation, category_id: str) -> None:
    document = _read(talk)
    if not document:
        return
    try:
        if all(each.guid != categories.bare(category_id) for each in categories.entries(document)):
            return
        changed = categories.remove(document, category_id)
    except categories.Unreadable as error:
        raise ActionRefused(str(error), phase=Phase.APPLY) from error
    _write(talk, UpdateUserConfiguration, changed)


def _read(talk: Conversation) -> bytes | None:
    """None: the mailbox has no list yet. b"": there is one without a document."""
    answer = talk.ask_one(
        Phase.LIST,
        GetUserConfiguration,
        M.UserConfigurationName(talk.distinguished("calendar"), Name=NAME),
        M.UserConfigurationProperties("XmlData"),
    )
    if isinstance(answer, codes.ErrorItemNotFound):
        return None
    if isinstance(answer, codes.EWSError):
        raise talk.action_error(answer)
    path = f"{message_space}UserConfiguration/{type_space}XmlData"
    try:
        return base64.b64decode(answer.findtext(path) or "")
    except (binascii.Error, ValueError) as error:
        raise ActionRefused("the list of categories is no base64", phase=Phase.APPLY) from error


def _write(talk: Conversation, operation: type[Operation], document: bytes) -> None:
    answer = talk.ask_one(Phase.APPLY, operation, _configuration(talk, document))
    if isinstance(answer, codes.EWSError):
        raise talk.action_error(answer)


def _configuration(talk: Conversation, document: bytes) -> Element:
    return M.UserConfiguration(
        T.UserConfigurationName(talk.distinguished("calendar"), Name=NAME),
        T.XmlData(base64.b64encode(document).decode()),
    )
