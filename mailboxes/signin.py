"""Tokens of mailboxes: where they come from, how they are renewed, and when a person must sign in.

A `Bearer` asks here for a token when an adapter logs in. Application tokens are kept in the memory of
each process. The tokens of an owner's sign-in are columns of the mailbox, and many authorities give out
a new refresh token with each use and take the former one no more; so:

    1. one worker takes the lease (`oauth_renewal_until`), the others wait for what it stores
    2. it asks the authority, outside of any transaction
    3. it stores the new refresh token and the new access token in one committed UPDATE, which holds
       only if nobody has signed in anew, disconnected or changed the account meanwhile
    4. only then the access token is used

A crash between the authority's answer and step 3 loses the answer. Authorities that let the former
refresh token live on (Google, Microsoft) don't mind; with those that don't the owner has to sign in
again, and is told so.
"""

import hashlib
import hmac
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Any

from django.conf import settings
from django.db import OperationalError, transaction
from django.db.models import Count, Q
from django.utils import timezone
from django.utils.translation import gettext as _

from mailboxes import access
from mailboxes.authorities import (
    GMAIL_WARNING_AT,
    IDLE_DAYS,
    OAUTH_RETRIEVALS,
    Authority,
    authority_of,
)
from mailboxes.choices import CredentialRetrieval, OAuthGrant
from mailboxes.models import EmailServerProfile, Mailbox, SystemUser
from mailboxes.places import entered_for, is_kept_back, place_of_mailbox
from mailboxes.protocols import oauth
from mailboxes.protocols.base import Bearer
from mailboxes.protocols.errors import (
    AuthorityUnavailable,
    ClientRefused,
    ServerError,
    SignInExpired,
    SignInNeeded,
    SignInWrongAccount,
)
from mailboxes.protocols.http import Reach
from mailboxes.protocols.oauth import Client, Tokens
from mailboxes.secrets import Secret, SecretUnreadable

Clock = Callable[[], datetime]
Sleep = Callable[[float], None]

MARGIN = timedelta(minutes=2)  # a token that ends sooner is renewed before it is used
ANSWER_SECONDS = 20.0  # for the authority: its name, its address, TLS and its answer, each
# Longer than all of that twice: a refresh token that is sent a second time may end the sign-in.
RENEWAL_LEASE = timedelta(minutes=3)
WAIT_SECONDS = 20.0  # for another worker's renewal
WAIT_STEP_SECONDS = 0.1
PENDING_FOR = timedelta(minutes=10)
SOON = timedelta(days=14)  # warned of before a client secret or an unused token ends
CACHED_TOKENS = 1000

#: What a mailbox holds of its owner's sign-in, emptied. Written where another account is meant.
SIGNED_OUT: dict[str, Any] = {
    "oauth_access_token": "",
    "oauth_refresh_token": "",
    "oauth_token_expires_on": None,
    "oauth_signed_in_on": None,
    "oauth_signed_in_as": "",
    "oauth_refused_code": "",
    "oauth_renewal_until": None,
}


# -- arrangements --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Arrangement:
    """How one profile comes by tokens."""

    authority: Authority
    client: Client
    reach: Reach

    @property
    def by_owner(self) -> bool:
        return self.authority.grant == OAuthGrant.MAILBOX


class NotArranged(ClientRefused):
    """The profile lacks what the authority needs to know; `missing` names the columns."""

    def __init__(self, missing: tuple[str, ...], detail: str) -> None:
        super().__init__(detail)
        self.missing = missing


def uses_oauth(retrieval: CredentialRetrieval) -> bool:
    return retrieval in OAUTH_RETRIEVALS


def oauth_retrieval(profile: EmailServerProfile) -> CredentialRetrieval | None:
    """The way of this profile that needs tokens, incoming before outgoing; None if neither does."""
    sides = [profile.incoming_credential_retrieval]
    if not profile.use_same_settings_for_outgoing_connections:
        sides.append(profile.outgoing_credential_retrieval)
    found = (CredentialRetrieval(side) for side in sides)
    return next((each for each in found if uses_oauth(each)), None)


