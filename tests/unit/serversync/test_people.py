"""Brakes, second factors, sessions and roles, as decisions."""

from datetime import UTC, datetime, timedelta

import pyotp
import pytest

from mailboxes.choices import Reach, SecondFactor
from serversync.people.roles import ADMINISTRATOR, ROLES, SUPPORT, USER, difference, still_to_give
from serversync.people.secondfactor import is_required, picture_of, plain, step_of, uri_of
from serversync.people.sessions import is_over, page_before
from serversync.people.throttling import (
    LONGEST,
    QUIET,
    Count,
    failures_now,
    held_until,
    neighbourhood,
    wait_after,
)

NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)
KEY = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"


# -- brakes


def test_waits_grow_and_end_at_a_quarter_of_an_hour():
    waits = [wait_after(failures, 5).total_seconds() for failures in range(4, 15)]
    assert waits == [0, 5, 10, 20, 40, 80, 160, 320, 640, 900, 900]
    assert wait_after(10**6, 5) == LONGEST


def test_an_attempt_waits_from_the_last_failure_on():
    count = Count(6, NOW)
    assert held_until(count, 5, NOW + timedelta(seconds=9)) == NOW + timedelta(seconds=10)
    assert held_until(count, 5, NOW + timedelta(seconds=10)) is None
    assert held_until(None, 5, NOW) is None


def test_after_a_quiet_time_counting_begins_anew():
    assert failures_now(Count(40, NOW), NOW + QUIET) == 0
    assert failures_now(Count(40, NOW), NOW + QUIET - timedelta(seconds=1)) == 40


@pytest.mark.parametrize(
    ("address", "counted"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("unknown", ""),
    ],
)
def test_neighbours_of_ipv6_are_one(address, counted):
    assert neighbourhood(address) == counted


# -- codes


def test_a_code_is_good_around_its_time_and_once():
    step = int(NOW.timestamp()) // 30
    code = pyotp.TOTP(KEY).at(NOW)
    assert step_of(KEY, code, -1, NOW) == step
    assert step_of(KEY, f"{code[:3]} {code[3:]}", -1, NOW + timedelta(seconds=30)) == step
    assert step_of(KEY, code, step, NOW) is None
    assert step_of(KEY, code, -1, NOW + timedelta(seconds=90)) is None


@pytest.mark.parametrize("typed", ["", "12345", "abcdef", "１２３４５６", "1234567"])
def test_what_is_no_code_is_refused(typed):
    assert step_of(KEY, typed, -1, NOW) is None


def test_recovery_codes_are_compared_however_they_were_typed():
    assert plain(" ABCDE-fg2h3 ") == "abcdefg2h3"


def test_the_picture_needs_no_style_and_no_script():
    drawn = picture_of(uri_of(KEY, "ada"))
    assert drawn.startswith("<svg") and "style" not in drawn and "script" not in drawn


@pytest.mark.parametrize(
    ("policy", "administers", "required"),
    [
        (SecondFactor.OPTIONAL, True, False),
        (SecondFactor.ADMINISTRATORS, True, True),
        (SecondFactor.ADMINISTRATORS, False, False),
        (SecondFactor.ALL, False, True),
    ],
)
def test_who_must_have_a_second_factor(policy, administers, required):
    assert is_required(policy, administers=administers) is required


# -- sessions


@pytest.mark.parametrize(
    ("since", "seen", "over"), [(0, 90, False), (0, 39, True), (-901, 90, True)]
)
def test_sessions_end_by_age_and_by_idleness(since, seen, over):
    assert is_over(since, seen, 99, longest=1000, idle=60) is over


@pytest.mark.parametrize(
    ("has_factor", "passed", "required", "page"),
    [
        (True, False, False, "second_factor"),
        (True, True, True, ""),
        (False, False, True, "second_factor_setup"),
        (False, False, False, ""),
    ],
)
def test_what_stands_before_the_console(has_factor, passed, required, page):
    assert page_before(has_factor=has_factor, passed=passed, required=required) == page


# -- roles


def test_support_may_nothing_that_a_mail_administrator_may_not():
    assert set(SUPPORT.permissions) < set(ADMINISTRATOR.permissions)


def test_no_role_hands_out_permissions_or_reads_everybodys_records():
    for role in ROLES.values():
        assert not {
            name for name in role.permissions if name.endswith(("_group", "_permission"))
        } - {"auth.view_group"}
        if role.reach == Reach.ALL:
            rooms = {name for name in role.permissions if name.startswith("activities.")}
            assert all("bouncedaddress" in name or "storedbytes" in name for name in rooms)


def test_an_update_gives_only_what_was_never_given():
    given = [name for name in USER.permissions if name != "serversync.track_syncitem"]
    assert still_to_give(USER, given) == ("serversync.track_syncitem",)
    assert still_to_give(USER, USER.permissions) == ()


def test_what_a_site_changed_is_told_both_ways():
    present = [*SUPPORT.permissions[1:], "activities.view_email"]
    found = difference(SUPPORT, present, Reach.TEAM)
    assert found.extra == ("activities.view_email",)
    assert found.missing == (SUPPORT.permissions[0],)
    assert found.reach == Reach.TEAM
    assert not difference(SUPPORT, SUPPORT.permissions, Reach.ALL)
