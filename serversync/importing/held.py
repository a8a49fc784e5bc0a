"""An import between its dry run and its end.

The rows of the file may hold passwords, so they wait in the encrypted column of one row, for an hour: asking for
the file a second time would keep nothing, but a worker could not go on with two thousand rows after the browser
has gone, and nobody could look at the dry run twice. They are removed with the last batch, with the hour, and
by retention; what stays says what was done, without secrets.
"""

import json
from collections import Counter
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import transaction
from django.utils import timezone, translation
from django.utils.translation import gettext as __
from django_q.tasks import async_task

from mailboxes.models import SystemUser
from mailboxes.secrets import SecretUnreadable
from serversync.choices import ImportKind, ImportState, Verdict
from serversync.importing import applying, planning, world
from serversync.importing.columns import Cells, Heading, heading_of, rows_of
from serversync.importing.planning import Decision
from serversync.importing.reading import SEPARATORS, Table, read
from serversync.models import Import
from serversync.models.imports import VALID
from serversync.people import audit
from serversync.people.choices import AuditKind

LATE = timedelta(hours=12)
KEPT = timedelta(days=30)  # what an import did can be looked up so long
Rows = list[tuple[int, Cells]]


class NotNow(Exception):
    """It can't be applied any more; the text says why."""


def begin(
    *,
    kind: ImportKind,
    content: bytes,
    file_name: str,
    encoding: str,
    actor: SystemUser,
    now: datetime,
    secrets_allowed: bool = True,
) -> Import:
    """Read a file and say what it would do. Writes nothing but the answer. Raises Unreadable."""
    table = read(content, file_name, encoding)
    heading = heading_of(kind, table.header)
    rows = rows_of(table, heading)
    found = decide(kind, rows, actor=actor, now=now, secrets_allowed=secrets_allowed)
    clear(now)
    row = Import(
        kind=kind,
        file_name=file_name[:255],
        language=translation.get_language() or "en",
        content=json.dumps(rows, ensure_ascii=False),
        read_as=read_as(table, heading),
        rows=[stored(decision) for decision in found],
        secrets_allowed=secrets_allowed,
        created_on=now,
        created_by_id=actor.pk,
    )
    row.save(force_insert=True)
    return row


def decide(
    kind: ImportKind,
    rows: Rows,
    *,
    actor: SystemUser | None,
    now: datetime,
    secrets_allowed: bool = True,
) -> list[Decision]:
    site = world.read(kind, rows, actor=actor, may_enter_secrets=secrets_allowed)
    return planning.plan(rows, site, now)


def read_as(table: Table, heading: Heading) -> dict[str, Any]:
    return {
        "encoding": str(table.encoding),
        "separator": str(SEPARATORS.get(table.separator, table.separator)),
        "sheet": table.sheet,
        "other_sheets": list(table.other_sheets),
        "columns": [column.label for column in heading.columns.values()],
        "unknown": [[each.words, list(each.near)] for each in heading.unknown],
    }


def stored(decision: Decision) -> dict[str, Any]:
    """As it is kept and shown: no secret is in it. `did`: what became of it, "" before."""
    record = decision.record
    is_there = record is not None and not record._state.adding
    return {
        "row": decision.number,
        "name": decision.name,
        "verdict": str(decision.verdict.value),
        "changes": [
            [one.name, one.label, one.before, one.after, one.hidden] for one in decision.changes
        ],
        "reasons": [[one.label, one.words] for one in decision.reasons],
        "key": str(record.pk) if is_there else "",
        "did": "",
    }


# -- applying ------------------------------------------------------------------------------------


def start(row: Import, now: datetime) -> None:
    """The answer *yes*: the first batch at once, the others by a worker, who is asked before anything can go
    wrong here. Raises NotNow."""
    with transaction.atomic():
        held = Import.objects.select_for_update().filter(pk=row.pk).first()
        if held is None or held.state != ImportState.PLANNED:
            raise NotNow
        if held.is_over(now) or not held.content:
            raise NotNow
        Import.objects.filter(pk=held.pk).update(state=ImportState.APPLYING)
        go_on(row.pk)
    apply_batch(row.pk, now)


def discard(row: Import) -> bool:
    """The answer *no*. False where somebody said yes before."""
    with transaction.atomic():
        held = Import.objects.select_for_update().filter(pk=row.pk).first()
        if held is None or held.state != ImportState.PLANNED:
            return held is None
        held.delete()
    return True


def go_on(key: UUID) -> None:
    async_task("serversync.jobs.apply_import", str(key), group="import")