def arrange(profile: EmailServerProfile, retrieval: CredentialRetrieval) -> Arrangement:
    """Raises NotArranged where something isn't filled in, and its secret's SecretUnreadable."""
    authority = authority_of(profile, retrieval, settings.OAUTH_TENANT_ID)
    own = retrieval == CredentialRetrieval.SERVER_TO_SERVER
    missing = list(authority.missing)
    if own:
        client = Client(settings.OAUTH_CLIENT_ID, settings.OAUTH_CLIENT_SECRET)
        if not (client.id and client.secret):
            raise NotArranged(
                (), _("OAUTH_CLIENT_ID and OAUTH_CLIENT_SECRET of the site are not set.")
            )
    else:
        client = Client(profile.oauth_client_id, profile.oauth_client_secret.reveal())
        if not client.id:
            missing.append("oauth_client_id")
        # Whoever opens all mailboxes proves who it is; a client of owners may be a public one.
        if not client.secret and authority.grant == OAuthGrant.APPLICATION:
            missing.append("oauth_client_secret")
    if missing:
        names = ", ".join(f"“{_label(name)}”" for name in missing)
        raise NotArranged(
            tuple(missing), _("Missing on the server profile: %(columns)s.") % {"columns": names}
        )
    return Arrangement(authority, client, _reach(profile, authority))


def _label(column: str) -> str:
    return str(EmailServerProfile._meta.get_field(column).verbose_name)  # type: ignore[union-attr]


def _reach(profile: EmailServerProfile, authority: Authority) -> Reach:
    """The profile's own certificate authority speaks for the authority only where the profile names
    that, too; there the public roots count besides, for the two servers may lie apart."""
    return Reach(
        timeout_seconds=ANSWER_SECONDS,
        ca_pem="" if authority.preset else profile.ca_certificate,
        denied_networks=tuple(settings.MAIL_DENIED_NETWORKS),
    )


# -- tokens for adapters -------------------------------------------------------------------------


def bearer_for(
    mailbox: Mailbox,
    profile: EmailServerProfile,
    retrieval: CredentialRetrieval,
    *,
    clock: Clock = timezone.now,
    sleep: Sleep = time.sleep,
) -> Bearer:
    """What an adapter logs in with. Opens nothing yet; `token` may ask the authority and write.

    Raises NotArranged, SignInNeeded and SignInExpired, for what is known without asking anybody.
    """
    arrangement = arrange(profile, retrieval)
    if not arrangement.by_owner:
        return Bearer(
            mailbox.email_address,
            lambda refused: _application_token(arrangement, refused, clock),
        )
    _require_signed_in(mailbox)
    renewal = _Renewal(mailbox, arrangement, clock, sleep)
    return Bearer(login_name(mailbox), renewal.token)


def held_token(
    mailbox: Mailbox,
    profile: EmailServerProfile,
    retrieval: CredentialRetrieval,
    *,
    clock: Clock = timezone.now,
) -> str:
    """A token that lasts and is at hand, so that neither database nor authority is asked; else "".
    Raises as `bearer_for`."""
    arrangement = arrange(profile, retrieval)
    if not arrangement.by_owner:
        held = _held(_cache_key(arrangement), clock())
        return held.access if held else ""
    _require_signed_in(mailbox)
    return _Renewal(mailbox, arrangement, clock, time.sleep).held()


def login_name(mailbox: Mailbox) -> str:
    """The account that an owner signs in to: the user name where one is entered, else the address."""
    return mailbox.user_name or mailbox.email_address


