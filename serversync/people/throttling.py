"""Brakes on sign-ins: after a few failures each further attempt waits longer, up to a quarter of an hour.

Failures are counted three ways: of this account from this address, of this account from anywhere, of this
address with any account. From where an account has signed in before, only the first of them holds it, so that
nobody is locked out by what somebody else tries elsewhere, or behind the same proxy with other accounts.

Accounts that don't exist are counted like others, so that nothing tells them apart. Each attempt is counted
before its password is looked at: many at once are no way round.
"""

import ipaddress
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction
from django.utils.crypto import salted_hmac

from serversync.models import SignInBrake

FIRST = timedelta(seconds=5)  # the first wait; each further one is twice as long
LONGEST = timedelta(minutes=15)
QUIET = timedelta(hours=12)  # without a failure for so long, counting begins anew
KNOWN = timedelta(days=30)  # for so long after a success an account knows an address


@dataclass(frozen=True, slots=True)
class Brake:
    """`free`: failures before the first wait. `spares_known`: holds only strangers to the account."""

    key: str
    free: int
    spares_known: bool = False


@dataclass(frozen=True, slots=True)
class Count:
    """What is stored of one brake."""

    failures: int
    last_on: datetime


# -- decisions -----------------------------------------------------------------------------------


def wait_after(failures: int, free: int) -> timedelta:
    """How long after its last failure the next attempt waits."""
    if failures < free:
        return timedelta()
    doublings = min(failures - free, 20)
    return min(FIRST * int(2**doublings), LONGEST)


def held_until(count: Count | None, free: int, now: datetime) -> datetime | None:
    """None: the attempt may be made."""
    if count is None or now - count.last_on >= QUIET:
        return None
    until = count.last_on + wait_after(count.failures, free)
    return until if until > now else None


def failures_now(count: Count | None, now: datetime) -> int:
    return 0 if count is None or now - count.last_on >= QUIET else count.failures


def knows(known_on: datetime | None, now: datetime) -> bool:
    return known_on is not None and now - known_on < KNOWN


def neighbourhood(address: str) -> str:
    """Of IPv6 the network of 64 bits: whoever has one address of it has them all."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return ""
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is not None:
            return str(parsed.ipv4_mapped)
        return str(ipaddress.ip_network((parsed, 64), strict=False))
    return str(parsed)


# -- the brakes of an attempt --------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Brakes:
    """`pair`: the one that a success clears."""

    pair: Brake
    others: tuple[Brake, ...] = ()

    @property
    def all(self) -> tuple[Brake, ...]:
        return (self.pair, *self.others)


def of_sign_in(account: str, address: str) -> Brakes:
    account, place = account.strip().casefold(), neighbourhood(address)
    return Brakes(
        Brake(_key("pair", account, place), free=5),
        (
            Brake(_key("account", account), free=20, spares_known=True),
            Brake(_key("address", place), free=50, spares_known=True),
        ),
    )


def of_second_factor(user_key: object, address: str) -> Brakes:
    """Whoever got hold of a password must not be able to hold back its owner's codes with wrong ones."""
    account, place = str(user_key), neighbourhood(address)
    return Brakes(
        Brake(_key("factor", account, place), free=5),
        (Brake(_key("factor of", account), free=10, spares_known=True),),
    )


def of_own_password(user_key: object) -> Brakes:
    """Asked for again of somebody who is signed in already."""
    return Brakes(Brake(_key("password", str(user_key)), free=5))


def _key(*parts: str) -> str:
    return salted_hmac("serversync.brake", "\n".join(parts), algorithm="sha256").hexdigest()


# -- the edge ------------------------------------------------------------------------------------


@transaction.atomic
def begin(brakes: Brakes, now: datetime) -> timedelta | None:
    """Count an attempt before it is made. How long to wait instead; None: go on.

    An attempt that is held leaves no row: else whoever makes up names would fill the table.
    """
    wait = _hold(brakes, SignInBrake.objects.in_bulk([each.key for each in brakes.all]), now)
    if wait is not None:
        return wait
    rows = _locked(brakes.all, now)
    wait = _hold(brakes, rows, now)  # others may have failed meanwhile
    if wait is not None:
        return wait
    for row in rows.values():
        row.failures = failures_now(_count(row), now) + 1
        row.last_on = now
    SignInBrake.objects.bulk_update(rows.values(), ["failures", "last_on"])
    return None


def _hold(brakes: Brakes, rows: Mapping[str, SignInBrake], now: datetime) -> timedelta | None:
    """How long these rows hold an attempt."""
    pair = rows.get(brakes.pair.key)
    known = pair is not None and knows(pair.known_on, now)
    holding = [
        until
        for brake in brakes.all
        if not (known and brake.spares_known)
        and (row := rows.get(brake.key)) is not None
        and (until := held_until(_count(row), brake.free, now)) is not None
    ]
    return max(holding) - now if holding else None


@transaction.atomic
def succeeded(brakes: Brakes, now: datetime) -> None:
    """The pair begins anew; elsewhere only this attempt is taken back, for others may have failed."""
    rows = _locked(brakes.all, now)
    for row in rows.values():
        row.failures = max(0, row.failures - 1)
    pair = rows[brakes.pair.key]
    pair.failures, pair.known_on = 0, now
    SignInBrake.objects.bulk_update(rows.values(), ["failures", "known_on"])


def wait_of(brakes: Brakes, now: datetime) -> timedelta:
    """How long the next attempt of this pair will have to wait."""
    row = SignInBrake.objects.filter(pk=brakes.pair.key).first()
    until = held_until(_count(row), brakes.pair.free, now) if row else None
    return until - now if until else timedelta()


def forget(now: datetime) -> int:
    """Rows that hold nobody and are known to nobody."""
    old = SignInBrake.objects.filter(last_on__lt=now - QUIET)
    strangers = old.filter(known_on__isnull=True) | old.filter(known_on__lt=now - KNOWN)
    return strangers.delete()[0]


def _locked(brakes: Iterable[Brake], now: datetime) -> Mapping[str, SignInBrake]:
    """Always in the order of their keys, so that two attempts never wait for each other."""
    keys = sorted(brake.key for brake in brakes)
    SignInBrake.objects.bulk_create(
        [SignInBrake(key=key, last_on=now) for key in keys], ignore_conflicts=True
    )
    rows = SignInBrake.objects.select_for_update().filter(pk__in=keys).order_by("pk")
    return {row.key: row for row in rows}


def _count(row: SignInBrake) -> Count:
    return Count(row.failures, row.last_on)
