"""Which mailboxes are listened to, when a failed one is tried again, and how a burst becomes one run."""

import os
from contextlib import suppress
from uuid import uuid4

import pytest

from serversync.due import RETRY_CAP
from serversync.supervisor import PULSE_FD, Pulse
from serversync.watch.choice import (
    PERMANENT_SECONDS,
    SETTLED_SECONDS,
    TOO_FEW_CONNECTIONS,
    UNAVAILABLE_SECONDS,
    Bursts,
    Candidate,
    Setback,
    choose,
    failures_after,
    pause_after,
    share,
)
from serversync.watch.supervision import LIMITS, signs_of_life


def candidate(account: str = "", cap: int = 4) -> Candidate:
    mailbox_id = uuid4()
    return Candidate(mailbox_id, account or f"mailbox:{mailbox_id}", cap)


@pytest.mark.rule("R9.6")
@pytest.mark.parametrize("cap", [1, 2, 3, 4, 10, 300])
def test_one_connection_at_least_is_left_to_read_with(cap):
    assert cap - share(cap) >= 1


def test_an_account_with_one_connection_is_not_listened_to():
    alone = candidate(cap=1)
    choice = choose([alone], {}, room=10)
    assert choice.taken == {}
    assert choice.refused == {alone.mailbox_id: TOO_FEW_CONNECTIONS}


def test_mailboxes_of_one_account_share_its_connections():
    several = [candidate("profile:1", cap=4) for _ in range(3)]
    choice = choose(several, {"profile:1": 1}, room=10)
    assert list(choice.taken) == [several[0].mailbox_id]
    assert set(choice.refused) == {each.mailbox_id for each in several[1:]}


def test_no_more_than_there_is_room_for_and_nobody_is_refused_for_that():
    several = [candidate() for _ in range(3)]
    choice = choose(several, {}, room=2)
    assert list(choice.taken) == [each.mailbox_id for each in several[:2]]
    assert choice.refused == {}


def test_pauses_grow_up_to_an_hour():
    lost = Setback("ServiceUnavailable")
    waits = [pause_after(lost, failures, 0.5) for failures in range(1, 12)]
    assert waits[:3] == [30, 60, 120]
    assert waits == sorted(waits)
    assert waits[-1] == RETRY_CAP


def test_mailboxes_that_failed_together_do_not_come_back_together():
    lost = Setback("ServiceUnavailable")
    assert len({pause_after(lost, 3, jitter / 10) for jitter in range(10)}) == 10


def test_a_refused_login_is_left_alone_for_an_hour():
    assert pause_after(Setback("InvalidCredentials", permanent=True), 1, 0.0) == PERMANENT_SECONDS


def test_a_server_without_push_is_asked_once_a_day():
    missing = Setback("NotSupported", permanent=True, unavailable=True)
    assert pause_after(missing, 1, 0.0) == UNAVAILABLE_SECONDS


def test_what_the_server_asks_for_is_kept():
    assert pause_after(Setback("ServiceUnavailable", hint=500.0), 1, 0.0) == 500


def test_failures_count_in_a_row_only():
    assert failures_after(Setback("ServiceUnavailable"), 4) == 5
    assert failures_after(Setback("ServiceUnavailable", lasted=SETTLED_SECONDS - 1), 4) == 5
    assert failures_after(Setback("ServiceUnavailable", lasted=SETTLED_SECONDS), 4) == 1


class TestBursts:
    def test_the_first_news_counts_at_once(self):
        bursts = Bursts[str](1.5)
        bursts.note(["a"], 100.0)
        assert bursts.due(100.0) == ["a"]
        assert bursts.next_at() == 100.0

    @pytest.mark.rule("R10.1")
    def test_a_hundred_mails_are_two_runs(self):
        bursts = Bursts[str](1.5)
        runs = []
        for number in range(100):
            now = 100.0 + number / 100
            bursts.note(["a"], now)
            if due := bursts.due(now):
                bursts.told(due, now)
                runs.append(now)
        assert runs == [100.0]
        assert bursts.next_at() == 101.5
        assert bursts.due(101.5) == ["a"]  # the last of them is not forgotten
        bursts.told(["a"], 101.5)
        assert bursts.next_at() is None

    def test_each_waits_for_itself(self):
        bursts = Bursts[str](1.5)
        bursts.note(["a"], 100.0)
        bursts.told(["a"], 100.0)
        bursts.note(["a", "b"], 100.5)
        assert bursts.due(100.5) == ["b"]

    def test_what_could_not_be_passed_on_stays_due(self):
        bursts = Bursts[str](1.5)
        bursts.note(["a"], 100.0)
        bursts.note(["a"], 103.0)
        assert bursts.due(200.0) == ["a"]

    def test_what_is_over_is_not_remembered(self):
        bursts = Bursts[str](1.5)
        for number in range(100):
            bursts.note([str(number)], number * 10.0)
            bursts.told([str(number)], number * 10.0)
        assert len(bursts._told) == 1


class TestSignsOfLife:
    @pytest.fixture
    def pipe(self, monkeypatch):
        read, write = os.pipe()
        os.set_blocking(read, False)
        monkeypatch.setenv(PULSE_FD, str(write))
        yield read
        os.close(read)
        os.close(write)

    def test_who_goes_round_is_left_alone_and_who_hangs_is_restarted(self, pipe):
        now = 100.0
        tell = signs_of_life(lambda: now)
        pulse = Pulse(LIMITS, now)
        for _ in range(600):
            now += 0.5
            tell()
            with suppress(BlockingIOError):
                pulse.hear(os.read(pipe, 4096), now)
            if pulse.wants_beat(now):
                pulse.sent_beat(now)
            assert not pulse.complaint(now)
        hung_at = now
        while not pulse.complaint(now):
            now += 1.0
            if pulse.wants_beat(now):
                pulse.sent_beat(now)
        assert now - hung_at <= LIMITS.beat + LIMITS.stall + 2

    def test_one_a_second_is_enough(self, pipe):
        now = 100.0
        tell = signs_of_life(lambda: now)
        for _ in range(50):
            tell()
            now += 0.1
        assert len(os.read(pipe, 4096)) <= 7
