"""What a failure says to people who may see an item and not its mail (R8.30).

A site's own code says in its errors whatever it likes, and so does an exception of ours: both quote
subjects, addresses, lines of the body. So does whoever refuses to store a value. A server's answer and the rest of the codes don't.
"""

import re
from collections.abc import Mapping
from typing import Any

from serversync.act.store.types import NOT_STORABLE
from serversync.act.writing import INTERNAL as ITEM_INTERNAL
from serversync.seen import INTERNAL
from tracking import hooks
from tracking.trace import without_subjects

QUOTING = frozenset({INTERNAL, ITEM_INTERNAL, NOT_STORABLE, hooks.CODE})

_NAME = re.compile(r"[A-Za-z_][\w.]{0,199}")


def shown_error(code: str, text: str, *, may_read: bool) -> str:
    """The whole text, or of one that may quote only what stands in front: the class of the exception, or
    the hook's dotted path."""
    if may_read or code not in QUOTING:
        return text
    head = text.partition(":")[0]
    return head if _NAME.fullmatch(head) else ""


def shown_decision(data: Mapping[str, Any]) -> dict[str, Any]:
    """A stored decision for those who may not read the mail: no subjects, and its failure told likewise."""
    data = without_subjects(data)
    failure = data.get("failure")
    if not isinstance(failure, Mapping):
        return data
    code, text = str(failure.get("code", "")), str(failure.get("text", ""))
    return {**data, "failure": {**failure, "text": shown_error(code, text, may_read=False)}}
