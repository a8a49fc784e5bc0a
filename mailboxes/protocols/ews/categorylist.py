"""The list of categories where Exchange keeps it: a user configuration of the calendar folder."""

from exchangelib import errors as codes

from mailboxes.protocols.base import Category
from mailboxes.protocols.errors import ActionRefused
from mailboxes.protocols.ews import categories, configurations
from mailboxes.protocols.ews.conversation import Conversation
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
    configurations.write(talk, NAME, changed, new=stored is None)
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
    configurations.write(talk, NAME, changed, new=False)


def _read(talk: Conversation) -> bytes | None:
    """None: the mailbox has no list yet. b"": there is one without a document."""
    try:
        return configurations.read(talk, NAME)
    except codes.EWSError as refusal:
        raise talk.action_error(refusal) from refusal
    except configurations.Unreadable as error:
        raise ActionRefused("the list of categories is no base64", phase=Phase.APPLY) from error