def apply_batch(key: UUID, now: datetime) -> bool:
    """The next rows, in one transaction with the note that they are done: so a worker may be killed at any
    point. Whether there are more."""
    with transaction.atomic():
        held = Import.objects.select_for_update().filter(pk=key).first()
        if held is None or held.state != ImportState.APPLYING:
            return False
        waiting = [line for line in held.rows if is_waiting(line)]
        with translation.override(held.language):
            done = _do(held, waiting[: applying.BATCH], now)
            more = done and len(waiting) > applying.BATCH
            if not more:
                _end(held, now)
        held.save(update_fields=["rows", "state", "content", "ended_on"])
    return more


def is_waiting(line: dict[str, Any]) -> bool:
    return line["verdict"] in (Verdict.CREATE, Verdict.UPDATE) and not line["did"]


def _do(held: Import, lines: list[dict[str, Any]], now: datetime) -> bool:
    """Whether the contents could still be read."""
    try:
        contents = json.loads(held.content.reveal() or "[]")
    except SecretUnreadable:
        contents = []
    numbers = {line["row"] for line in lines}
    rows: Rows = [(number, cells) for number, cells in contents if number in numbers]
    if lines and not rows:
        return False
    kind, actor = ImportKind(held.kind), SystemUser.objects.get(pk=held.created_by_id)
    found = decide(kind, rows, actor=actor, now=now, secrets_allowed=held.secrets_allowed)
    shown = {line["row"]: agreed(line) for line in lines}
    by_row = {line["row"]: line for line in lines}
    for decision in applying.apply(kind, found, shown, actor=actor, now=now):
        note(by_row[decision.number], decision)
    return True


def agreed(line: dict[str, Any]) -> list[Any]:
    """As `applying.told` says it."""
    changes = [[name, before, after] for name, _label, before, after, _hidden in line["changes"]]
    return [line["verdict"], changes]


def note(line: dict[str, Any], decision: Decision) -> None:
    """What became of a row, beside what was shown of it."""
    now_is = stored(decision)
    line["did"] = now_is["verdict"]
    line["key"] = now_is["key"] or line["key"]
    line["reasons"] = now_is["reasons"]
    if decision.verdict == Verdict.HELD_BACK:
        line["instead"] = now_is["changes"]


def _end(held: Import, now: datetime) -> None:
    for line in filter(is_waiting, held.rows):
        line["did"] = str(Verdict.HELD_BACK.value)
        line["reasons"] = [["", __("It was not done in time. Import the file once more.")]]
    held.state, held.content, held.ended_on = ImportState.APPLIED, "", now
    counts = counted(held.rows)
    audit.record(
        AuditKind.ACTION,
        actor=held.created_by,
        subject=held,
        detail=f"import {held.kind}: " + ", ".join(f"{n} {word}" for word, n in counts.items()),
        now=now,
    )


def outcome_of(line: dict[str, Any]) -> str:
    """The verdict that counts now: what became of it, else what would."""
    return str(line["did"] or line["verdict"])


def counted(lines: Iterable[dict[str, Any]]) -> Counter[str]:
    return Counter(outcome_of(line) for line in lines)


# -- forgetting ----------------------------------------------------------------------------------


def clear(now: datetime) -> int:
    """Contents that waited too long."""
    over = Import.objects.filter(state=ImportState.PLANNED, created_on__lt=now - VALID)
    return over.exclude(content="").update(content="")


def end_late(now: datetime) -> None:
    """Those that no worker went on with."""
    late = Import.objects.filter(state=ImportState.APPLYING, created_on__lt=now - LATE)
    for key in late.values_list("pk", flat=True):
        with transaction.atomic():
            row = Import.objects.select_for_update().get(pk=key)
            if row.state == ImportState.APPLYING:
                with translation.override(row.language):
                    _end(row, now)
                row.save(update_fields=["rows", "state", "content", "ended_on"])


def tidy(now: datetime) -> str:
    """Every few minutes, so that no contents outlive their hour, whoever opens the page or not."""
    cleared = clear(now)
    end_late(now)
    return f"contents of {cleared} dry runs removed"


def forget(now: datetime) -> int:
    """Nightly: those contents, and imports of long ago."""
    tidy(now)
    return Import.objects.filter(created_on__lt=now - KEPT).delete()[0]


def run(key: str) -> str:
    """The worker's part: batch after batch, and a new job before the time of this one is over."""
    until = timezone.now() + timedelta(seconds=60)
    while apply_batch(UUID(key), timezone.now()):
        if timezone.now() > until:
            go_on(UUID(key))
            return "more to come"
    return "applied"
