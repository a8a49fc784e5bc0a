"""Replays over the quick start's mail and random settings: undone, the database is what it was; done, a
second one finds nothing."""

from datetime import timedelta

import pytest

from activities.choices import Direction
from activities.models import Email
from mailboxes.models import SystemUser
from serversync import replay
from serversync.choices import ReplayStep
from serversync.models import Replay, ServerAction, SyncItem
from tests.integration.serversync.cycles import Account
from tests.integration.serversync.test_replay import everything
from tests.integration.serversync.test_whatif_exact import (
    NOW,
    accounts,
    apply,
    drawn,
    run,
    undone,
)

__all__ = ["accounts"]
pytestmark = [
    pytest.mark.integration,
    pytest.mark.django_db,
    pytest.mark.database("sqlite"),
]

LATER = NOW + timedelta(hours=1)


def decided(admin: SystemUser) -> Replay:
    made = replay.begin(actor=admin, since=NOW - timedelta(days=1), until=LATER, later=False)
    return replay.decide(made, LATER)


def doing(found: Replay) -> list[tuple[str, str, str, list[str]]]:
    changes = found.changes.exclude(step=ReplayStep.NOTHING).select_related("item")
    return [(c.step, c.item.subject, c.item.state, c.facets) for c in changes]


def unsent() -> tuple[int, int]:
    answers = Email.objects.filter(direction_code=Direction.OUTGOING)
    return answers.count(), ServerAction.objects.count()


@pytest.mark.rule("R8.33")
def test_replays_of_the_quick_start(accounts: list[Account]) -> None:
    admin = SystemUser.objects.create_superuser("root")
    steps: set[str] = set()
    with undone():
        apply(drawn(0))
        run(accounts)
        same = decided(admin)
        assert doing(same) == []
        assert same.items == same.unchanged + same.changes.count()
        assert same.items > SyncItem.objects.filter(parent=None).count()
        for number in (1, 7, 20):
            with undone():
                apply(drawn(number))
                before, waiting = everything(), unsent()
                found = decided(admin)
                steps |= {step for step, *_rest in doing(found)}
                replay.apply(found, actor=admin, now=LATER)
                assert unsent() <= waiting
                assert doing(decided(admin)) == []
                replay.undo(found, actor=admin, now=LATER)
                left = found.changes.exclude(not_undone="")
                assert list(left.values_list("not_undone", flat=True)) == []
                assert told_apart(everything(), before) == []
    assert steps == {step.value for step in ReplayStep} - {"nothing"}


def told_apart(now: dict[str, list[dict]], before: dict[str, list[dict]]) -> list[str]:
    lines = []
    for name, rows in before.items():
        here = {str(row.get("id", row)): row for row in now[name]}
        there = {str(row.get("id", row)): row for row in rows}
        for key in here.keys() | there.keys():
            one, other = here.get(key, {}), there.get(key, {})
            for column in one.keys() | other.keys():
                if one.get(column) != other.get(column):
                    lines.append(f"{name} {column}: {other.get(column)!r} -> {one.get(column)!r}")
    return sorted(lines)[:20]
