"""Everything that people do to users, queues, mailboxes and profiles.

Forms, actions, commands and signals call these. Each writes only the columns it is about and
does what follows from them in one transaction: a changed address starts approval and tests over
(R1.43), a changed account its tests (R1.44). The engine's rows are reached by reverse relations.

Who may: `actor` None stands for the site itself (commands, signals). Where a rule names a
permission, the service asks for it, so that no door leads around it.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable
from copy import copy
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple, TypeVar

from django.contrib.admin.models import CHANGE, LogEntry
from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import F, Model, Q, QuerySet
from django.db.models.functions import Lower
from django.utils.functional import Promise
from django.utils.translation import gettext as __
from django.utils.translation import gettext_lazy as _

from mailboxes import access, search
from mailboxes.addresses import address_key
from mailboxes.alerts import raise_alert
from mailboxes.choices import (
    AccessApproval,
    ActDeliveryMethod,
    IncomingDeliveryMethod,
    Operation,
    OutgoingDeliveryMethod,
    ServerType,
    StateCode,
    TestStatus,
    WorkloadState,
)
from mailboxes.dkim import KeyKind, new_key, write_key
from mailboxes.legality import mailbox_faults, profile_faults
from mailboxes.models import (
    DiscoveredEndpoint,
    EmailServerProfile,
    Mailbox,
    Organization,
    Queue,
    SystemUser,
    TraceLog,
    UserSettings,
)
from mailboxes.models.deleting import heir_of
from mailboxes.places import (
    PROFILE_SECRETS,
    entered_for,
    place_of_mailbox,
    place_of_secret,
    place_of_site_client,
)
from mailboxes.signin import SIGNED_OUT

Party = SystemUser | Queue
M = TypeVar("M", bound=Model)

ALL = tuple(Operation)

#: What a change of these columns of a mailbox makes untrue (R1.44).
AFFECTED_BY_MAILBOX: dict[str, tuple[Operation, ...]] = {
    "email_server_profile": ALL,
    "allow_email_connector_to_use_credentials": ALL,
    "user_name": ALL,
    "password": ALL,
    "incoming_email_delivery_method": (Operation.INCOMING,),
    "outgoing_email_delivery_method": (Operation.OUTGOING,),
    "act_delivery_method": (Operation.ACT,),
}
#: Columns of a mailbox after whose change another account is meant, with message keys of its own.
OTHER_ACCOUNT = frozenset({"email_server_profile", "user_name"})

_READING = (Operation.INCOMING, Operation.ACT)
#: The same for a profile, for all of its mailboxes.
AFFECTED_BY_PROFILE: dict[str, tuple[Operation, ...]] = {
    "server_type": ALL,
    "use_auto_discover": ALL,
    "ca_certificate": ALL,
    "incoming_server_location": _READING,
    "incoming_port_number": _READING,
    "incoming_uses_ssl": _READING,
    "incoming_tls_mode": _READING,
    "incoming_authentication_protocol": ALL,
    "incoming_credential_retrieval": ALL,
    "incoming_user_name": ALL,
    "incoming_password": ALL,
    "incoming_use_impersonation": ALL,
    "use_same_settings_for_outgoing_connections": (Operation.OUTGOING,),
    "outgoing_server_location": (Operation.OUTGOING,),
    "outgoing_port_number": (Operation.OUTGOING,),
    "outgoing_uses_ssl": (Operation.OUTGOING,),
    "outgoing_tls_mode": (Operation.OUTGOING,),
    "outgoing_authentication_protocol": (Operation.OUTGOING,),
    "outgoing_credential_retrieval": (Operation.OUTGOING,),
    "outgoing_user_name": (Operation.OUTGOING,),
    "outgoing_password": (Operation.OUTGOING,),
    "outgoing_use_impersonation": (Operation.OUTGOING,),
    "oauth_client_id": ALL,
    "oauth_client_secret": ALL,
    "exchange_online_tenant_id": ALL,
    "use_default_tenant_id": ALL,
    "server_authority": ALL,
    "aad_resource_id": ALL,
    "oauth_grant": ALL,
    "oauth_authorization_endpoint": ALL,
    "oauth_token_endpoint": ALL,
    "oauth_scopes": ALL,
}
OTHER_SERVER = frozenset({"server_type", "incoming_server_location", "incoming_user_name"})
#: Columns of a profile after whose change the tokens of its mailboxes are another client's or for
#: something else, so that their owners sign in again (R1.21). Another authority is another place, to
#: which tokens don't follow by themselves (R1.9); a new secret of the same client needs nothing.
OTHER_SIGN_IN = frozenset(
    {
        "incoming_credential_retrieval",
        "outgoing_credential_retrieval",
        "oauth_client_id",
        "oauth_grant",
        "oauth_scopes",
        "exchange_online_tenant_id",
        "use_default_tenant_id",
        "aad_resource_id",
    }
)


INACTIVE_CODES = ("MailboxDisabled", "UserDisabled")


class AddressTaken(ValidationError):
    """The address belongs to another mailbox; only `take_over_address` moves it (R1.5)."""

    def __init__(self, address: str, holder: Mailbox) -> None:
        self.address, self.holder = address, holder
        super().__init__(
            _(
                "%(address)s is the address of mailbox “%(holder)s”, and one account belongs to one "
                "user or queue (R1.5). Take the address over, or choose another one."
            ),
            code="address_taken",
            params={"address": address, "holder": holder.name},
        )


class ProfileInUse(ValidationError):
    """A profile in use can't be deleted (R1.33)."""

    def __init__(self, profile: EmailServerProfile, count: int) -> None:
        super().__init__(
            _(
                "“%(profile)s” serves %(count)s mailbox(es), so it can't be deleted (R1.33). "
                "Deactivate it, or give those mailboxes another profile first."
            ),
            code="profile_in_use",
            params={"profile": profile.name, "count": count},
        )


