"""Which workloads run, how long they wait, what failures do to them."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serversync.choices import WorkloadState
from serversync.due import (
    Cap,
    DueRow,
    Failure,
    Gaps,
    Limits,
    after_failure,
    back_off,
    choose,
    next_gap,
    probe_again,
    probe_gap,
)

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
READY, PAUSED, DISABLED = WorkloadState.READY, WorkloadState.PAUSED, WorkloadState.DISABLED


def row(number: int, profile: str = "p", minutes_late: int = 0, requested=False, caps=()) -> DueRow:
    return DueRow(number, profile, NOON - timedelta(minutes=minutes_late), requested, tuple(caps))


# -- the adaptive gap


@pytest.mark.rule("R9.1")
def test_mail_halves_the_gap_down_to_the_active_minimum():
    gaps = [600]
    for _ in range(4):
        gaps.append(next_gap(gaps[-1], True, Gaps()))
    assert gaps == [600, 300, 150, 120, 120]


@pytest.mark.rule("R9.1")
def test_silence_stretches_the_gap_up_to_the_idle_maximum():
    gaps = [120]
    for _ in range(6):
        gaps.append(next_gap(gaps[-1], False, Gaps()))
    assert gaps == [120, 180, 270, 405, 607, 720, 720]


@pytest.mark.rule("R9.1")
def test_one_message_after_a_long_silence_makes_the_mailbox_active_again():
    assert next_gap(720, True, Gaps()) == 300


@pytest.mark.rule("R9.1", "R9.2")
def test_a_gap_that_leaves_the_active_range_waits_at_least_the_idle_minimum():
    settings = Gaps(active_min=10, active_max=60, idle_min=600, idle_max=900)
    assert next_gap(40, False, settings) == 60
    assert next_gap(60, False, settings) == 600


@pytest.mark.rule("R1.29", "R9.1")
def test_no_gap_is_shorter_than_the_profiles_polling_floor():
    assert next_gap(120, True, Gaps(), profile_floor=1_800) == 1_800


@pytest.mark.rule("R9.1")
@given(st.integers(0, 5_000), st.booleans())
def test_every_gap_lies_between_active_minimum_and_idle_maximum(previous, had_mail):
    assert 120 <= next_gap(previous, had_mail, Gaps()) <= 720


# -- back-off


@pytest.mark.rule("R9.5")
def test_pauses_double_and_end_at_an_hour():
    waits = [back_off(300, failures, None, jitter=0.5) for failures in range(1, 8)]
    assert waits == [300, 600, 1200, 2400, 3600, 3600, 3600]


@pytest.mark.rule("R9.5")
def test_jitter_moves_a_pause_by_a_quarter_to_either_side():
    assert back_off(400, 1, None, jitter=0.0) == 300
    assert back_off(400, 1, None, jitter=0.999_999) == 500


@pytest.mark.rule("R9.5")
def test_the_servers_own_hint_is_a_lower_bound_even_beyond_the_cap():
    assert back_off(300, 1, 7_200, jitter=0.5) == 7_200
    assert back_off(300, 1, 5, jitter=0.5) == 300


def test_an_absurd_hint_does_not_silence_a_mailbox_for_years():
    assert back_off(300, 1, 10**9, jitter=0.5) == 86_400


@pytest.mark.rule("R8.5")
def test_probes_of_a_paused_workload_grow_from_a_quarter_of_an_hour_to_six_hours():
    minutes = [probe_gap(probes) // 60 for probes in range(7)]
    assert minutes == [15, 30, 60, 120, 240, 360, 360]


# -- failures

TIMEOUT = Failure("SocketTimedOut", timed_out=True)
REFUSED = Failure("InvalidCredentials", permanent=True)


@pytest.mark.rule("R8.5")
def test_a_server_found_well_again_meets_a_share_of_its_paused_mailboxes_each_half_minute():
    delays = [probe_again(number, 20, 0.5) for number in range(60)]
    assert [delays.count(delay) for delay in sorted(set(delays))] == [20, 20, 20]
    assert sorted(set(delays)) == [15, 45, 75]
    assert 0 <= probe_again(7, 20, 0.0) < probe_again(7, 20, 0.99) <= 30


@pytest.mark.rule("R8.2")
def test_a_permanent_error_disables_at_once():
    state = after_failure(REFUSED, READY, 0, Limits(), 0.5)
    assert (state.state, state.code, state.wait) == (DISABLED, "InvalidCredentials", None)
    assert not state.enabled


@pytest.mark.rule("R8.3")
def test_a_transient_error_postpones_and_leaves_the_workload_ready():
    state = after_failure(TIMEOUT, READY, 0, Limits(on_timeout=600), 0.5)
    assert (state.state, state.failures, state.wait) == (READY, 1, 600)
    assert state.enabled and not state.permanent


@pytest.mark.rule("R8.5")
def test_exhausted_transient_errors_pause_and_are_probed():
    state = after_failure(TIMEOUT, READY, 9, Limits(), 0.5)
    assert (state.state, state.failures, state.wait) == (PAUSED, 10, 900)
    again = after_failure(TIMEOUT, state.state, state.failures, Limits(), 0.5)
    assert (again.state, again.wait, again.changed) == (PAUSED, 1_800, False)


@pytest.mark.rule("R8.3", "R8.5")
def test_under_strict_parity_exhausted_transient_errors_disable_and_keep_their_code():
    state = after_failure(TIMEOUT, READY, 9, Limits(pause=False), 0.5)
    assert (state.state, state.code, state.wait) == (DISABLED, "SocketTimedOut", None)
    assert state.permanent


@pytest.mark.rule("R8.3")
def test_the_failure_before_the_last_allowed_one_still_only_postpones():
    for pause in (True, False):
        assert after_failure(TIMEOUT, READY, 8, Limits(pause=pause), 0.5).state == READY


@pytest.mark.rule("R8.2", "R8.5")
def test_a_permanent_error_while_paused_disables():
    assert after_failure(REFUSED, PAUSED, 12, Limits(), 0.5).state == DISABLED


# -- choosing


def test_the_oldest_run_first():
    rows = [row(1, minutes_late=1), row(2, minutes_late=9), row(3, minutes_late=5)]
    assert choose(rows, {}, limit=2).chosen == (2, 3)


def test_requested_runs_go_before_older_ones():
    rows = [row(1, minutes_late=60), row(2, requested=True)]
    assert choose(rows, {}, limit=1).chosen == (2,)


@pytest.mark.rule("R9.8")
def test_profiles_take_turns_however_many_mailboxes_one_has_waiting():
    crowd = [row(n, "crowded", minutes_late=60) for n in range(50)]
    chosen = choose([*crowd, row(90, "small"), row(91, "small")], {}, limit=4).chosen
    assert chosen == (0, 90, 1, 91)


@pytest.mark.rule("R9.8")
def test_the_profile_that_uses_the_fewest_workers_comes_first():
    rows = [row(1, "slow", minutes_late=60), row(2, "quick")]
    assert choose(rows, {"slow": 3}, limit=1).chosen == (2,)


@pytest.mark.rule("R9.8")
def test_no_more_than_the_profiles_share_run_at_a_time():
    share = [Cap("p", 3)]
    choice = choose([row(n, caps=share) for n in range(5)], {"p": 1}, limit=10)
    assert choice.chosen == (0, 1)
    assert choice.left == {2: "p", 3: "p", 4: "p"}


@pytest.mark.rule("R1.29", "R9.6")
def test_connections_of_one_account_are_capped_and_others_go_on():
    busy, free = [Cap("account:a", 2)], [Cap("account:b", 2)]
    rows = [row(n, caps=busy) for n in range(3)] + [row(9, caps=free)]
    choice = choose(rows, {"account:a": 1}, limit=10)
    assert choice.chosen == (0, 9)
    assert choice.left == {1: "account:a", 2: "account:a"}


def test_what_only_the_page_kept_back_is_told_apart_from_what_a_cap_did():
    choice = choose([row(1), row(2)], {}, limit=1)
    assert choice.left == {2: ""}


@pytest.mark.rule("R9.6", "R9.8")
@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.booleans(), st.integers(0, 99)), max_size=40),
    st.dictionaries(st.sampled_from("abc"), st.integers(0, 6)),
    st.integers(0, 12),
)
def test_no_choice_exceeds_a_cap_or_the_limit_and_every_row_is_accounted_for(facts, running, limit):
    rows = [
        row(number, profile, late, requested, [Cap(profile, 4)])
        for number, (profile, requested, late) in enumerate(facts)
    ]
    choice = choose(rows, running, limit)
    by_profile = {r.workload_id: r.profile_key for r in rows}
    for profile in "abc":
        taken = sum(by_profile[number] == profile for number in choice.chosen)
        assert taken == 0 or taken + running.get(profile, 0) <= 4
    assert len(choice.chosen) <= limit
    assert sorted([*choice.chosen, *choice.left]) == [r.workload_id for r in rows]