def _require_signed_in(mailbox: Mailbox) -> None:
    if mailbox.oauth_refused_code:
        raise SignInExpired(_("The provider refused the stored sign-in."))
    if not mailbox.oauth_access_token and not mailbox.oauth_refresh_token:
        raise SignInNeeded(_("Nobody has signed in for this mailbox yet."))


# -- application tokens --------------------------------------------------------------------------

_cache: dict[tuple[str, ...], Tokens] = {}
_cache_lock = threading.Lock()


def _application_token(arrangement: Arrangement, refused: str, clock: Clock) -> str:
    """From memory while it lasts. Client and secret are part of the key, so changed ones count at
    once; only their digest stays in memory."""
    authority, client = arrangement.authority, arrangement.client
    key, now = _cache_key(arrangement), clock()
    held = _held(key, now)
    if held is not None and held.access != refused:
        return held.access
    _forbid_transaction()
    tokens = oauth.client_credentials(
        authority.token_endpoint, client, arrangement.reach, now, scope=authority.scope
    )
    with _cache_lock:
        if len(_cache) >= CACHED_TOKENS:
            _cache.clear()
        _cache[key] = tokens
    return tokens.access


def _cache_key(arrangement: Arrangement) -> tuple[str, ...]:
    authority, client = arrangement.authority, arrangement.client
    digest = hashlib.sha256(f"{client.id}\0{client.secret}".encode()).hexdigest()
    return (authority.token_endpoint, authority.scope, digest, arrangement.reach.ca_pem)


def _held(key: tuple[str, ...], now: datetime) -> Tokens | None:
    with _cache_lock:
        held = _cache.get(key)
    return held if held is not None and held.expires_at - MARGIN > now else None


def forget_application_tokens() -> None:
    """For tests, and for whoever has changed what the application may do."""
    with _cache_lock:
        _cache.clear()


def _forbid_transaction() -> None:
    """Raise RuntimeError inside a transaction: nobody waits for a network in one."""
    with transaction.atomic(durable=True):
        pass


# -- tokens of owners ----------------------------------------------------------------------------


