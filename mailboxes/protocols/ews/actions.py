"""What is done to messages on the server: marks and read flags first, for a move gives a new id; then
moves, then deletions."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from exchangelib import errors as codes

from mailboxes.protocols.base import Action, ActionKind, ActionResult
from mailboxes.protocols.errors import ActionRefused, FolderMissing
from mailboxes.protocols.ews import folders, messages
from mailboxes.protocols.ews.conversation import Conversation
from mailboxes.protocols.ews.operations import (
    ITEM_GONE,
    Answer,
    DeleteItem,
    Element,
    GetItem,
    M,
    MoveItem,
    T,
    UpdateItem,
    clean,
    item_ids,
    message_space,
    shape,
    type_space,
)
from mailboxes.protocols.phases import Phase

CHANGES = (ActionKind.MARK, ActionKind.UNMARK, ActionKind.SEEN)
UPDATES_PER_REQUEST = 50  # keeps it below 64 KB
ROUNDS = 3  # somebody else may change the same message meanwhile

GONE = "there is no such message any more"


@dataclass(slots=True)
class Change:
    """All that is to become different about one message."""

    marks: list[str] = field(default_factory=list)
    unmarks: list[str] = field(default_factory=list)
    seen: bool = False

    def add(self, action: Action) -> None:
        if action.kind is ActionKind.SEEN:
            self.seen = True
        else:
            (self.marks if action.kind is ActionKind.MARK else self.unmarks).append(action.argument)

    def categories(self, present: Sequence[str]) -> list[str]:
        """Those of others stay, in their order. Names that differ in case are the same."""
        unwanted = {each.casefold() for each in self.unmarks}
        kept = [each for each in present if each.casefold() not in unwanted]
        for mark in self.marks:
            if mark.casefold() not in {each.casefold() for each in kept}:
                kept.append(mark)
        return kept


@dataclass(frozen=True, slots=True)
class Current:
    """A message as it is now. `kind`: the element that stands for it, such as Message."""

    change_key: str
    kind: str
    categories: list[str]
    read: bool


def apply(talk: Conversation, actions: Sequence[Action]) -> list[ActionResult]:
    results: dict[Action, ActionResult] = {}
    for result in _all(talk, list(dict.fromkeys(actions))):
        results[result.action] = result
    return [results[action] for action in actions]


def _all(talk: Conversation, actions: Sequence[Action]) -> Iterator[ActionResult]:
    yield from _change(talk, [each for each in actions if each.kind in CHANGES])
    for target in dict.fromkeys(each.argument for each in actions if each.kind is ActionKind.MOVE):
        alike = [
            each for each in actions if (each.kind, each.argument) == (ActionKind.MOVE, target)
        ]
        yield from _move(talk, target, alike)
    yield from _delete(talk, [each for each in actions if each.kind is ActionKind.DELETE])


def _result(talk: Conversation, action: Action, answer: Answer, receipt: str) -> ActionResult:
    if isinstance(answer, ITEM_GONE):
        return ActionResult(action, True, GONE)
    if isinstance(answer, codes.EWSError):
        return ActionResult(action, False, "", talk.action_error(answer))
    return ActionResult(action, True, receipt)


# -- delete and move -------------------------------------------------------------------------------


def _delete(talk: Conversation, actions: Sequence[Action]) -> Iterator[ActionResult]:
    """People can recover it for some days."""

    def ask(remote_ids: Sequence[str]) -> list[Answer]:
        return talk.ask(
            Phase.APPLY,
            DeleteItem,
            item_ids(remote_ids),
            DeleteType="SoftDelete",
            SendMeetingCancellations="SendToNone",
            AffectedTaskOccurrences="SpecifiedOccurrenceOnly",
            **talk.quietly,
        )

    answers = talk.ask_each(Phase.APPLY, _ids(actions), ask)
    for action in actions:
        yield _result(talk, action, answers[action.remote_id], "deleted")


def _move(talk: Conversation, target: str, actions: Sequence[Action]) -> Iterator[ActionResult]:
    def ask(remote_ids: Sequence[str]) -> list[Answer]:
        place = M.ToFolderId(talk.folder(target))
        return talk.ask(Phase.APPLY, MoveItem, place, item_ids(remote_ids))

    answers = talk.ask_each(Phase.APPLY, _ids(actions), ask)
    missing = None
    if any(isinstance(answer, ITEM_GONE) for answer in answers.values()):
        missing = _why_no_target(talk, target)  # or is it the folder that is gone?
    for action in actions:
        answer = answers[action.remote_id]
        if missing is not None and isinstance(answer, codes.EWSError):
            yield ActionResult(action, False, "", missing)
        else:
            yield _result(talk, action, answer, _moved(answer))


def _why_no_target(talk: Conversation, target: str) -> ActionRefused | None:
    try:
        folders.total(talk, target)
    except FolderMissing as error:
        refused = ActionRefused(error.detail, phase=Phase.APPLY)
        refused.__cause__ = error.__cause__
        return refused
    return None


def _moved(answer: Answer) -> str:
    """Some servers keep the new id to themselves."""
    if isinstance(answer, codes.EWSError):
        return ""
    item = answer.find(f"{message_space}Items/*")
    new = "" if item is None else messages.id_of(item)
    return f"moved; its id is now {new}" if new else "moved"


# -- categories and the read flag ------------------------------------------------------------------


def _change(talk: Conversation, actions: Sequence[Action]) -> Iterator[ActionResult]:
    """Read, then write what differs. If somebody else wrote in between: once more."""
    changes: dict[str, Change] = {}
    for action in actions:
        changes.setdefault(action.remote_id, Change()).add(action)
    outcomes: dict[str, tuple[Answer | None, str]] = {}
    left = list(changes)
    for _round in range(ROUNDS):
        if not left:
            break
        updates = _updates(talk, {each: changes[each] for each in left}, outcomes)
        for remote_id, answer in _write(talk, updates).items():
            outcomes[remote_id] = (answer, "changed")
        left = [
            each for each in left if isinstance(outcomes[each][0], codes.ErrorIrresolvableConflict)
        ]
    for action in actions:
        answer, receipt = outcomes[action.remote_id]
        if answer is None:
            yield ActionResult(action, True, receipt)
        else:
            yield _result(talk, action, answer, receipt)


def _updates(
    talk: Conversation,
    changes: dict[str, Change],
    outcomes: dict[str, tuple[Answer | None, str]],
) -> dict[str, Element]:
    """What to write, by id. `outcomes` learns of those that need nothing, or can't have it."""
    updates = {}
    for remote_id, answer in _read(talk, list(changes)).items():
        change = changes[remote_id]
        if isinstance(answer, codes.EWSError):
            outcomes[remote_id] = (answer, "")
            continue
        current = _current(answer)
        update = None if current is None else _update(remote_id, change, current)
        if update is None:
            outcomes[remote_id] = (None, "it is so already" if current else GONE)
        else:
            updates[remote_id] = update
    return updates


