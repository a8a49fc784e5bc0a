"""What an error means and what to do about it, in the words of the table of conditions."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mailboxes.conditions import TABLE, explain


@dataclass(frozen=True, slots=True)
class Cause:
    meaning: str
    advice: str


class _Known(dict[str, Any]):
    def __missing__(self, key: str) -> str:
        return "…"


def cause_of(code: str, text: str = "", parameters: Mapping[str, Any] | None = None) -> Cause:
    """`text` is what is known where the code has no entry of its own."""
    condition = explain(code)
    if code not in TABLE and text:
        return Cause(text, "")
    known = _Known({"code": condition.code, **(parameters or {})})
    return Cause(str(condition.meaning) % known, str(condition.advice) % known)
