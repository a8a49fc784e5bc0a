"""Items whole: GetItem by ids, 100 a request; of series then those occurrences that aren't like the others."""

from collections.abc import Iterator, Mapping, Sequence

from exchangelib import errors as codes
from exchangelib.version import Build

from mailboxes.protocols.errors import MessageError, MessageUnreadable, ServerError
from mailboxes.protocols.ews import messages
from mailboxes.protocols.ews.conversation import IDS_PER_REQUEST, Conversation
from mailboxes.protocols.ews.items import outcomes, recurrences, shapes, times, values
from mailboxes.protocols.ews.items.paths import LINK, extended
from mailboxes.protocols.ews.operations import (
    Answer,
    Element,
    GetItem,
    M,
    T,
    in_parts,
    item_ids,
    message_space,
    type_space,
)
from mailboxes.protocols.fetching import LINE_FAULTS
from mailboxes.protocols.items import (
    FetchedItem,
    ItemKind,
    ServerItem,
    ServerOccurrence,
)
from mailboxes.protocols.phases import Phase

GONE = (codes.ErrorItemNotFound, codes.ErrorObjectTypeChanged)
OCCURRENCES = (ItemKind.APPOINTMENT,)
#: What a user who was invited may have answered.
INVITED = ("Tentative", "Accept", "Decline", "NoResponseReceived")
RECEIVED = 2  # bit of AppointmentState: an organizer's copy doesn't have it


def fetch(
    talk: Conversation, ids: Sequence[str], folders: Mapping[str, str]
) -> Iterator[FetchedItem]:
    """`folders`: our names of folders by their ids."""
    for part in in_parts(ids, IDS_PER_REQUEST):
        answers = whole_items(talk, list(dict.fromkeys(part)), tuple(ItemKind))
        reader = Reader(talk, folders, _exceptions(talk, answers))
        for identifier in part:
            yield reader.read(identifier, answers[identifier])


def whole_items(
    talk: Conversation, ids: Sequence[str], kinds: Sequence[ItemKind]
) -> dict[str, Answer]:
    """If the line breaks over several at once, they are asked for one by one, for some servers hang up over one
    item. If it breaks over two in a row, it isn't the items."""
    try:
        return _together(talk, ids, kinds)
    except LINE_FAULTS as fault:
        if fault.phase in outcomes.BEFORE:
            raise
    talk.access.drop()
    return _one_by_one(talk, ids, kinds)


def _one_by_one(
    talk: Conversation, ids: Sequence[str], kinds: Sequence[ItemKind]
) -> dict[str, Answer]:
    found: dict[str, Answer] = {}
    blamed = False
    for identifier in ids:
        try:
            found |= _together(talk, [identifier], kinds)
        except LINE_FAULTS as fault:
            if blamed or fault.phase in outcomes.BEFORE:
                raise
            found[identifier] = refusal_of(fault)
            blamed = True
        else:
            blamed = False
    return found


def refusal_of(fault: ServerError) -> codes.EWSError:
    refusal = codes.TransportError("the server failed while handing it out")
    refusal.__cause__ = fault
    return refusal


def _together(
    talk: Conversation, ids: Sequence[str], kinds: Sequence[ItemKind]
) -> dict[str, Answer]:
    def ask(part: Sequence[str]) -> list[Answer]:
        return talk.ask(Phase.FETCH, GetItem, _shape(talk, kinds), item_ids(part))

    answers = talk.ask_each(Phase.FETCH, ids, ask)
    if kinds != OCCURRENCES:  # whose ids differ by where they are told
        for identifier, answer in answers.items():
            talk.check_item(Phase.FETCH, identifier, answer)
    return answers


def _shape(talk: Conversation, kinds: Sequence[ItemKind]) -> Element:
    build: Build = talk.access.open().version.build
    return M.ItemShape(
        T.BaseShape("IdOnly"),
        T.BodyType("Text"),
        T.AdditionalProperties(*shapes.whole_shape(kinds, build)),
    )


def item_of(answer: Answer) -> Element | None:
    return None if isinstance(answer, codes.EWSError) else answer.find(f"{message_space}Items/*")


