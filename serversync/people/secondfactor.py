"""The second factor: codes of an authenticator app (TOTP), and recovery codes for when it is lost."""

import logging
import secrets
from dataclasses import dataclass
from datetime import datetime

import pyotp
import segno
from django.contrib.auth import update_session_auth_hash
from django.db import transaction
from django.http import HttpRequest
from django.utils.crypto import salted_hmac
from django.utils.safestring import SafeString, mark_safe

from mailboxes import access
from mailboxes.choices import Reach, SecondFactor
from mailboxes.models import Mailbox, Organization, SystemUser
from mailboxes.secrets import SecretUnreadable
from serversync.models import Authenticator, RecoveryCode
from serversync.people import audit, throttling
from serversync.people.choices import AuditKind

log = logging.getLogger(__name__)

ISSUER = "serversync"
STEP = 30  # seconds
DRIFT = 1  # steps that a clock may go before or behind
CODES = 10
LETTERS = "abcdefghjkmnpqrstuvwxyz23456789"  # without those that are taken for each other
LENGTH = 10

PASSED = "second_factor"  # in the session: since when the factor is that was given
NEW_KEY = "second_factor_new"  # in the session: the encrypted key that is being set up


# -- decisions -----------------------------------------------------------------------------------


def is_required(policy: SecondFactor, *, administers: bool) -> bool:
    """Whether a user must have one."""
    if policy == SecondFactor.ALL:
        return True
    return policy == SecondFactor.ADMINISTRATORS and administers


def step_of(key: str, code: str, last_step: int, now: datetime) -> int | None:
    """The step whose code this is; None for a wrong code, and for one that was taken before."""
    digits = "".join(code.split())
    if not (digits.isascii() and digits.isdigit() and len(digits) == 6):
        return None
    present = int(now.timestamp()) // STEP
    totp = pyotp.TOTP(key)
    for step in range(present - DRIFT, present + DRIFT + 1):
        if secrets.compare_digest(totp.generate_otp(step), digits) and step > last_step:
            return step
    return None


def plain(code: str) -> str:
    """A recovery code as it is compared: however it was typed."""
    return "".join(letter for letter in code.lower() if letter.isalnum())


def uri_of(key: str, account: str, issuer: str = ISSUER) -> str:
    return pyotp.TOTP(key).provisioning_uri(name=account, issuer_name=issuer)


def picture_of(uri: str) -> SafeString:
    """An SVG without any style, as the strict content policy asks."""
    drawn = segno.make(uri, error="m").svg_inline(
        scale=5, border=4, dark="#000", light="#fff", omitsize=False
    )
    return mark_safe(drawn)  # drawn here: nothing of the text is in it but dark squares


# -- who must ------------------------------------------------------------------------------------


def administers(user: SystemUser) -> bool:
    """Who may change the organization, or mailboxes of everybody."""
    return (
        access.reach_of(user, Organization, "change") is not None
        or access.reach_of(user, Mailbox, "change") == Reach.ALL
    )


def must_have(user: SystemUser) -> bool:
    policy = SecondFactor(Organization.objects.current().second_factor)
    if policy == SecondFactor.OPTIONAL:
        return False
    return is_required(policy, administers=administers(user))


def has_passed(request: HttpRequest) -> bool:
    """In this session, with the factor that the user has now."""
    since = request.user.second_factor_since  # type: ignore[union-attr]
    return since is not None and request.session.get(PASSED) == since.isoformat()


# -- setting it up, giving it, taking it away ----------------------------------------------------


def new_key() -> str:
    return pyotp.random_base32()


@transaction.atomic
def set_up(request: HttpRequest, user: SystemUser, key: str, code: str, now: datetime) -> list[str]:
    """The recovery codes, to be shown once; empty if the code is wrong. Other sessions of the user end."""
    step = step_of(key, code, -1, now)
    if step is None:
        return []
    Authenticator.objects.update_or_create(
        user=user, defaults={"key": key, "last_step": step, "added_on": now}
    )
    _mark(user, now)
    codes = new_codes(user)
    _keep_session(request, user)
    audit.record(AuditKind.FACTOR_ADDED, about=user, now=now)
    return codes