class _Renewal:
    """The token of one mailbox for one conversation."""

    def __init__(
        self, mailbox: Mailbox, arrangement: Arrangement, clock: Clock, sleep: Sleep
    ) -> None:
        self._mailbox = mailbox
        self._arrangement = arrangement
        self._clock = clock
        self._sleep = sleep

    def token(self, refused: str) -> str:
        """The stored one while it lasts and wasn't refused, without a statement; else a new one."""
        if fit := self._fit(self._mailbox, refused):
            return fit
        deadline = time.monotonic() + WAIT_SECONDS
        while True:
            row = self._read()
            _require_signed_in(row)
            if fit := self._fit(row, refused):
                return fit
            if not row.oauth_refresh_token:
                raise self._give_up(
                    row, SignInExpired(_("The token is over and can't be renewed."))
                )
            if lease := self._take_lease(row):
                return self._renew(row, lease)
            if time.monotonic() > deadline:
                raise AuthorityUnavailable(_("Another worker is still renewing the token."))
            self._sleep(WAIT_STEP_SECONDS)

    def held(self) -> str:
        """The stored one while it lasts, without a statement; else ""."""
        return self._fit(self._mailbox, "")

    def _fit(self, row: Mailbox, refused: str) -> str:
        expires = row.oauth_token_expires_on
        if expires is None or expires - MARGIN <= self._clock() or row.oauth_refused_code:
            return ""
        held = _reveal(row.oauth_access_token)
        return "" if held == refused else held

    def _read(self) -> Mailbox:
        row: Mailbox | None = self._rows().only(*SIGNED_OUT, "account_generation").first()
        if row is None:
            raise SignInNeeded(_("Nobody has signed in for this mailbox yet."))
        return row

    def _rows(self) -> Any:
        """The mailbox, as long as it means the same account."""
        return Mailbox.objects.filter(
            pk=self._mailbox.pk, account_generation=self._mailbox.account_generation
        )

    def _take_lease(self, row: Mailbox) -> datetime | None:
        now = self._clock()
        until = now + RENEWAL_LEASE
        free = Q(oauth_renewal_until=None) | Q(oauth_renewal_until__lt=now)
        with transaction.atomic(durable=True):  # raises where a transaction would span the network
            taken = self._holding(row).filter(free).update(oauth_renewal_until=until)
        return until if taken else None

    def _holding(self, row: Mailbox) -> Any:
        return self._rows().filter(oauth_refresh_token=row.oauth_refresh_token)

    def _renew(self, row: Mailbox, lease: datetime) -> str:
        mine = self._holding(row).filter(oauth_renewal_until=lease)
        authority = self._arrangement.authority
        try:
            tokens = oauth.refresh(
                authority.token_endpoint,
                self._arrangement.client,
                self._arrangement.reach,
                self._clock(),
                token=_reveal(row.oauth_refresh_token),
            )
        except SignInExpired as error:
            raise self._give_up(row, error) from error
        except BaseException:
            mine.update(oauth_renewal_until=None)
            raise
        return self._store(mine, tokens)

    def _store(self, mine: Any, tokens: Tokens) -> str:
        """What the authority has given out is lost if it isn't stored, so a busy database is asked
        again. If the row means something else by now, this token is nobody's."""
        columns: dict[str, Any] = {
            "oauth_access_token": Secret.conceal(tokens.access),
            "oauth_token_expires_on": tokens.expires_at,
            "oauth_renewal_until": None,
        }
        if tokens.refresh:
            columns["oauth_refresh_token"] = Secret.conceal(tokens.refresh)
        if not _insist(lambda: mine.update(**columns), self._sleep):
            raise AuthorityUnavailable(_("The sign-in of this mailbox changed meanwhile."))
        for name in ("oauth_access_token", "oauth_refresh_token", "oauth_token_expires_on"):
            if name in columns:
                setattr(self._mailbox, name, columns[name])
        return tokens.access

    def _give_up(self, row: Mailbox, error: SignInExpired) -> ServerError:
        """The refresh token is dead. Noted, so that nobody asks again until somebody signs in."""
        kept = {name: getattr(row, name) for name in ("oauth_signed_in_on", "oauth_signed_in_as")}
        columns = {**SIGNED_OUT, **kept, "oauth_refused_code": error.code}
        self._holding(row).update(**columns)
        return error


def _reveal(secret: Secret) -> str:
    """A token that no key opens is as good as none: the owner signs in again."""
    try:
        return secret.reveal()
    except SecretUnreadable as error:
        raise SignInExpired(
            _("The stored token can't be decrypted with the site's keys.")
        ) from error


def _insist(write: Callable[[], int], sleep: Sleep) -> int:
    for wait in (0.2, 1.0, 3.0):
        try:
            return write()
        except OperationalError:
            sleep(wait)
    return write()


# -- an owner signs in ---------------------------------------------------------------------------


class SignInLost(SignInNeeded):
    """The way back from the provider doesn't fit the way there: begin again."""


def may_sign_in(actor: SystemUser, mailbox: Mailbox) -> bool:
    """A user's mailbox is the user's alone. For a queue or a forward mailbox: its owner, and of the owning
    team or the queue's members those who may change it. Nobody else, administrators neither: whoever
    signs in decides whose mail this is (R1.21)."""
    if mailbox.regarding_user_id is not None:
        return bool(actor.is_active) and mailbox.regarding_user_id == actor.pk
    if mailbox.owning_user_id == actor.pk:
        return bool(actor.is_active)
    return access.may_read_content(actor, mailbox) and access.may(actor, "change", mailbox)