class NoHeir(ValidationError):
    """Nobody could own the mailbox that a deleted user leaves behind (R1.45)."""

    def __init__(self, mailbox: Mailbox) -> None:
        super().__init__(
            _(
                "Mailbox “%(mailbox)s” is kept with its history (R1.45), and nobody is there to "
                "own it. Give it a server profile of another owner, or make somebody a superuser."
            ),
            code="no_heir",
            params={"mailbox": mailbox.name},
        )


class SecretsStayBehind(ValidationError):
    """A profile's secrets were entered for another place than it would send them to now (R1.9)."""

    def __init__(self, columns: Iterable[str]) -> None:
        words = _(
            "It was entered for another server or way of connecting, and isn't sent to the new one. "
            "Enter it again, or remove it. (R1.9)"
        )
        super().__init__(dict.fromkeys(columns, words))


@dataclass(frozen=True, slots=True)
class Outcome:
    """What an action on many mailboxes did: how many changed, and why the others did not."""

    done: int
    skipped: int = 0
    why: str | Promise = ""


# -- users and queues come, change and go --------------------------------------------------------


def equip_user(*, user: SystemUser, now: datetime, actor: SystemUser | None = None) -> Mailbox:
    """What every new user gets: personal options and a mailbox (R1.2)."""
    UserSettings.objects.create(system_user=user)
    return provide_mailbox(party=user, now=now, actor=actor)


@transaction.atomic
def provide_mailbox(
    *,
    party: Party,
    now: datetime,
    actor: SystemUser | None = None,
    organization: Organization | None = None,
) -> Mailbox:
    """The mailbox of a new user or queue, with the organization's defaults (R1.2, R1.3, R1.30).

    Raises AddressTaken."""
    organization = organization or Organization.objects.current()
    address = address_of(party)
    _refuse_taken(address, besides=None)
    is_user = isinstance(party, SystemUser)
    mailbox = Mailbox(
        name=_mailbox_name(party),
        email_address=address,
        regarding_user=party if isinstance(party, SystemUser) else None,
        regarding_queue=party if isinstance(party, Queue) else None,
        is_forward_mailbox=False,
        state_code=StateCode.INACTIVE if _is_off(party) else StateCode.ACTIVE,
        created_on=now,
        created_by=actor,
        modified_by=actor,
        **_owner_of(party),
        **_columns(default_settings(organization, _USER if is_user else _QUEUE)),
    )
    mailbox.save(force_insert=True)
    return mailbox


def add_workloads(*, mailbox: Mailbox, now: datetime) -> None:
    """The engine's three rows of a new mailbox, all switched off until tested (R1.42)."""
    workloads = _workloads(mailbox)
    workloads.bulk_create(
        workloads.model(mailbox=mailbox, operation=operation, next_run_at=now)
        for operation in Operation
    )


@transaction.atomic
def follow_party(
    *,
    party: Party,
    columns: Collection[str] | None,
    now: datetime,
    actor: SystemUser | None = None,
) -> None:
    """Make the mailbox say what its saved user or queue says: address, owner, state (R1.3, R1.4, R1.41).

    `columns`: those whose value may be new, None for all. One statement if nothing is to be done. The
    mailbox of an enabled user, or of a queue made active, becomes active again, and its flags stay off
    until Test & Enable (R1.41).
    """
    owners = {"owning_user", "owning_user_id", "owning_team", "owning_team_id"}
    relevant = {address_column(party), state_column(party), *owners}
    if columns is not None and not relevant & set(columns):
        return
    mailbox = Mailbox.objects.filter(**_regarding(party)).first()
    if mailbox is None:
        return
    if mailbox.email_address != address_of(party):
        change_address(mailbox=mailbox, address=address_of(party), now=now, actor=actor)
    if isinstance(party, Queue):
        owner = _owner_of(party)
        if any(getattr(mailbox, name) != value for name, value in owner.items()):
            _update([mailbox.pk], now, actor, **owner)
    if columns is None or state_column(party) in columns:
        if _is_off(party):
            _deactivate(Mailbox.objects.filter(pk=mailbox.pk), now, actor)
        else:
            _update([mailbox.pk], now, actor, state_code=StateCode.ACTIVE)
            _cured([mailbox.pk], INACTIVE_CODES, now)


@transaction.atomic
def follow_mailbox(*, mailbox: Mailbox, now: datetime, actor: SystemUser | None = None) -> None:
    """The same from the other side: a mailbox saved with another address than its user or queue."""
    party = mailbox.regarding_object
    if party is None:
        return
    before = (
        type(party)._default_manager.values_list(address_column(party), flat=True).get(pk=party.pk)
    )
    if before != mailbox.email_address:
        _write_twin(mailbox, mailbox.email_address, now, actor)
        _start_over(mailbox, before, mailbox.email_address, now, actor)


@transaction.atomic
def retire(*, party: Party, now: datetime, actor: SystemUser | None = None) -> None:
    """Before its user or queue is deleted: the mailbox stops, changes owner and keeps its history
    (R1.45). Raises NoHeir."""
    mailbox = (
        Mailbox.objects.filter(**_regarding(party)).select_related("email_server_profile").first()
    )
    if mailbox is None:
        return
    _deactivate(Mailbox.objects.filter(pk=mailbox.pk), now, actor)
    # Whoever owns it now is not the one who signed in.
    Mailbox.objects.filter(pk=mailbox.pk).update(**SIGNED_OUT)
    if mailbox.owning_user_id == party.pk:
        heir = heir_of(mailbox, {party.pk})
        if heir is None:
            raise NoHeir(mailbox)
        is_user = isinstance(heir, SystemUser)
        _update(
            [mailbox.pk],
            now,
            actor,
            owning_user=heir if is_user else None,
            owning_team=None if is_user else heir,
        )
    raise_alert(mailbox, "MailboxRetired", now=now, actor=actor)


# -- addresses -----------------------------------------------------------------------------------


