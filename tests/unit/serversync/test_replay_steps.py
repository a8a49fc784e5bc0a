"""What a replay does about one item, case by case."""

import pytest

from serversync.choices import ItemState, ReplayStep, Stay
from serversync.facets import Facet
from serversync.replay.steps import Facts, step_of

TRACKED, DUPLICATE = ItemState.TRACKED, ItemState.DUPLICATE
REJECTED, SKIPPED = ItemState.REJECTED, ItemState.SKIPPED
NOTHING = ReplayStep.NOTHING


@pytest.mark.rule("R8.33")
@pytest.mark.parametrize(
    ("before", "now", "more", "step", "stays"),
    [
        (REJECTED, TRACKED, {}, ReplayStep.FETCH, None),
        (REJECTED, DUPLICATE, {}, ReplayStep.FETCH, None),
        (SKIPPED, TRACKED, {}, ReplayStep.FETCH, None),
        (REJECTED, TRACKED, {"fetchable": False}, NOTHING, Stay.NO_COPY),
        (REJECTED, TRACKED, {"inside": True}, NOTHING, Stay.INSIDE),
        (REJECTED, SKIPPED, {}, ReplayStep.NOTE, None),
        (REJECTED, None, {}, NOTHING, Stay.UNKNOWN),
        (REJECTED, ItemState.RETRYING, {}, NOTHING, Stay.DENIED),
        (ItemState.RETRYING, TRACKED, {}, NOTHING, Stay.RETRIES),
        (ItemState.QUARANTINED, REJECTED, {}, ReplayStep.FETCH, None),
        (ItemState.QUARANTINED, TRACKED, {"inside": True}, NOTHING, Stay.INSIDE),
        (TRACKED, TRACKED, {"has_email": True}, ReplayStep.CHANGE, None),
        (TRACKED, TRACKED, {"has_email": True, "chosen": True}, NOTHING, Stay.BY_HAND),
        (TRACKED, TRACKED, {"has_email": True, "facets": {Facet.MADE}}, NOTHING, Stay.MADE),
        (TRACKED, DUPLICATE, {"has_email": True}, NOTHING, Stay.STORED),
        (TRACKED, REJECTED, {"has_email": True}, ReplayStep.REMOVE, None),
        (TRACKED, SKIPPED, {"has_email": True}, ReplayStep.REMOVE, None),
        (TRACKED, REJECTED, {"has_email": True, "touched": Stay.MADE}, NOTHING, Stay.MADE),
        (DUPLICATE, TRACKED, {"has_email": True}, NOTHING, Stay.STORED),
        (DUPLICATE, DUPLICATE, {"has_email": True}, NOTHING, Stay.STORED),
        (DUPLICATE, REJECTED, {"has_email": True}, ReplayStep.NOTE, None),
        (DUPLICATE, TRACKED, {}, ReplayStep.FETCH, None),
    ],
)
def test_steps(before, now, more, step, stays):
    told = {**more, "facets": frozenset(more.get("facets", ()))}
    assert step_of(Facts(before=before, now=now, **told)) == (step, stays)


def test_nothing_that_stays_lacks_a_reason():
    for before in set(ItemState) - {ItemState.GONE}:
        for now in [*ItemState, None]:
            for has_email in (True, False):
                step, stays = step_of(Facts(before=before, now=now, has_email=has_email))
                assert (step == NOTHING) is (stays is not None)
