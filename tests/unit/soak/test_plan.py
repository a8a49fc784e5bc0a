"""What goes wrong in a soak, and from when on a message counts."""

from itertools import pairwise

import pytest

from tests.soak import plan
from tests.soak.plan import PROTOCOLS, SAFE_AFTER, Trouble, Victim, Window, fair_start

SECONDS = 300.0
BOXES = plan.mailboxes(60)


def test_mailboxes_are_shared_among_the_protocols():
    assert {protocol: len(each) for protocol, each in plan.mailboxes(2000).items()} == {
        "imap": 667,
        "pop3": 667,
        "ews": 666,
    }
    assert len({address for each in BOXES.values() for address in each}) == 60


@pytest.mark.parametrize("seed", range(20))
def test_each_server_has_one_trouble_at_a_time_and_ends_well(seed):
    windows = plan.windows(seed, SECONDS, BOXES)
    for protocol in PROTOCOLS:
        mine = [each for each in windows if each.protocol == protocol]
        assert mine[0].start >= plan.SETTLE_SECONDS
        assert mine[-1].end <= SECONDS - plan.QUIET_END
        for before, after in pairwise(mine):
            assert before.end < after.start


@pytest.mark.parametrize("seed", range(20))
def test_five_minutes_hold_almost_every_trouble_of_each_server(seed):
    windows = plan.windows(seed, SECONDS, BOXES)
    for protocol in PROTOCOLS:
        kinds = [each.trouble for each in windows if each.protocol == protocol]
        assert len(set(kinds)) >= 5
        assert (Trouble.THROTTLED in kinds) <= (protocol == "ews")


def test_the_same_seed_gives_the_same_plan_and_another_another():
    def planned(seed: int) -> tuple[object, object]:
        return plan.windows(seed, SECONDS, BOXES), plan.kills(seed, SECONDS, 2)

    assert planned(1) == planned(1) != planned(2)


@pytest.mark.parametrize("seed", range(20))
def test_whoever_is_killed_late_is_in_the_first_cluster(seed):
    """So workers of the others live long enough to be compared."""
    kills = plan.kills(seed, SECONDS, 2)
    assert {each.cluster for each in kills if each.at >= SAFE_AFTER} <= {0}
    victims = [each.victim for each in kills]
    assert (victims.count(Victim.SENTINEL), victims.count(Victim.SUPERVISOR)) == (1, 1)
    assert victims.count(Victim.WORKER) >= 5


# -- from when on a message counts

ADA, BEN = ("imap", "ada@soak.example"), ("pop3", "ben@soak.example")
DOWN = Window("imap", Trouble.DOWN, 10, 30)


def test_a_message_counts_from_its_arrival():
    assert fair_start(5, [ADA], [DOWN]) == 5
    assert fair_start(9.9, [ADA], [DOWN]) == 9.9
    assert fair_start(30, [ADA], [DOWN]) == 30


def test_one_that_arrives_while_its_server_fails_counts_from_the_end_of_that():
    assert fair_start(10, [ADA], [DOWN]) == 30
    assert fair_start(10, [BEN], [DOWN]) == 10


def test_troubles_one_after_the_other_are_waited_for():
    again = Window("imap", Trouble.SLOW, 30, 45)
    assert fair_start(12, [ADA], [again, DOWN]) == 45


def test_a_trouble_of_a_few_excuses_only_them():
    few = Window("imap", Trouble.DROPPED, 10, 30, frozenset({ADA[1]}))
    assert fair_start(12, [ADA], [few]) == 30
    assert fair_start(12, [("imap", "cleo@soak.example")], [few]) == 12


def test_a_message_to_several_counts_from_its_arrival_where_one_of_them_is_well():
    assert fair_start(12, [ADA, BEN], [DOWN]) == 12
