"""The log as one JSON object a line, for machines that collect it (LOG_FORMAT=json).

    {"time": ..., "level": ..., "logger": ..., "message": ..., "mailbox": ..., "workload": ..., "job": ..., "code": ...}

A log is read by more people than a mailbox: what an exception says may quote a message, a statement or an
answer of a server, so of those that a line names there are the class, the code and the places, not the text.
The text is where the row rules are: on the alert, on the item, on the page of the mailbox.
"""

import json
import logging
import re
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

from mailboxes.protocols.errors import ServerError

LONGEST = 4_000  # characters of a message
FRAMES = 20
FIELDS = ("mailbox", "workload", "job", "code")
#: What a request asked for may be a code of a sign-in, or a name that somebody searched for.
_QUERY = re.compile(r"\?\S*")

_about: ContextVar[dict[str, str]] = ContextVar("about")
#: A worker process runs one job at a time, in whatever threads.
_job = ""

P = ParamSpec("P")
R = TypeVar("R")


def begin_job(key: str) -> None:
    global _job
    _job = key


@contextmanager
def about(**names: Any) -> Iterator[None]:
    """What the lines that are written meanwhile are about."""
    token = _about.set({**_about.get({}), **{name: str(value) for name, value in names.items()}})
    try:
        yield
    finally:
        _about.reset(token)


def names_claim(run: Callable[Concatenate[Any, P], R]) -> Callable[Concatenate[Any, P], R]:
    """For a function that runs a claim: its lines name the mailbox and the workload."""

    @wraps(run)
    def named(claim: Any, /, *args: P.args, **kwargs: P.kwargs) -> R:
        with about(mailbox=claim.mailbox_id, workload=claim.operation.name.lower()):
            return run(claim, *args, **kwargs)

    return named


class JsonLines(logging.Formatter):
    """Each record is one line; whatever is in it, it is escaped."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": message_of(record),
            **fields_of(record),
        }
        if error := _error_of(record):
            line["error"] = type(error).__name__
            line["where"] = places_of(error)
        return json.dumps(line)


def message_of(record: logging.LogRecord) -> str:
    """The words of the line, with exceptions told by their class or code alone."""
    try:
        words = str(record.msg) % _discreet(record.args) if record.args else str(record.msg)
    except (TypeError, ValueError, KeyError):
        words = str(record.msg)
    if record.name.startswith("django."):
        words = _QUERY.sub("?", words)
    if record.name == "django-q" and record.levelno >= logging.ERROR:
        words = words.partition(" - ")[0]  # behind it is the text of what a job raised
    return words[:LONGEST]


def fields_of(record: logging.LogRecord) -> dict[str, str]:
    found = dict(_about.get({}))
    if _job:
        found["job"] = _job
    if code := _code_of(record):
        found["code"] = code
    for name in FIELDS:
        if value := getattr(record, name, ""):
            found[name] = str(value)
    return found


def _discreet(arguments: Any) -> Any:
    if isinstance(arguments, dict):
        return {name: _named(value) for name, value in arguments.items()}
    return tuple(_named(value) for value in arguments)


def _named(value: Any) -> Any:
    if isinstance(value, ServerError):
        return _Name(f"{value.code} [{value.phase.value}]" if value.phase else value.code)
    return _Name(type(value).__name__) if isinstance(value, BaseException) else value


class _Name(str):
    """Shows without quotes also where %r asked for it."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


def _error_of(record: logging.LogRecord) -> BaseException | None:
    return record.exc_info[1] if record.exc_info else None


def _code_of(record: logging.LogRecord) -> str:
    arguments = record.args.values() if isinstance(record.args, dict) else record.args or ()
    named = [_error_of(record), *arguments]
    return next((each.code for each in named if isinstance(each, ServerError)), "")


def places_of(error: BaseException) -> list[str]:
    """Where it was raised, innermost last; of what caused it, its class."""
    frames = traceback.extract_tb(error.__traceback__)[-FRAMES:]
    places = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames]
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return [f"({type(cause).__name__})", *places] if cause else places