@transaction.atomic
def change_address(
    *, mailbox: Mailbox, address: str, now: datetime, actor: SystemUser | None = None
) -> bool:
    """Write the primary address on the mailbox and on its user or queue (R1.4), and start over what
    depended on it: approval, tests, flags, cursors (R1.43). False if neither record changed.

    The only writer of a primary address beside the first save of a record. Raises AddressTaken.
    """
    address = address.strip()
    locked = Mailbox.objects.select_for_update().get(pk=mailbox.pk)
    before = locked.email_address
    twin_changed = _write_twin(locked, address, now, actor)
    if before == address:
        return twin_changed
    _refuse_taken(address, besides=locked)
    _start_over(locked, before, address, now, actor)
    mailbox.email_address = address
    return True


def _start_over(
    mailbox: Mailbox, before: str, address: str, now: datetime, actor: SystemUser | None
) -> None:
    """R1.43."""
    _keep_places(Mailbox.objects.filter(pk=mailbox.pk), address=before)
    _update(
        [mailbox.pk],
        now,
        actor,
        email_address=address,
        email_router_access_approval=_first_approval(address),
        email_address_approved_by=None,
        email_address_approved_on=None,
        is_email_address_approved_by_o365_admin=False,
        account_generation=F("account_generation") + 1,
        **SIGNED_OUT,
    )
    _reset_tests([mailbox.pk], ALL)
    _forget_cursors([mailbox.pk])
    _forget_endpoints([mailbox.pk])
    raise_alert(
        mailbox,
        "AddressChanged",
        now=now,
        parameters={"before": before, "after": address},
        actor=actor,
    )


@transaction.atomic
def take_over_address(
    *, mailbox: Mailbox, address: str, now: datetime, actor: SystemUser | None = None
) -> Mailbox | None:
    """Move an address here from the mailbox that has it, whose synchronization stops (R1.5).

    The explicit answer *yes*: recorded in the history of both and told on both. Returns the former
    holder, None if there was none. Needs the right to change both mailboxes.
    """
    address = address.strip()
    holder = holder_of(address, besides=mailbox)
    if actor is not None:
        for one in filter(None, (mailbox, holder)):
            if not access.may(actor, "change", one):
                raise access.refusal(Mailbox, "change")
    if holder is not None:
        change_address(mailbox=holder, address="", now=now, actor=actor)
    change_address(mailbox=mailbox, address=address, now=now, actor=actor)
    if holder is not None:
        for one in (mailbox, holder):
            raise_alert(
                one,
                "AddressMovedToOtherMailbox",
                now=now,
                parameters={
                    "address": address,
                    "from_mailbox": holder.name,
                    "to_mailbox": mailbox.name,
                },
                object_key=address_key(address)[:80],
                actor=actor,
            )
        _audit(
            actor,
            (mailbox, holder),
            __("Address %(address)s moved from “%(from_mailbox)s” to “%(to_mailbox)s” (R1.5).")
            % {"address": address, "from_mailbox": holder.name, "to_mailbox": mailbox.name},
        )
    return holder


def holder_of(address: str, *, besides: Mailbox | None = None) -> Mailbox | None:
    """The mailbox that an address is mapped to. Those of deleted users and queues hold nothing."""
    if not address.strip():
        return None
    found = Mailbox.objects.annotate(lower_address=Lower("email_address")).filter(
        Q(is_forward_mailbox=True)
        | Q(regarding_user__isnull=False)
        | Q(regarding_queue__isnull=False),
        lower_address=address.strip().lower(),
    )
    return (found.exclude(pk=besides.pk) if besides else found).first()


def address_column(party: Party) -> str:
    return "internal_email_address" if isinstance(party, SystemUser) else "email_address"


def state_column(party: Party) -> str:
    """What the state of its mailbox follows (R1.41)."""
    return "is_disabled" if isinstance(party, SystemUser) else "state_code"


def _is_off(party: Party) -> bool:
    if isinstance(party, SystemUser):
        return bool(party.is_disabled)
    return party.state_code != StateCode.ACTIVE


def address_of(party: Party) -> str:
    return str(getattr(party, address_column(party)) or "").strip()


# -- forms: write what changed -------------------------------------------------------------------


@transaction.atomic
def save_mailbox(
    *,
    mailbox: Mailbox,
    changed_fields: Collection[str],
    now: datetime,
    actor: SystemUser | None = None,
) -> int:
    """Write the named columns of an edited mailbox, or the whole of a new one, with what follows.

    Returns how many workloads must be tested again (R1.44). Raises ValidationError for illegal
    combinations, AddressTaken, and PermissionDenied where the actor may not edit mailboxes (R2.8).
    """
    profile = mailbox.email_server_profile
    adding = mailbox._state.adding
    if actor is not None:
        for action in ("add",) if adding else ("view", "change"):
            access.require(actor, action, Mailbox)
            if not adding and not access.may(actor, action, mailbox):
                raise access.refusal(Mailbox, action)
    if faults := mailbox_faults(mailbox, profile.server_type if profile else None):
        raise ValidationError([str(message) for message in faults.values()])
    if adding:
        _refuse_taken(mailbox.email_address, besides=None)
        mailbox.created_by = mailbox.modified_by = actor
        mailbox.created_on = now
        if mailbox.password:
            mailbox.secrets_place = place_of_mailbox(profile, mailbox.email_address)
        mailbox.save(force_insert=True)
        return 0
    changed = set(changed_fields)
    if changed & {"owning_user", "owning_team"} and not mailbox.is_forward_mailbox:
        raise ValidationError(
            _(
                "A user's mailbox belongs to the user, a queue's to the owner of the queue (R1.3). "
                "Change the owner of the queue instead."
            )
        )
    before = Mailbox.objects.select_for_update().get(pk=mailbox.pk)
    former_place = entered_for(before, before.email_server_profile)
    if "email_address" in changed:
        change_address(mailbox=before, address=mailbox.email_address, now=now, actor=actor)
        changed.discard("email_address")
    values = {name: getattr(mailbox, name) for name in changed}
    if "password" in changed:
        place = place_of_mailbox(profile, mailbox.email_address)
        if place != former_place:
            values |= SIGNED_OUT
        values["secrets_place"] = place
    elif "email_server_profile" in changed:
        _keep_places(Mailbox.objects.filter(pk=mailbox.pk))
    if changed:
        _update([mailbox.pk], now, actor, **values)
    if changed & OTHER_ACCOUNT:
        _mean_another_account([mailbox.pk])
    if "process_email_received_after" in changed and _is_earlier(
        mailbox.process_email_received_after, before.process_email_received_after
    ):
        # R3.8: lowering the date goes back; the ledger knows what is already stored.
        mailbox.folder_cursors.all().delete()
    return _reset_tests(
        [mailbox.pk], {op for name in changed for op in AFFECTED_BY_MAILBOX.get(name, ())}
    )


