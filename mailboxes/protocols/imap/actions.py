"""What is done to messages on the server."""

import imaplib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby

from imapclient.imap_utf7 import encode as encode_utf7

from mailboxes.protocols.base import SENT, Action, ActionKind, ActionResult
from mailboxes.protocols.errors import ActionRefused, MessageGone
from mailboxes.protocols.imap import folders
from mailboxes.protocols.imap.conversation import Conversation
from mailboxes.protocols.imap.words import KEYWORD, UIDS_PER_COMMAND, text_of, uids_in
from mailboxes.protocols.phases import Phase

COPYUID = re.compile(r"(?P<validity>\d+) (?P<here>[\d:,]+) (?P<there>[\d:,]+)")
#: A message that has left can't be marked any more.
LAST = {ActionKind.MOVE: 1, ActionKind.DELETE: 2}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of some actions alike. `copies`: UID -> key in the folder that it was moved to."""

    done: bool
    text: str
    copies: dict[int, str] = field(default_factory=dict)

    def result_of(self, action: Action, uid: int) -> ActionResult:
        if not self.done:
            return ActionResult(action, False, "", ActionRefused(self.text, phase=Phase.APPLY))
        copy = self.copies.get(uid)
        return ActionResult(action, True, f"moved as {copy}" if copy else self.text)


def apply(talk: Conversation, folder: str, actions: Sequence[Action]) -> list[ActionResult]:
    if not actions:
        return []
    talk.open()
    with talk.during(Phase.APPLY):
        try:
            folders.select(talk, folder, writable=True)
        except imaplib.IMAP4.readonly:
            error = ActionRefused(f"the folder {folder} is read-only for us")
            return [ActionResult(action, False, "", error) for action in actions]
        results: dict[Action, ActionResult] = {}
        in_order = sorted(actions, key=lambda each: (LAST.get(each.kind, 0), each.argument))
        for (kind, argument), group in groupby(in_order, lambda a: (a.kind, a.argument)):
            for result in apply_alike(talk, kind, argument, list(dict.fromkeys(group))):
                results[result.action] = result
    return [results[action] for action in actions]


def apply_alike(
    talk: Conversation, kind: ActionKind, argument: str, actions: list[Action]
) -> Iterator[ActionResult]:
    uids = talk.uids([action.remote_id for action in actions])
    present = [action for action in actions if action.remote_id in uids]
    for action in actions:
        if action.remote_id not in uids:
            gone = MessageGone("the server has given its messages new keys", phase=Phase.APPLY)
            yield ActionResult(action, False, "", gone)
    for start in range(0, len(present), UIDS_PER_COMMAND):
        part = present[start : start + UIDS_PER_COMMAND]
        outcome = do(talk, kind, argument, [uids[each.remote_id] for each in part])
        for action in part:
            uid = uids[action.remote_id]
            if not outcome.done and len(part) > 1:  # one of them is to blame
                yield do(talk, kind, argument, [uid]).result_of(action, uid)
            else:
                yield outcome.result_of(action, uid)


def do(talk: Conversation, kind: ActionKind, argument: str, uids: list[int]) -> Outcome:
    try:
        match kind:
            case ActionKind.DELETE:
                return Outcome(True, delete(talk, uids))
            case ActionKind.MOVE:
                return move(talk, uids, argument)
            case ActionKind.SEEN:
                talk.client.add_flags(uids, [rb"\Seen"], silent=True)
                return Outcome(True, "marked as seen")
            case ActionKind.MARK:
                return set_keyword(talk, uids, argument)
            case ActionKind.UNMARK:
                return take_keyword(talk, uids, argument)
    except imaplib.IMAP4.abort:
        raise
    except imaplib.IMAP4.error as error:
        return Outcome(False, talk.words(error))


def set_keyword(talk: Conversation, uids: list[int], keyword: str) -> Outcome:
    assert talk.selected is not None
    if not KEYWORD.fullmatch(keyword):
        return Outcome(False, f"{keyword!r} is not an IMAP keyword")
    if not talk.selected.allows_keyword(keyword):
        return Outcome(False, f"the server does not allow the keyword {keyword} in this folder")
    talk.client.add_flags(uids, [keyword.encode()], silent=True)
    return Outcome(True, f"keyword {keyword} set")


def take_keyword(talk: Conversation, uids: list[int], keyword: str) -> Outcome:
    if not KEYWORD.fullmatch(keyword):
        return Outcome(True, f"no message can carry {keyword!r}")
    talk.client.remove_flags(uids, [keyword.encode()], silent=True)
    return Outcome(True, f"keyword {keyword} taken off")


def delete(talk: Conversation, uids: list[int]) -> str:
    talk.client.add_flags(uids, [rb"\Deleted"], silent=True)
    return expunge(talk, uids)


def expunge(talk: Conversation, uids: list[int]) -> str:
    """EXPUNGE without UIDs removes whatever anybody has marked as deleted. So without UIDPLUS it
    is used only when that is ours alone; else ours stay marked until somebody expunges."""
    if talk.client.has_capability("UIDPLUS"):
        talk.client.uid_expunge(uids)
        return "expunged"
    if set(talk.search("DELETED")) <= set(uids):
        talk.client.expunge()
        return "expunged"
    return "marked as deleted; others are too, so the folder was not expunged"


def move(talk: Conversation, uids: list[int], folder: str) -> Outcome:
    if folder == SENT:
        folder = folders.find_sent_items(talk) or folders.create_sent_items(talk)
    target = encode_utf7(folder)
    talk.imap.response("COPYUID")  # what is left over from other commands
    if talk.client.has_capability("MOVE"):
        receipt = folders.into(talk, target, lambda: talk.client.move(uids, target))
        return Outcome(True, receipt or "moved", copies(talk))
    receipt = folders.into(talk, target, lambda: talk.client.copy(uids, target))
    new = copies(talk)
    return Outcome(True, f"{receipt or 'copied'}; {delete(talk, uids)}", new)


def copies(talk: Conversation) -> dict[int, str]:
    """UID here -> key there, where the server told (RFC 4315, 3)."""
    told = talk.imap.response("COPYUID")[1]
    found = COPYUID.fullmatch(text_of(told[-1]).strip())
    if not found:
        return {}
    here, there = uids_in(found["here"]), uids_in(found["there"])
    if len(here) != len(there):
        return {}
    return {old: f"{found['validity']}.{new}" for old, new in zip(here, there, strict=True)}