@transaction.atomic
def new_codes(user: SystemUser) -> list[str]:
    """In place of all former ones."""
    RecoveryCode.objects.filter(user=user).delete()
    codes = ["".join(secrets.choice(LETTERS) for _ in range(LENGTH)) for _ in range(CODES)]
    RecoveryCode.objects.bulk_create(
        RecoveryCode(user=user, digest=_digest(user, code)) for code in codes
    )
    return [f"{code[:5]}-{code[5:]}" for code in codes]


@dataclass(frozen=True, slots=True)
class Given:
    """What became of a code. `wait`: seconds until the next one may be tried."""

    ok: bool
    wait: int = 0
    recovery: bool = False


def give(user: SystemUser, code: str, now: datetime, address: str) -> Given:
    """A code of the authenticator or a recovery code; each is good once. `address`: where it comes from."""
    brakes = throttling.of_second_factor(user.pk, address)
    held = throttling.begin(brakes, now)
    if held is not None:
        return Given(False, wait=max(1, round(held.total_seconds())))
    ok, recovery = _takes_code(user, code, now), False
    if not ok:
        ok = recovery = _takes_recovery(user, code, now)
    if not ok:
        audit.record(AuditKind.FACTOR_FAILED, about=user, now=now)
        return Given(False)
    throttling.succeeded(brakes, now)
    audit.record(
        AuditKind.RECOVERY_USED if recovery else AuditKind.FACTOR_PASSED, about=user, now=now
    )
    return Given(True, recovery=recovery)


def note_passed(request: HttpRequest) -> None:
    since = request.user.second_factor_since  # type: ignore[union-attr]
    request.session.cycle_key()
    request.session[PASSED] = since.isoformat() if since else ""


def codes_left(user: SystemUser) -> int:
    return RecoveryCode.objects.filter(user=user, used_on__isnull=True).count()


@transaction.atomic
def remove(request: HttpRequest, user: SystemUser, now: datetime) -> None:
    """By the user."""
    _drop(user)
    _keep_session(request, user)
    audit.record(AuditKind.FACTOR_REMOVED, about=user, now=now)


@transaction.atomic
def reset(user: SystemUser, now: datetime) -> bool:
    """By an administrator: all sessions of the user end. Whether there was one."""
    if user.second_factor_since is None:
        return False
    _drop(user)
    audit.record(AuditKind.FACTOR_RESET, about=user, now=now)
    return True


def _drop(user: SystemUser) -> None:
    Authenticator.objects.filter(user=user).delete()
    RecoveryCode.objects.filter(user=user).delete()
    _mark(user, None)


def _mark(user: SystemUser, now: datetime | None) -> None:
    user.second_factor_since = now
    SystemUser.objects.filter(pk=user.pk).update(second_factor_since=now)


def _keep_session(request: HttpRequest, user: SystemUser) -> None:
    """Only this one goes on."""
    update_session_auth_hash(request, user)
    since = user.second_factor_since
    request.session[PASSED] = since.isoformat() if since else ""


@transaction.atomic
def _takes_code(user: SystemUser, code: str, now: datetime) -> bool:
    row = Authenticator.objects.select_for_update().filter(pk=user.pk).first()
    if row is None:
        return False
    try:
        step = step_of(row.key.reveal(), code, row.last_step, now)
    except SecretUnreadable as unreadable:  # recovery codes still open the door
        log.error("The authenticator of user %s: %s", user.pk, unreadable)
        return False
    if step is None:
        return False
    row.last_step = step
    row.save(update_fields=["last_step"])
    return True


def _takes_recovery(user: SystemUser, code: str, now: datetime) -> bool:
    unused = RecoveryCode.objects.filter(user=user, used_on__isnull=True)
    return unused.filter(digest=_digest(user, plain(code))).update(used_on=now) == 1


def _digest(user: SystemUser, code: str) -> str:
    """Of fifty random bits, so that no slow digest is needed."""
    return salted_hmac("serversync.recovery", f"{user.pk}\n{code}", algorithm="sha256").hexdigest()