def begin_sign_in(
    mailbox: Mailbox, actor: SystemUser, redirect_uri: str, now: datetime
) -> tuple[str, dict[str, str]]:
    """The provider's page to send the browser to, and what to keep in the session until it is back.

    Needs nothing of the database. Raises PermissionDenied, NotArranged, and SignInNeeded where this
    mailbox opens by other means."""
    _require_may(actor, mailbox)
    arrangement = _owner_arrangement(mailbox)
    verifier, state = oauth.new_verifier(), secrets.token_urlsafe(32)
    authority = arrangement.authority
    url = oauth.sign_in_url(
        authority.authorization_endpoint,
        arrangement.client.id,
        redirect_uri=redirect_uri,
        scope=authority.scope,
        state=state,
        verifier=verifier,
        extra={**dict(authority.extra), "login_hint": login_name(mailbox)},
    )
    return url, {
        "mailbox": str(mailbox.pk),
        "actor": str(actor.pk),
        "generation": str(mailbox.account_generation),
        "place": _place(mailbox),
        "state": state,
        "verifier": Secret.conceal(verifier).token,
        "redirect_uri": redirect_uri,
        "until": (now + PENDING_FOR).isoformat(),
    }


def finish_sign_in(
    pending: Mapping[str, str],
    *,
    actor: SystemUser,
    state: str,
    code: str = "",
    error: str = "",
    description: str = "",
    issuer: str = "",
    now: datetime,
) -> Mailbox:
    """Store the tokens that the provider gives for the code. Returns the mailbox.

    `pending`: taken out of the session by the caller, which makes the state good for one time only.
    `error`, `description`: what the provider sent in place of a code; `issuer`: who it says it is.
    Raises SignInLost, SignInWrongAccount, PermissionDenied, and whatever the authority answers.
    """
    mailbox = _expected(pending, actor, state, now)
    arrangement = _owner_arrangement(mailbox)
    _require_issuer(arrangement.authority, issuer)
    if error or not code:
        words = oauth.safe_words(description)
        text = f"{oauth.safe_words(error[:64])} {words}".strip()
        raise oauth.refusal_of(error or "access_denied", words, text)
    _forbid_transaction()
    tokens = oauth.redeem_code(
        arrangement.authority.token_endpoint,
        arrangement.client,
        arrangement.reach,
        now,
        code=code,
        verifier=Secret(pending["verifier"]).reveal(),
        redirect_uri=pending["redirect_uri"],
    )
    account = _require_right_account(mailbox, tokens)
    _store_sign_in(mailbox, tokens, account, now)
    return mailbox


def _require_may(actor: SystemUser, mailbox: Mailbox) -> None:
    if not may_sign_in(actor, mailbox):
        raise access.refusal(Mailbox, "change")


def _owner_arrangement(mailbox: Mailbox) -> Arrangement:
    profile = mailbox.email_server_profile
    retrieval = oauth_retrieval(profile) if profile else None
    if profile is None or retrieval is None:
        raise SignInNeeded(_("The server profile of this mailbox doesn't use sign-ins."))
    arrangement = arrange(profile, retrieval)
    if not arrangement.by_owner:
        raise SignInNeeded(_("The profile's client opens this mailbox; nobody needs to sign in."))
    return arrangement


def _expected(pending: Mapping[str, str], actor: SystemUser, state: str, now: datetime) -> Mailbox:
    """The mailbox that this person began to connect, if it still means the same account."""
    lost = SignInLost(_("This sign-in was begun elsewhere, or too long ago. Begin it again."))
    if not hmac.compare_digest(pending.get("state", "").encode(), state.encode()) or not state:
        raise lost
    if pending["actor"] != str(actor.pk) or datetime.fromisoformat(pending["until"]) < now:
        raise lost
    mailbox = (
        Mailbox.objects.select_related("email_server_profile")
        .filter(pk=pending["mailbox"], account_generation=int(pending["generation"]))
        .first()
    )
    if mailbox is None or pending.get("place") != _place(mailbox):
        raise lost
    _require_may(actor, mailbox)
    return mailbox