def _exceptions(talk: Conversation, answers: Mapping[str, Answer]) -> dict[str, Answer]:
    """By their ids, of all series among the answers."""
    ids: list[str] = []
    for answer in answers.values():
        item = item_of(answer)
        if item is not None and shapes.kind_of(item) is ItemKind.SERIES:
            ids += [messages.id_of(each) for each in modified(item)]
    found: dict[str, Answer] = {}
    for part in in_parts(list(dict.fromkeys(ids)), IDS_PER_REQUEST):
        found |= whole_items(talk, part, OCCURRENCES)
    return found


def modified(master: Element) -> list[Element]:
    return master.findall(f"{type_space}ModifiedOccurrences/{type_space}Occurrence")


def deleted(master: Element) -> list[Element]:
    return master.findall(f"{type_space}DeletedOccurrences/{type_space}DeletedOccurrence")


class Incomplete(ValueError):
    """A series of which something can't be had."""


class Reader:
    """Answers -> items. `exceptions`: answers about changed occurrences, by their ids."""

    def __init__(
        self, talk: Conversation, folders: Mapping[str, str], exceptions: Mapping[str, Answer]
    ) -> None:
        self._talk = talk
        self._folders = folders
        self._exceptions = exceptions

    def read(self, identifier: str, answer: Answer) -> FetchedItem:
        if isinstance(answer, GONE):
            return FetchedItem(identifier, None)
        if isinstance(answer, codes.EWSError):
            return FetchedItem(identifier, None, self._talk.message_error(answer, Phase.FETCH))
        item = item_of(answer)
        kind = None if item is None else shapes.kind_of(item)
        if item is None or kind is None:
            return FetchedItem(identifier, None, unreadable("no item of a kind that is known here"))
        try:
            return FetchedItem(identifier, self._whole(item, kind))
        except (recurrences.Unreadable, Incomplete) as error:
            return FetchedItem(identifier, None, unreadable(str(error)))

    def _whole(self, item: Element, kind: ItemKind) -> ServerItem:
        fields = shapes.read_fields(item, kind)
        if "when" in fields and fields["when"] is None:
            raise Incomplete("the server doesn't tell when it is")
        folder = messages.id_of(item, "ParentFolderId")
        meets = bool(fields.get("answers")) or values.flag(item, "IsMeeting")
        return ServerItem(
            id=messages.id_of(item),
            version=shapes.version_of(item),
            kind=kind,
            fields=fields,
            folder_id=self._folders.get(folder, folder),
            uid=shapes.uid_of(item),
            link=extended(item, LINK),
            is_organizer=not meets or not was_invited(item),
            is_meeting=meets,
            has_attachments=values.flag(item, "HasAttachments"),
            modified_at=values.moment(item, "LastModifiedTime"),
            occurrences=self._occurrences(item) if kind is ItemKind.SERIES else (),
        )

    # -- of a series

    def _occurrences(self, master: Element) -> tuple[ServerOccurrence, ...]:
        found = [self._changed(each, master) for each in modified(master)]
        for each in deleted(master):
            at = times.original(each, "Start", master)
            if at is not None:
                found.append(ServerOccurrence(at, None))
        return tuple(sorted(found, key=lambda each: each.original))

    def _changed(self, listed: Element, master: Element) -> ServerOccurrence:
        identifier = messages.id_of(listed)
        item = item_of(self._exceptions.get(identifier, codes.ErrorItemNotFound("")))
        original = times.original(listed, "OriginalStart", master)
        if item is None or original is None:
            raise Incomplete("an occurrence of the series can't be had")
        fields = shapes.read_fields(item, ItemKind.APPOINTMENT)
        return ServerOccurrence(original, fields, identifier, shapes.version_of(item))


def was_invited(item: Element) -> bool:
    said = messages.text(item, "MyResponseType")
    if said in INVITED:
        return True
    state = values.number(item, "AppointmentState") or 0
    return said != "Organizer" and bool(state & RECEIVED)


def unreadable(detail: str) -> MessageError:
    return MessageUnreadable(detail, phase=Phase.FETCH)