def _read(talk: Conversation, remote_ids: Sequence[str]) -> dict[str, Answer]:
    def ask(part: Sequence[str]) -> list[Answer]:
        properties = shape("ItemShape", "item:Categories", "message:IsRead")
        return talk.ask(Phase.APPLY, GetItem, properties, item_ids(part))

    answers = talk.ask_each(Phase.APPLY, remote_ids, ask)
    for remote_id, answer in answers.items():
        talk.check_item(Phase.APPLY, remote_id, answer)
    return answers


def _current(answer: Element) -> Current | None:
    item = answer.find(f"{message_space}Items/*")
    identity = None if item is None else item.find(f"{type_space}ItemId")
    if item is None or identity is None:
        return None
    strings = item.findall(f"{type_space}Categories/{type_space}String")
    return Current(
        identity.get("ChangeKey") or "",
        item.tag.removeprefix(type_space),
        [each.text for each in strings if each.text],
        messages.text(item, "IsRead").lower() in ("true", "1"),
    )


def _update(remote_id: str, change: Change, current: Current) -> Element | None:
    """Only what differs is named; everything else about the message stays."""
    updates = []
    wanted = change.categories(current.categories)
    if wanted != current.categories:
        path = T.FieldURI(FieldURI="item:Categories")
        if wanted:
            strings = T.Categories(*(T.String(clean(each)) for each in wanted))
            updates.append(T.SetItemField(path, T(current.kind, strings)))
        else:
            updates.append(T.DeleteItemField(path))
    if change.seen and not current.read:
        path = T.FieldURI(FieldURI="message:IsRead")
        updates.append(T.SetItemField(path, T(current.kind, T.IsRead("true"))))
    if not updates:
        return None
    identity = T.ItemId(Id=clean(remote_id), ChangeKey=current.change_key)
    return T.ItemChange(identity, T.Updates(*updates))


def _write(talk: Conversation, updates: dict[str, Element]) -> dict[str, Answer]:
    def ask(remote_ids: Sequence[str]) -> list[Answer]:
        return talk.ask(
            Phase.APPLY,
            UpdateItem,
            M.ItemChanges(*(updates[each] for each in remote_ids)),
            ConflictResolution="AutoResolve",
            MessageDisposition="SaveOnly",
            SendMeetingInvitationsOrCancellations="SendToNone",
            **talk.quietly,
        )

    return talk.ask_each(Phase.APPLY, list(updates), ask, at_once=UPDATES_PER_REQUEST)


def _ids(actions: Sequence[Action]) -> list[str]:
    return list(dict.fromkeys(action.remote_id for action in actions))