def _place(mailbox: Mailbox) -> str:
    """Which client leaves for which provider: a code that the one gave out is shown to no other, though
    the profile was changed while the person was there (R1.9)."""
    profile = mailbox.email_server_profile
    client = profile.oauth_client_id if profile else ""
    return f"{place_of_mailbox(profile, mailbox.email_address)} {client}"


def _require_issuer(authority: Authority, issuer: str) -> None:
    """A provider that names itself on the way back must be the one that was left for; else one of them
    has passed the person on to the other, to be shown the other's code (RFC 9207)."""
    if not issuer:
        return
    ours = (authority.authorization_endpoint, authority.token_endpoint)
    if oauth.host_of(issuer) not in {oauth.host_of(each) for each in ours}:
        raise SignInLost(_("Another provider answered than the one that was asked. Begin again."))


def _require_right_account(mailbox: Mailbox, tokens: Tokens) -> str:
    """The account that signed in, "" where the provider tells nothing; the first login proves it then."""
    accounts = oauth.accounts_in(tokens.claims)
    wanted = {name.strip().lower() for name in (mailbox.user_name, mailbox.email_address) if name}
    if accounts and not wanted & set(accounts):
        raise SignInWrongAccount(
            _("Signed in as %(account)s, but the mailbox is %(mailbox)s.")
            % {"account": accounts[0], "mailbox": login_name(mailbox)}
        )
    return accounts[0] if accounts else ""


def _store_sign_in(mailbox: Mailbox, tokens: Tokens, account: str, now: datetime) -> None:
    columns: dict[str, Any] = {
        "oauth_access_token": Secret.conceal(tokens.access),
        "oauth_refresh_token": Secret.conceal(tokens.refresh),
        "oauth_token_expires_on": tokens.expires_at,
        "oauth_signed_in_on": now,
        "oauth_signed_in_as": account[:320],
        "oauth_refused_code": "",
        "oauth_renewal_until": None,
        "secrets_place": place_of_mailbox(mailbox.email_server_profile, mailbox.email_address),
    }
    if columns["secrets_place"] != entered_for(mailbox, mailbox.email_server_profile):
        columns["password"] = ""  # it was entered for other servers, and doesn't follow (R1.9)
    rows = Mailbox.objects.filter(pk=mailbox.pk, account_generation=mailbox.account_generation)
    if not _insist(lambda: rows.update(**columns), time.sleep):
        raise SignInLost(_("The mailbox changed meanwhile. Begin again."))
    for name, value in columns.items():
        setattr(mailbox, name, value)


# -- signing out, and looking ahead --------------------------------------------------------------


def sign_out(mailbox: Mailbox) -> bool:
    """Forget the tokens of a mailbox, then revoke them at the provider. True if the provider has
    confirmed it; False if it offers no way, or none were there. Raises what the authority answers, when
    the tokens are forgotten already."""
    row = Mailbox.objects.select_related("email_server_profile").get(pk=mailbox.pk)
    token = row.oauth_refresh_token or row.oauth_access_token
    profile = row.email_server_profile
    at_home = profile is not None and not is_kept_back(row, profile)  # R1.9
    Mailbox.objects.filter(pk=mailbox.pk).update(**SIGNED_OUT)
    for name, value in SIGNED_OUT.items():
        setattr(mailbox, name, value)
    if not token or not at_home:
        return False
    _forbid_transaction()
    arrangement = _owner_arrangement(row)
    authority = arrangement.authority
    endpoint = authority.revocation_endpoint
    if not endpoint and not authority.preset:
        endpoint = oauth.revocation_endpoint(authority.token_endpoint, arrangement.reach)
    if not endpoint:
        return False
    oauth.revoke(endpoint, arrangement.client, arrangement.reach, token=_reveal(token))
    return True


