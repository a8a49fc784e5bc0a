"""Attachments of one item (R6.34). Pictures inside a body are no files of their own."""

import base64
import binascii
from collections.abc import Callable, Sequence

from exchangelib import errors as codes

from mailboxes.protocols.errors import MessageGone, ServerError
from mailboxes.protocols.ews import messages
from mailboxes.protocols.ews.conversation import Conversation
from mailboxes.protocols.ews.items import outcomes, requests, shapes, values
from mailboxes.protocols.ews.items.fetching import item_of
from mailboxes.protocols.ews.operations import (
    Answer,
    Element,
    GetItem,
    M,
    T,
    clean,
    item_ids,
    message_space,
    shape,
    type_space,
)
from mailboxes.protocols.items import ItemFile, Outcome, WrittenItem
from mailboxes.protocols.phases import Phase

ATTACHED_MESSAGE = "message/rfc822"
UNKNOWN_TYPE = "application/octet-stream"
OFF_ALREADY = (codes.ErrorInvalidAttachmentId, codes.ErrorItemNotFound)


# -- reading ---------------------------------------------------------------------------------------


def files(
    talk: Conversation, identifier: str, wanted: Callable[[ItemFile], bool] | None = None
) -> list[ItemFile]:
    """Those over the limit of a fetch come without content."""
    item = _item(talk, identifier, "item:Attachments")
    found = [_listed(each) for each in item.iterfind(f"{type_space}Attachments/*")]
    listed = [each for each in found if each is not None]
    return [
        _with_content(talk, each) if wanted is None or wanted(each) else each for each in listed
    ]


def _item(talk: Conversation, identifier: str, *properties: str) -> Element:
    """Raises MessageError, MessageGone among them."""
    answer = talk.ask_one(
        Phase.FETCH, GetItem, shape("ItemShape", *properties), item_ids([identifier])
    )
    if isinstance(answer, codes.EWSError):
        raise talk.message_error(answer, Phase.FETCH)
    talk.check_item(Phase.FETCH, identifier, answer)
    item = item_of(answer)
    if item is None:
        raise MessageGone("the server answers without the item", phase=Phase.FETCH)
    return item


def _listed(each: Element) -> ItemFile | None:
    """None for a picture inside the body."""
    is_message = each.tag == f"{type_space}ItemAttachment"
    if values.flag(each, "IsInline"):
        return None
    name = messages.text(each, "Name") or "attachment"
    said = messages.text(each, "ContentType") or UNKNOWN_TYPE
    return ItemFile(
        f"{name}.eml" if is_message else name,
        ATTACHED_MESSAGE if is_message else said,
        values.number(each, "Size") or 0,
        messages.id_of(each, "AttachmentId"),
    )


def _with_content(talk: Conversation, file: ItemFile) -> ItemFile:
    if file.size > talk.options.max_fetch_bytes:
        return file
    answer = talk.ask_one(
        Phase.FETCH,
        requests.GetAttachment,
        M.AttachmentShape(T.IncludeMimeContent("true")),
        M.AttachmentIds(T.AttachmentId(Id=clean(file.id))),
    )
    if isinstance(answer, codes.EWSError):
        return file  # one that can't be had doesn't stop the others
    content = _content(answer)
    size = file.size if content is None else len(content)
    return ItemFile(file.name, file.content_type, size, file.id, content)


def _content(answer: Element) -> bytes | None:
    found = answer.find(f"{message_space}Attachments/*")
    if found is None:
        return None
    encoded = found.findtext(f"{type_space}Content")
    encoded = encoded or found.findtext(f"{type_space}*/{type_space}MimeContent") or ""
    try:
        return base64.b64decode(encoded)
    except (binascii.Error, ValueError):
        return None


# -- writing ---------------------------------------------------------------------------------------


def add(talk: Conversation, identifier: str, version: str, new: Sequence[ItemFile]) -> WrittenItem:
    """In one request, which tells nobody."""
    before = _version(talk, identifier)
    if isinstance(before, WrittenItem) or before != version or not new:
        return _unchanged(before, identifier, version)
    parent = M.ParentItemId(Id=clean(identifier), ChangeKey=clean(version))
    attached = M.Attachments(*(_attachment(each) for each in new))
    answers = _write(talk, requests.CreateAttachment, parent, attached)
    if isinstance(answers, WrittenItem):
        return answers
    return _outcome(talk, identifier, answers, f"{message_space}Attachments/*/*")


def _unchanged(before: WrittenItem | str, identifier: str, version: str) -> WrittenItem:
    if isinstance(before, WrittenItem):
        return before
    if before != version:
        return WrittenItem(Outcome.STALE)
    return WrittenItem(Outcome.DONE, identifier, version)


def _attachment(file: ItemFile) -> Element:
    return T.FileAttachment(
        T.Name(clean(file.name)),
        T.ContentType(clean(file.content_type or UNKNOWN_TYPE)),
        T.Content(base64.b64encode(file.content or b"").decode()),
    )


def remove(talk: Conversation, identifier: str, unwanted: Sequence[str]) -> WrittenItem:
    if unwanted:
        ids = M.AttachmentIds(*(T.AttachmentId(Id=clean(each)) for each in unwanted))
        answers = _write(talk, requests.DeleteAttachment, ids)
        if isinstance(answers, WrittenItem):
            return answers
        there = [each for each in answers if not isinstance(each, OFF_ALREADY)]
        if there:
            return _outcome(talk, identifier, there, f"{message_space}RootItemId")
    version = _version(talk, identifier)
    if isinstance(version, WrittenItem):
        return version
    return WrittenItem(Outcome.DONE, identifier, version)


def _version(talk: Conversation, identifier: str) -> WrittenItem | str:
    answer = talk.ask_one(Phase.APPLY, GetItem, shape("ItemShape"), item_ids([identifier]))
    if isinstance(answer, codes.EWSError):
        return outcomes.of_refusal(talk, answer)
    item = item_of(answer)
    return WrittenItem(Outcome.GONE) if item is None else shapes.version_of(item)


def _write(
    talk: Conversation, operation: type[requests.Once], *children: Element
) -> list[Answer] | WrittenItem:
    service = operation(account=talk.access.open())
    try:
        with talk.access.calling(Phase.APPLY, retry=False):
            return service.ask(*children)
    except ServerError as error:
        if not outcomes.nothing_was_done(error):
            return outcomes.unknown(error)
        if not error.server_code:
            raise
        return outcomes.refused(error)


def _outcome(
    talk: Conversation, identifier: str, answers: Sequence[Answer], path: str
) -> WrittenItem:
    """The item's version is told with each attachment. One that was refused is told for all."""
    version = ""
    for answer in answers:
        if isinstance(answer, codes.EWSError):
            return outcomes.of_refusal(talk, answer)
        found = answer.find(path)
        version = version if found is None else found.get("RootItemChangeKey") or version
    return WrittenItem(Outcome.DONE, identifier, version)