@transaction.atomic
def save_user(
    *,
    user: SystemUser,
    changed_fields: Collection[str],
    now: datetime,
    actor: SystemUser | None = None,
) -> None:
    """Write an edited or new user, and what follows for the mailbox (R1.4, R1.41)."""
    _save_party(user, changed_fields, now, actor)


@transaction.atomic
def save_queue(
    *,
    queue: Queue,
    changed_fields: Collection[str],
    now: datetime,
    actor: SystemUser | None = None,
) -> None:
    """Write an edited or new queue, and what follows for the mailbox (R1.3, R1.4)."""
    _save_party(queue, changed_fields, now, actor)


@transaction.atomic
def save_profile(
    *,
    profile: EmailServerProfile,
    changed_fields: Collection[str],
    now: datetime,
    actor: SystemUser | None = None,
    move_secrets: bool = False,
) -> int:
    """Write an edited or new profile. Returns how many of its mailboxes must be tested again, because
    location, credentials or the way to connect changed (R1.44).

    Secrets stay with the place that they were entered for (R1.9): those of the profile are entered
    again, or it isn't saved; those of its mailboxes are kept back until they are entered again or
    `confirm_places` is called. `move_secrets` takes all of them along, and needs that permission.

    Raises ValidationError by column for what is illegal, also under the organization's switches, and
    SecretsStayBehind."""
    check_profile(profile)
    check_site_client(profile, actor)
    if profile._state.adding:
        profile.created_by = profile.modified_by = actor
        profile.created_on = now
        profile.save(force_insert=True)
        return 0
    changed = set(changed_fields)
    if not changed:
        return 0
    if move_secrets:
        _require_move(actor, profile)
    if not move_secrets and (behind := secrets_left_behind(profile, changed)):
        raise SecretsStayBehind(behind)
    _keep_places(profile.mailboxes.all())
    followers = _at_their_place(profile) if move_secrets else {}
    _write(profile, changed, now, actor)
    for domain, ids in followers.items():
        place = place_of_mailbox(profile, f"@{domain}")
        Mailbox.objects.filter(pk__in=ids).update(secrets_place=place)
    affected = {op for name in changed for op in AFFECTED_BY_PROFILE.get(name, ())}
    if not affected:
        return 0
    ids = list(profile.mailboxes.values_list("pk", flat=True))
    if changed & OTHER_SERVER:
        _mean_another_account(ids)
    elif changed & OTHER_SIGN_IN:
        Mailbox.objects.filter(pk__in=ids).update(**SIGNED_OUT)
    _forget_endpoints(ids)
    _reset_tests(ids, affected)
    return len(ids)


def check_profile(profile: EmailServerProfile, organization: Organization | None = None) -> None:
    """Raise ValidationError, by column, for what is illegal here: in itself, or because the
    organization doesn't allow lines without TLS or passwords on them (R1.26)."""
    organization = organization or Organization.objects.current()
    faults = profile_faults(
        profile,
        allow_plain=organization.allow_non_ssl_email,
        allow_plain_login=organization.allow_basic_authentication_on_non_secure_channel,
    )
    if faults:
        raise ValidationError(dict(faults))


@transaction.atomic
def delete_profile(*, profile: EmailServerProfile) -> None:
    """Raises ProfileInUse while any mailbox refers to it (R1.33)."""
    if count := profile.mailboxes.count():
        raise ProfileInUse(profile, count)
    profile.delete()


@transaction.atomic
def set_profile_state(
    *, profile: EmailServerProfile, active: bool, now: datetime, actor: SystemUser | None = None
) -> bool:
    """Activate or deactivate a profile. Its mailboxes keep their flags and say why they don't run
    (R1.32). False if it was so already."""
    if actor is not None and not access.may(actor, "change", profile):
        raise access.refusal(EmailServerProfile, "change")
    state = StateCode.ACTIVE if active else StateCode.INACTIVE
    changed = (
        EmailServerProfile.objects.filter(pk=profile.pk)
        .exclude(state_code=state)
        .update(state_code=state, modified_on=now, modified_by=actor)
    )
    profile.state_code = state
    return bool(changed)


# -- where secrets may go (R1.9) ----------------------------------------------------------------


def secrets_left_behind(profile: EmailServerProfile, changed_fields: Collection[str]) -> list[str]:
    """The stored secrets of an edited profile whose place these changes move, and that aren't entered
    again with them."""
    before = EmailServerProfile.objects.select_for_update().get(pk=profile.pk)
    after = copy(before)
    for name in changed_fields:
        setattr(after, name, getattr(profile, name))
    return [
        column
        for column in PROFILE_SECRETS
        if getattr(before, column)
        and column not in changed_fields
        and place_of_secret(before, column) != place_of_secret(after, column)
    ]


