"""Verbose logging of one mailbox: what it and its server say to each other, for 24 hours (R8.18).

Kept are phases with their times, words of the protocol and how a cycle ended; never arguments, and never the words
of an error, which may quote a message (`masking`). The lines go to the logger `serversync.verbose` and to the
page of the mailbox; of each mailbox the last ones stay, for a week.
"""

import logging
from collections import deque
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from functools import partial
from time import monotonic
from typing import Any
from uuid import UUID

from mailboxes.choices import Operation
from mailboxes.connect import incoming_server, items_server, outgoing_server
from mailboxes.models import Mailbox, SystemUser
from mailboxes.protocols.phases import Phase
from serversync.cycle import Clock, CycleResult
from serversync.masking import bare_answer, bare_command
from serversync.models import VerboseLine, VerboseLogging

log = logging.getLogger("serversync.verbose")

LASTS = timedelta(hours=24)
KEPT_FOR = timedelta(days=7)
MOST_LINES = 2_000  # of one mailbox
MOST_OF_A_CYCLE = 1_000

CONNECT: dict[Operation, Callable[..., Any]] = {
    Operation.INCOMING: incoming_server,
    Operation.OUTGOING: outgoing_server,
    Operation.ACT: items_server,
}
#: Facts of a line that name the server and nobody else.
FACTS = frozenset({"addresses", "connected", "tls", "certificate", "issuer", "valid_until"})


def switch_on(mailboxes: Collection[UUID], *, by: SystemUser | None, now: datetime) -> None:
    """For 24 hours from now, also where it was on already."""
    VerboseLogging.objects.bulk_create(
        [
            VerboseLogging(mailbox_id=key, switched_on_at=now, switched_on_by=by, until=now + LASTS)
            for key in mailboxes
        ],
        update_conflicts=True,
        unique_fields=["mailbox"],
        update_fields=["switched_on_at", "switched_on_by", "until"],
    )


def switch_off(mailboxes: Collection[UUID], *, now: datetime) -> int:
    rows = VerboseLogging.objects.filter(mailbox__in=mailboxes, until__gt=now)
    return rows.update(until=now)


def is_on(mailbox: Mailbox, now: datetime) -> bool:
    """No statement where the row was read with the mailbox."""
    row: VerboseLogging | None = getattr(mailbox, "verbose_logging", None)
    return row is not None and row.until > now


def recorder_of(mailbox: Mailbox, operation: Operation, clock: Clock) -> "Recorder | None":
    return Recorder(mailbox, operation, clock) if is_on(mailbox, clock()) else None


def forget(now: datetime) -> int:
    return VerboseLine.objects.filter(at__lt=now - KEPT_FOR).delete()[0]


class Recorder:
    """Listens to one cycle (`mailboxes.protocols.phases.Listener`)."""

    def __init__(self, mailbox: Mailbox, operation: Operation, clock: Clock) -> None:
        self.mailbox = mailbox
        self.operation = operation
        self.clock = clock
        self._lines: deque[VerboseLine] = deque(maxlen=MOST_OF_A_CYCLE)
        self._began: dict[Phase, float] = {}

    @property
    def connect(self) -> Callable[..., Any]:
        """Instead of the adapter that a cycle would make."""
        return partial(CONNECT[self.operation], watcher=self)

    @contextmanager
    def kept(self) -> Iterator[None]:
        """What was heard within is stored, however it ends."""
        self._note("cycle begins")
        try:
            yield
        except BaseException as error:
            self._note(f"cycle ends: {_kind(error)}")
            raise
        finally:
            self._store()

    def decided(self, result: CycleResult) -> None:
        """How many items ended where, and why; which ones, the ledger says to those who may read it."""
        parts = [f"{number} {what}" for what, number in sorted(result.by_state.items())]
        parts += [f"{number} because {why}" for why, number in sorted(result.by_reason.items())]
        parts += [f"{step} {ms} ms" for step, ms in result.steps_ms.items()]
        for part in parts:
            self._note(f"decided: {part}")
        self._note("cycle ends" + (", more to come" if result.more else ""))

    # -- what adapters tell

    def begin(self, phase: Phase) -> None:
        self._began[phase] = monotonic()

    def end(self, phase: Phase, error: Exception | None) -> None:
        ms = round((monotonic() - self._began.pop(phase, monotonic())) * 1000)
        how = f"failed: {_kind(error)}" if error else "ok"
        self._note(f"{phase.value}: {how} ({ms} ms)")

    def asked(self, words: str) -> None:
        self._note(f"> {bare_command(words)}")

    def answered(self, words: str) -> None:
        self._note(f"< {bare_answer(words)}")

    def found(self, fact: str, words: str) -> None:
        if fact in FACTS:
            self._note(f"{fact}: {words}")

    # -- keeping it

    def _note(self, words: str) -> None:
        log.info("%s (%s): %s", self.mailbox.pk, self.operation.name.lower(), words)
        line = VerboseLine(
            mailbox=self.mailbox, operation=self.operation, at=self.clock(), words=words[:200]
        )
        self._lines.append(line)

    def _store(self) -> None:
        VerboseLine.objects.bulk_create(list(self._lines))
        self._lines.clear()
        own = VerboseLine.objects.filter(mailbox=self.mailbox)
        too_old = own.order_by("-pk").values_list("pk", flat=True)[MOST_LINES : MOST_LINES + 1]
        for pk in too_old:
            own.filter(pk__lte=pk).delete()


def _kind(error: BaseException | None) -> str:
    """Its code or class; its words may quote what a message says."""
    return str(getattr(error, "code", "") or type(error).__name__)
