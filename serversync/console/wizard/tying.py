"""A mailbox gets its profile and its credentials, a user or queue is made: by the forms of their own screens, so
that what is checked, written and noted is the same as there."""

from copy import copy
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from django.core.exceptions import ValidationError
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from mailboxes import access, services
from mailboxes.choices import (
    CredentialRetrieval,
    IncomingDeliveryMethod,
    OutgoingDeliveryMethod,
)
from mailboxes.connect import Direction, retrieval_of
from mailboxes.models import EmailServerProfile, Mailbox, Organization, Queue, SystemUser
from serversync.console.wizard.frame import Frame


class Kind(StrEnum):
    USER = "user"
    QUEUE = "queue"


KINDS = [(Kind.USER, _("User")), (Kind.QUEUE, _("Queue"))]


@dataclass(frozen=True, slots=True)
class Credentials:
    """As entered for one mailbox. An empty password leaves the stored one as it is."""

    user_name: str = ""
    password: str = ""


def asks_credentials(profile: EmailServerProfile) -> bool:
    """Does each mailbox of it log in with its own (section 1.3)?"""
    found = {retrieval_of(profile, direction) for direction in Direction}
    return CredentialRetrieval.USER_OR_QUEUE in found


# -- mailboxes


def tie(
    frame: Frame,
    request: HttpRequest,
    mailbox: Mailbox,
    profile: EmailServerProfile,
    credentials: Credentials,
    organization: Organization,
) -> bool:
    """Whether anything was written. What it has already stays: a mailbox of this profile keeps its delivery
    methods. Raises ValidationError, and PermissionDenied (R2.8)."""
    values: dict[str, Any] = {}
    if mailbox.email_server_profile_id != profile.pk:
        values = {"email_server_profile": profile.pk, **methods_for(mailbox, profile, organization)}
    if asks_credentials(profile):
        values |= _credentials(mailbox, credentials)
    if not values:
        return False
    screen = frame.screen(Mailbox)
    names = sorted({*values, "email_server_profile"})
    form = screen.get_form(request, mailbox, change=True, fields=names)(
        {"email_server_profile": profile.pk, **values}, instance=mailbox
    )
    if not form.is_valid():
        raise ValidationError(_sentences(form))
    if not form.has_changed():
        return False
    _save(screen, request, form, change=True)
    return True


def _credentials(mailbox: Mailbox, entered: Credentials) -> dict[str, Any]:
    name = entered.user_name or mailbox.user_name or mailbox.email_address
    found: dict[str, Any] = {"allow_email_connector_to_use_credentials": "on", "user_name": name}
    # Left out it would mean "leave it": the widget of secrets tells nothing from an empty text.
    return found | ({"password": entered.password} if entered.password else {})


def methods_for(
    mailbox: Mailbox, profile: EmailServerProfile, organization: Organization
) -> dict[str, int]:
    """The organization's defaults, as far as they are legal with this profile (R1.30, R1.34); where nothing
    would then be synchronized, mail in both directions."""
    with_profile = copy(organization)
    with_profile.default_email_server_profile = profile
    kind = Kind.USER if mailbox.serves_user else Kind.QUEUE
    found = services.default_settings(with_profile, kind)
    if found.profile is None:
        found = found._replace(
            incoming=IncomingDeliveryMethod.SERVER_SIDE_SYNC,
            outgoing=OutgoingDeliveryMethod.SERVER_SIDE_SYNC,
        )
    return {
        "incoming_email_delivery_method": found.incoming,
        "outgoing_email_delivery_method": found.outgoing,
        "act_delivery_method": found.act,
    }


# -- users and queues


@dataclass(frozen=True, slots=True)
class Newcomer:
    kind: Kind
    name: str
    address: str


def may_make(frame: Frame, request: HttpRequest) -> list[tuple[str, Any]]:
    """The kinds that this person may add."""
    models = {Kind.USER: SystemUser, Kind.QUEUE: Queue}
    return [
        (kind, words)
        for kind, words in KINDS
        if frame.screen(models[kind]).has_add_permission(request)
    ]


def mailbox_of(
    frame: Frame, request: HttpRequest, newcomer: Newcomer, profile: EmailServerProfile
) -> Mailbox:
    """Of whoever has the address already, so that nobody is made twice; else of the user or queue that is made.
    Raises ValidationError."""
    holder = services.holder_of(newcomer.address)
    if holder is None:
        return _make(frame, request, newcomer)
    fits = (
        holder.regarding_object is not None
        and holder.is_active_state
        and holder.email_server_profile_id in (None, profile.pk)
        and access.may(request.user, "change", holder)
    )
    if not fits:
        raise services.AddressTaken(newcomer.address, holder)
    return holder


def _make(frame: Frame, request: HttpRequest, newcomer: Newcomer) -> Mailbox:
    model: Any = SystemUser if newcomer.kind == Kind.USER else Queue
    screen = frame.screen(model)
    access.require(request.user, "add", model)
    if newcomer.kind == Kind.USER:
        kind = screen.get_form(request, None, change=False)
    else:
        names = ["name", "email_address", "owning_user"]
        kind = screen.get_form(request, None, change=False, fields=names)
    form = kind(_as_entered(request, newcomer))
    if not form.is_valid():
        raise ValidationError(_sentences(form))
    party = _save(screen, request, form, change=False)
    return Mailbox.objects.get(**{f"regarding_{newcomer.kind}": party.pk})


def _as_entered(request: HttpRequest, newcomer: Newcomer) -> dict[str, Any]:
    if newcomer.kind == Kind.QUEUE:
        return {
            "name": newcomer.name,
            "email_address": newcomer.address,
            "owning_user": request.user.pk,
        }
    first, _space, last = newcomer.name.rpartition(" ")
    return {
        "domain_name": newcomer.address,
        "first_name": first.strip(),
        "last_name": last,
        "internal_email_address": newcomer.address,
        "usable_password": "false",  # signs in once somebody has set one
    }


# -- as the screens do it


def _save(screen: Any, request: HttpRequest, form: Any, *, change: bool) -> Any:
    row = screen.save_form(request, form, change=change)
    screen.save_model(request, row, form, change=change)
    told = screen.construct_change_message(request, form, [], not change)
    (screen.log_change if change else screen.log_addition)(request, row, told)
    return row


def _sentences(form: Any) -> list[str]:
    """Each with the name of its field, which stands elsewhere here."""
    found = []
    for name, errors in form.errors.items():
        label = form.fields[name].label if name in form.fields else ""
        found += [f"{label}: {words}" if label else str(words) for words in errors]
    return found