def kept_back(profile: EmailServerProfile) -> "QuerySet[Mailbox]":
    """The profile's mailboxes whose password or tokens were entered for another place, and are therefore
    not sent to this one."""
    rows = _with_secrets(profile.mailboxes.exclude(secrets_place=""))
    addresses = rows.values_list("pk", "email_address", "secrets_place")
    return Mailbox.objects.filter(
        pk__in=[
            pk for pk, address, place in addresses if place != place_of_mailbox(profile, address)
        ]
    )


@transaction.atomic
def confirm_places(
    *, profile: EmailServerProfile, now: datetime, actor: SystemUser | None = None
) -> Outcome:
    """Let what mailboxes keep for another place go to this profile's servers. Needs `move_secrets`."""
    _require_move(actor, profile)
    rows = list(kept_back(profile).select_for_update(of=("self",)))
    by_place: dict[str, list[Any]] = defaultdict(list)
    for row in rows:
        by_place[place_of_mailbox(profile, row.email_address)].append(row.pk)
    for place, ids in by_place.items():
        _update(ids, now, actor, secrets_place=place)
    _cured([row.pk for row in rows], ("SecretsKeptBack",), now)
    if rows:
        _audit(
            actor,
            (profile, *rows),
            __("Stored secrets may be sent to the servers of “%(profile)s” (R1.9).")
            % {"profile": profile.name},
        )
    return Outcome(len(rows), 0, _("No stored secret waits for that."))


@transaction.atomic
def make_dkim_key(
    *, profile: EmailServerProfile, kind: KeyKind, now: datetime, actor: SystemUser | None = None
) -> Outcome:
    """A new key for signatures of this profile, in place of the one before, whose record then fits no
    more; so not while it signs (R5.32)."""
    if actor is not None and not access.may(actor, "change", profile):
        raise access.refusal(EmailServerProfile, "change")
    row = EmailServerProfile.objects.select_for_update().get(pk=profile.pk)
    if row.dkim_sign:
        return Outcome(
            0, 1, _("Switch signing off first; the record of a new key must be published.")
        )
    if not (row.dkim_domain and row.dkim_selector):
        return Outcome(0, 1, _("Enter DKIM domain and selector first, and save them."))
    row.dkim_private_key = write_key(new_key(kind))
    _write(row, {"dkim_private_key"}, now, actor)
    _audit(actor, (row,), __("A new DKIM key was made (R5.32)."))
    return Outcome(1, 0, "")


def check_site_client(profile: EmailServerProfile, actor: SystemUser | None) -> None:
    """Raise ValidationError where a profile newly sends the site's own client, or what that opens, to
    these servers, and the actor may not move secrets: it opens every mailbox of the tenant."""
    place = place_of_site_client(profile)
    before = EmailServerProfile.objects.filter(pk=profile.pk).first()
    if place is None or (before is not None and place == place_of_site_client(before)):
        return
    if actor is not None and not access.may(actor, "move_secrets", profile):
        words = " ".join(access.refusal(EmailServerProfile, "move_secrets").args)
        raise ValidationError({"incoming_credential_retrieval": words})


def _require_move(actor: SystemUser | None, profile: EmailServerProfile) -> None:
    if actor is not None and not access.may(actor, "move_secrets", profile):
        raise access.refusal(EmailServerProfile, "move_secrets")


def _keep_places(rows: "QuerySet[Mailbox]", address: str | None = None) -> None:
    """Note where secrets go now, on rows that don't say it yet, before that changes. `address`: the one
    that a single mailbox had until now."""
    unplaced = _with_secrets(rows.filter(secrets_place="")).select_related("email_server_profile")
    by_place: dict[str, list[Any]] = defaultdict(list)
    for row in unplaced:
        place = place_of_mailbox(
            row.email_server_profile, row.email_address if address is None else address
        )
        by_place[place].append(row.pk)
    for place, ids in by_place.items():
        Mailbox.objects.filter(pk__in=ids).update(secrets_place=place)


def _at_their_place(profile: EmailServerProfile) -> dict[str, list[Any]]:
    """Mailboxes whose secrets belong where the stored profile sends them: domain -> keys."""
    stored = EmailServerProfile.objects.get(pk=profile.pk)
    found: dict[str, list[Any]] = defaultdict(list)
    rows = profile.mailboxes.exclude(secrets_place="")
    for pk, address, place in rows.values_list("pk", "email_address", "secrets_place"):
        if place == place_of_mailbox(stored, address):
            found[address.rpartition("@")[2].lower()].append(pk)
    return found


def _with_secrets(rows: "QuerySet[Mailbox]") -> "QuerySet[Mailbox]":
    return rows.exclude(password="", oauth_access_token="", oauth_refresh_token="")


# -- sign-ins at a provider (R1.21) --------------------------------------------------------------

#: Conditions of which a sign-in by the right person is the cure.
CURED_BY_SIGN_IN = (
    "SignInNeeded",
    "SignInExpired",
    "SignInWrongAccount",
    "SignInEndsSoon",
    "TokenRefused",
    "ConsentMissing",
    "SecretsKeptBack",
)


@transaction.atomic
def signed_in(*, mailbox: Mailbox, now: datetime, actor: SystemUser | None = None) -> bool:
    """What follows once its owner has connected a mailbox: alerts close, and workloads that the missing
    sign-in had stopped are to be tested, True then. Others stay as they are (R1.42)."""
    stopped = (
        _workload_rows([mailbox.pk])
        .filter(state=WorkloadState.DISABLED, state_code__in=CURED_BY_SIGN_IN)
        .exists()
    )
    _cured([mailbox.pk], CURED_BY_SIGN_IN, now)
    if stopped:
        _schedule_test([mailbox.pk], now, actor)
    words = __("Connected at the provider as %(account)s (R1.21).")
    account = mailbox.oauth_signed_in_as or mailbox.user_name or mailbox.email_address
    _audit(actor, (mailbox,), words % {"account": account})
    return bool(stopped)