class Outlook(StrEnum):
    """What is to be expected of a mailbox's tokens."""

    NOT_NEEDED = "not needed"
    NOT_ARRANGED = "not arranged"  # the profile lacks something
    NEVER = "never"  # nobody has signed in yet
    REFUSED = "refused"  # expired or revoked: sign in again
    ENDS = "ends"  # no refresh token, so it ends with the access token
    IDLE = "idle"  # unused for long: the provider will drop it at `at`
    SECRET_ENDS = "secret ends"  # the client secret of the profile
    GOOD = "good"

    @property
    def needs_person(self) -> bool:
        return self not in (Outlook.NOT_NEEDED, Outlook.GOOD)


@dataclass(frozen=True, slots=True)
class Forecast:
    """`at`: when it ends, where that is known; `missing`: columns of the profile to fill in."""

    outlook: Outlook
    at: datetime | date | None = None
    by_owner: bool = False
    missing: tuple[str, ...] = ()


def forecast(mailbox: Mailbox, now: datetime) -> Forecast:
    """Reads the rows given and asks nobody (R1.21). `email_server_profile` should be selected, too."""
    profile = mailbox.email_server_profile
    retrieval = oauth_retrieval(profile) if profile else None
    if profile is None or retrieval is None:
        return Forecast(Outlook.NOT_NEEDED)
    try:
        arrangement = arrange(profile, retrieval)
    except NotArranged as error:
        return Forecast(Outlook.NOT_ARRANGED, missing=error.missing)
    except SecretUnreadable:
        return Forecast(Outlook.NOT_ARRANGED, missing=("oauth_client_secret",))
    if arrangement.by_owner:
        outlook, at = _owner_outlook(mailbox, arrangement.authority, now)
        if outlook != Outlook.GOOD:
            return Forecast(outlook, at, by_owner=True)
    ends = profile.oauth_client_secret_expires_on
    own = retrieval == CredentialRetrieval.SERVER_TO_SERVER
    if ends is not None and not own and ends <= (now + SOON).date():
        return Forecast(Outlook.SECRET_ENDS, ends, by_owner=arrangement.by_owner)
    return Forecast(Outlook.GOOD, by_owner=arrangement.by_owner)


def _owner_outlook(
    mailbox: Mailbox, authority: Authority, now: datetime
) -> tuple[Outlook, datetime | None]:
    expires = mailbox.oauth_token_expires_on
    if mailbox.oauth_refused_code:
        return Outlook.REFUSED, None
    if not mailbox.oauth_refresh_token:
        if not mailbox.oauth_access_token or expires is None:
            return Outlook.NEVER, None
        return (Outlook.REFUSED, None) if expires <= now else (Outlook.ENDS, expires)
    # Each renewal sets `expires` anew, so it tells about when the refresh token was used last.
    idle = IDLE_DAYS.get(authority.issuer)
    if idle is not None and expires is not None:
        dies = expires + timedelta(days=idle)
        if dies - SOON <= now:
            return Outlook.IDLE, dies
    return Outlook.GOOD, None


def connected_mailboxes(profile: EmailServerProfile) -> int:
    """How many mailboxes of a profile an owner has connected."""
    return profile.mailboxes.filter(_CONNECTED).count()


_CONNECTED = Q(oauth_signed_in_on__isnull=False) & ~Q(oauth_refresh_token="")


def crowded_gmail_profiles() -> list[tuple[EmailServerProfile, int]]:
    """Gmail profiles at or over the number of accounts that R1.21 warns of."""
    gmail = CredentialRetrieval.GMAIL_OAUTH
    found = (
        EmailServerProfile.objects.filter(incoming_credential_retrieval=gmail)
        .annotate(
            connected=Count(
                "mailboxes",
                filter=Q(mailboxes__oauth_signed_in_on__isnull=False)
                & ~Q(mailboxes__oauth_refresh_token=""),
            )
        )
        .filter(connected__gte=GMAIL_WARNING_AT)
    )
    return [(profile, profile.connected) for profile in found]
