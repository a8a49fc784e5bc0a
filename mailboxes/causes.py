"""What an error means and what to do about it: in the words of the exact fault where it is known, else in
those of the table of conditions."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from mailboxes.conditions import TABLE, explain
from mailboxes.faultwords import WORDS
from mailboxes.protocols.faultkinds import FaultKind


@dataclass(frozen=True, slots=True)
class Cause:
    meaning: str
    advice: str


class _Known(dict[str, Any]):
    def __missing__(self, key: str) -> str:
        return "…"


def cause_of(
    code: str,
    text: str = "",
    parameters: Mapping[str, Any] | None = None,
    *,
    fault: FaultKind | str | None = None,
) -> Cause:
    """`text` is what is known where the code has no entry of its own; `fault`: as it was noted, which may
    be by another version."""
    with suppress(KeyError, ValueError):
        meaning, advice = WORDS[FaultKind(fault or "")]
        return Cause(str(meaning), str(advice))
    condition = explain(code)
    if code not in TABLE and text:
        return Cause(text, "")
    known = _Known({"code": condition.code, **(parameters or {})})
    return Cause(str(condition.meaning) % known, str(condition.advice) % known)