@transaction.atomic
def signed_out(*, mailbox: Mailbox, now: datetime, actor: SystemUser | None = None) -> None:
    """What follows once a mailbox was disconnected: nothing of it runs until it is connected and
    tested again."""
    _reset_tests([mailbox.pk], ALL)
    _cured([mailbox.pk], CURED_BY_SIGN_IN, now)
    _audit(actor, (mailbox,), __("Disconnected from the provider (R1.21)."))


# -- actions on many queues ----------------------------------------------------------------------


@transaction.atomic
def set_queue_state(
    *,
    queues: "QuerySet[Queue]",
    active: bool,
    now: datetime,
    actor: SystemUser | None = None,
) -> Outcome:
    """Activate or deactivate queues; their mailboxes follow as a user's does (R1.41). Needs the right
    to change the queues. The number of statements doesn't grow with the queues."""
    allowed, total = _allowed(queues, "change", actor)
    state = StateCode.ACTIVE if active else StateCode.INACTIVE
    changed = list(allowed.exclude(state_code=state).select_for_update(of=("self",)))
    ids = [queue.pk for queue in changed]
    if ids:
        Queue.objects.filter(pk__in=ids).update(
            state_code=state, modified_on=now, modified_by=actor
        )
        mailboxes = Mailbox.objects.filter(regarding_queue__in=ids)
        if active:
            mailbox_ids = list(mailboxes.values_list("pk", flat=True))
            _update(mailbox_ids, now, actor, state_code=StateCode.ACTIVE)
            _cured(mailbox_ids, INACTIVE_CODES, now)
        else:
            _deactivate(mailboxes, now, actor)
        _audit(
            actor,
            changed,
            __("Activated; its mailbox with it (R1.41).")
            if active
            else __("Deactivated; its mailbox with it (R1.41)."),
        )
    return Outcome(
        len(ids),
        total - len(ids),
        _("Skipped: active already, or beyond your reach.")
        if active
        else _("Skipped: inactive already, or beyond your reach."),
    )


# -- actions on many mailboxes -------------------------------------------------------------------


@transaction.atomic
def approve(
    *, mailboxes: "QuerySet[Mailbox]", now: datetime, actor: SystemUser | None = None
) -> Outcome:
    """Approve addresses (R2.5), stamping by whom and when (R2.6). Needs `approve_mailbox` (R2.4).

    A mailbox without an address has nothing to approve and is skipped."""
    allowed, total = _allowed(mailboxes, "approve_mailbox", actor)
    ids = list(
        allowed.exclude(email_address="")
        .exclude(email_router_access_approval=AccessApproval.APPROVED)
        .values_list("pk", flat=True)
    )
    _update(
        ids,
        now,
        actor,
        email_router_access_approval=AccessApproval.APPROVED,
        email_address_approved_by=actor,
        email_address_approved_on=now,
    )
    _cured(ids, ("EmailAddressNotApproved",), now)
    return Outcome(
        len(ids),
        total - len(ids),
        _("Skipped: no address, approved already, or beyond your reach."),
    )


@transaction.atomic
def reject(
    *, mailboxes: "QuerySet[Mailbox]", now: datetime, actor: SystemUser | None = None
) -> Outcome:
    """Reject addresses (R2.5), which clears the stamps (R2.6). Needs `approve_mailbox` (R2.4)."""
    allowed, total = _allowed(mailboxes, "approve_mailbox", actor)
    ids = list(
        allowed.exclude(email_address="")
        .exclude(email_router_access_approval=AccessApproval.REJECTED)
        .values_list("pk", flat=True)
    )
    _update(
        ids,
        now,
        actor,
        email_router_access_approval=AccessApproval.REJECTED,
        email_address_approved_by=None,
        email_address_approved_on=None,
    )
    return Outcome(
        len(ids),
        total - len(ids),
        _("Skipped: no address, rejected already, or beyond your reach."),
    )


@transaction.atomic
def activate(
    *, mailboxes: "QuerySet[Mailbox]", now: datetime, actor: SystemUser | None = None
) -> Outcome:
    """Activate mailboxes. Test & Enable is still to be run (R1.41), and the mailbox of a disabled or
    deleted user, or of an inactive queue, stays inactive."""
    allowed, total = _allowed(mailboxes, "change", actor)
    ids = list(
        allowed.filter(
            Q(is_forward_mailbox=True)
            | Q(regarding_user__is_disabled=False)
            | Q(regarding_queue__state_code=StateCode.ACTIVE),
            state_code=StateCode.INACTIVE,
        ).values_list("pk", flat=True)
    )
    _update(ids, now, actor, state_code=StateCode.ACTIVE)
    _cured(ids, INACTIVE_CODES, now)
    return Outcome(
        len(ids),
        total - len(ids),
        _(
            "Skipped: active already, user disabled or deleted, queue inactive or deleted, or beyond "
            "your reach."
        ),
    )


@transaction.atomic
def deactivate(
    *, mailboxes: "QuerySet[Mailbox]", now: datetime, actor: SystemUser | None = None
) -> Outcome:
    """Deactivate mailboxes (R1.41): whatever runs stops before its next write."""
    allowed, total = _allowed(mailboxes, "change", actor)
    done = _deactivate(allowed, now, actor)
    return Outcome(done, total - done, _("Skipped: inactive already, or beyond your reach."))


@transaction.atomic
def schedule_test(
    *,
    mailboxes: "QuerySet[Mailbox]",
    now: datetime,
    actor: SystemUser | None = None,
) -> Outcome:
    """Ask the engine to test and enable mailboxes (R2.9, R2.10). Needs `test_mailbox`."""
    allowed, total = _allowed(mailboxes, "test_mailbox", actor)
    ids = list(allowed.values_list("pk", flat=True))
    _schedule_test(ids, now, actor)
    return Outcome(len(ids), total - len(ids), _("Skipped: beyond your reach."))


def schedule_profile_test(
    *, profile: EmailServerProfile, now: datetime, actor: SystemUser | None = None
) -> Outcome:
    """Test and enable all active mailboxes of a profile (R2.9)."""
    active = Mailbox.objects.filter(email_server_profile=profile, state_code=StateCode.ACTIVE)
    return schedule_test(mailboxes=active, now=now, actor=actor)


@transaction.atomic
def apply_default_settings(
    *,
    mailboxes: "QuerySet[Mailbox]",
    now: datetime,
    actor: SystemUser | None = None,
    test: bool = True,
    organization: Organization | None = None,
) -> Outcome:
    """Give existing mailboxes the organization's defaults, as new ones get them, and unless unticked
    have them tested and enabled (R1.31). The number of statements doesn't grow with the mailboxes."""
    organization = organization or Organization.objects.current()
    allowed, total = _allowed(mailboxes, "change", actor)
    rows = list(
        allowed.select_for_update(of=("self",)).only(
            "regarding_user",
            "regarding_queue",
            "is_forward_mailbox",
            "email_server_profile",
            "incoming_email_delivery_method",
            "outgoing_email_delivery_method",
            "act_delivery_method",
        )
    )
    other_account: list[Any] = []
    affected: dict[tuple[Operation, ...], list[Any]] = {}
    wanted: dict[_Defaults, list[Any]] = {}
    for mailbox in rows:
        target = default_settings(organization, _kind_of(mailbox))
        if target.profile is None:
            # No default profile: the one it has stays, and says what ACT may be.
            target = target._replace(profile=mailbox.email_server_profile_id)
        columns = _columns(target)
        changed = {name for name, value in columns.items() if getattr(mailbox, name) != value}
        if not changed:
            continue
        wanted.setdefault(target, []).append(mailbox.pk)
        if "email_server_profile_id" in changed:
            other_account.append(mailbox.pk)
            operations = ALL
        else:
            operations = tuple(
                op for op in ALL if any(op in AFFECTED_BY_MAILBOX[name] for name in changed)
            )
        affected.setdefault(operations, []).append(mailbox.pk)
    _keep_places(Mailbox.objects.filter(pk__in=other_account))
    for target, ids in wanted.items():
        _update(ids, now, actor, **_columns(target))
    _mean_another_account(other_account)
    for operations, ids in affected.items():
        _reset_tests(ids, operations)
    if test:
        _schedule_test([mailbox.pk for mailbox in rows], now, actor)
    done = sum(len(ids) for ids in wanted.values())
    return Outcome(
        done, total - done, _("Skipped: had these settings already, or beyond your reach.")
    )


# -- the defaults of R1.30 -----------------------------------------------------------------------

_USER, _QUEUE, _FORWARD = "user", "queue", "forward"


class _Defaults(NamedTuple):
    profile: Any
    incoming: int
    outgoing: int
    act: int


def default_settings(organization: Organization, kind: str) -> _Defaults:
    """The organization's defaults as far as they are legal for this kind of mailbox (R1.30, R1.34)."""
    profile = organization.default_email_server_profile
    incoming = organization.default_incoming_email_delivery_method
    outgoing = organization.default_outgoing_email_delivery_method
    act = organization.default_act_delivery_method
    if kind != _USER:
        act = ActDeliveryMethod.NONE
        if incoming == IncomingDeliveryMethod.OUTLOOK:
            incoming = IncomingDeliveryMethod.NONE
        if outgoing == OutgoingDeliveryMethod.OUTLOOK:
            outgoing = OutgoingDeliveryMethod.NONE
    if kind == _FORWARD:
        outgoing = OutgoingDeliveryMethod.NONE
        if incoming == IncomingDeliveryMethod.FORWARD_MAILBOX:
            incoming = IncomingDeliveryMethod.NONE
    exchange = profile is not None and ServerType(profile.server_type).is_exchange
    if act == ActDeliveryMethod.SERVER_SIDE_SYNC and not exchange:
        act = ActDeliveryMethod.NONE
    server_side = (
        incoming == IncomingDeliveryMethod.SERVER_SIDE_SYNC
        or outgoing == OutgoingDeliveryMethod.SERVER_SIDE_SYNC
        or act == ActDeliveryMethod.SERVER_SIDE_SYNC
    )
    return _Defaults(profile.pk if profile and server_side else None, incoming, outgoing, act)


def _columns(defaults: _Defaults) -> dict[str, Any]:
    return {
        "email_server_profile_id": defaults.profile,
        "incoming_email_delivery_method": defaults.incoming,
        "outgoing_email_delivery_method": defaults.outgoing,
        "act_delivery_method": defaults.act,
    }


def _kind_of(mailbox: Mailbox) -> str:
    if mailbox.is_forward_mailbox:
        return _FORWARD
    return _USER if mailbox.serves_user else _QUEUE


# -- pieces --------------------------------------------------------------------------------------


def _save_party(
    party: Party, changed_fields: Collection[str], now: datetime, actor: SystemUser | None
) -> None:
    if party._state.adding:
        party.created_by = party.modified_by = actor
        party.created_on = now
        party.save(force_insert=True)  # the signal gives it a mailbox
        return
    changed = set(changed_fields)
    if not changed:
        return
    _write(party, changed, now, actor)
    if changed & set(search.email_columns(type(party))):
        search.reindex(type(party), [party.pk])
    follow_party(party=party, columns=changed, now=now, actor=actor)


def _write(row: Model, columns: Iterable[str], now: datetime, actor: SystemUser | None) -> None:
    values = {name: getattr(row, name) for name in columns}
    type(row)._default_manager.filter(pk=row.pk).update(
        **values, modified_on=now, modified_by=actor
    )


def _update(ids: Collection[Any], now: datetime, actor: SystemUser | None, **values: Any) -> int:
    if not ids:
        return 0
    return Mailbox.objects.filter(pk__in=ids).update(**values, modified_on=now, modified_by=actor)


def _write_twin(mailbox: Mailbox, address: str, now: datetime, actor: SystemUser | None) -> bool:
    """The address on the user or queue of a mailbox, past the signals."""
    model: type[Model]
    if mailbox.regarding_user_id is not None:
        model, pk, column = SystemUser, mailbox.regarding_user_id, "internal_email_address"
    elif mailbox.regarding_queue_id is not None:
        model, pk, column = Queue, mailbox.regarding_queue_id, "email_address"
    else:
        return False
    changed = (
        model._default_manager.filter(pk=pk)
        .exclude(**{column: address})
        .update(**{column: address, "modified_on": now, "modified_by": actor})
    )
    if changed:
        search.reindex(model, [pk])
    return bool(changed)


def _deactivate(mailboxes: "QuerySet[Mailbox]", now: datetime, actor: SystemUser | None) -> int:
    """Inactive, every workload off until tested again (R1.41, R8.2), running cycles without a lease."""
    ids = list(mailboxes.filter(state_code=StateCode.ACTIVE).values_list("pk", flat=True))
    _update(ids, now, actor, state_code=StateCode.INACTIVE)
    if ids:
        _workload_rows(ids).update(enabled=False, lease_token=None, lease_expires_at=None)
    return len(ids)


def _reset_tests(ids: Collection[Any], operations: Collection[Operation]) -> int:
    """Not run, not enabled (R1.43, R1.44); a cycle under way loses its lease and stops."""
    if not ids or not operations:
        return 0
    return int(
        _workload_rows(ids)
        .filter(operation__in=operations)
        .update(
            enabled=False,
            state=WorkloadState.READY,
            state_code="",
            state_since=None,
            test_status=TestStatus.NOT_RUN,
            test_steps=[],
            test_attempts=0,
            test_postponed_until=None,
            tested_at=None,
            consecutive_failures=0,
            postponed_until=None,
            lease_token=None,
            lease_expires_at=None,
        )
    )


def _mean_another_account(ids: Collection[Any]) -> None:
    """Message keys of the former account mean nothing any more."""
    if ids:
        Mailbox.objects.filter(pk__in=ids).update(
            account_generation=F("account_generation") + 1, **SIGNED_OUT
        )
        _forget_cursors(ids)
        _forget_endpoints(ids)


def _forget_endpoints(ids: Collection[Any]) -> None:
    """For another account, or another way to it, the web service is found anew (R1.23)."""
    DiscoveredEndpoint.objects.filter(mailbox__in=ids).delete()


def _forget_cursors(ids: Collection[Any]) -> None:
    """The rows stay, under their former generation: they hold counts that the balance needs."""
    cursors = Mailbox._meta.get_field("folder_cursors").related_model
    cursors._default_manager.filter(mailbox__in=ids).update(cursor="", watermark=None)


def _schedule_test(ids: Collection[Any], now: datetime, actor: SystemUser | None) -> None:
    _update(
        ids,
        now,
        actor,
        test_email_configuration_scheduled=True,
        test_and_enable_last_attempted_by=actor,
        test_and_enable_last_attempted_on=now,
    )
    if ids:
        _workload_rows(ids).update(test_attempts=0, test_postponed_until=None)


def _allowed(
    rows: "QuerySet[M]", action: str, actor: SystemUser | None
) -> "tuple[QuerySet[M], int]":
    """Those within the actor's reach, and how many were chosen. Raises PermissionDenied that names the
    permission if the actor doesn't hold it, or if it covers none of them (R2.4)."""
    model = rows.model
    chosen = model._default_manager.filter(pk__in=rows.order_by().values("pk"))
    total = chosen.count()
    if actor is None:
        return chosen, total
    access.require(actor, action, model)
    allowed = access.visible_to(actor, chosen, action)
    if total and not allowed.exists():
        raise access.refusal(model, action)
    return allowed, total


def _workloads(mailbox: Mailbox) -> Any:
    return mailbox.workloads


def _workload_rows(ids: Collection[Any]) -> Any:
    related = Mailbox._meta.get_field("workloads").related_model
    return related._default_manager.filter(mailbox__in=ids)


def _cured(ids: Collection[Any], codes: Collection[str], now: datetime) -> None:
    """These conditions no longer hold: their alerts close, and a workload that they disabled asks for
    its test instead of for a cure that is done."""
    if not ids:
        return
    TraceLog.objects.filter(
        regarding_mailbox__in=ids, code__in=codes, closed_on__isnull=True
    ).update(closed_on=now)
    _workload_rows(ids).filter(state=WorkloadState.DISABLED, state_code__in=codes).update(
        state=WorkloadState.READY, state_code="", state_since=now
    )


def _refuse_taken(address: str, *, besides: Mailbox | None) -> None:
    if holder := holder_of(address, besides=besides):
        raise AddressTaken(address, holder)


def _first_approval(address: str) -> AccessApproval:
    return AccessApproval.PENDING if address else AccessApproval.EMPTY


def _mailbox_name(party: Party) -> str:
    return (party.full_name if isinstance(party, SystemUser) else party.name)[:200]


def _owner_of(party: Party) -> dict[str, Any]:
    """R1.3."""
    if isinstance(party, SystemUser):
        return {"owning_user_id": party.pk}
    return {"owning_user_id": party.owning_user_id, "owning_team_id": party.owning_team_id}


def _regarding(party: Party) -> dict[str, Any]:
    if isinstance(party, SystemUser):
        return {"regarding_user": party.pk}
    return {"regarding_queue": party.pk}


def _is_earlier(after: datetime | None, before: datetime | None) -> bool:
    if after is None or before is None:
        return after is None and before is not None
    return after < before


def _audit(actor: SystemUser | None, records: Iterable[Model], message: str) -> None:
    if actor is not None:
        LogEntry.objects.log_actions(actor.pk, list(records), CHANGE, change_message=message)
