"""Who can sign in at the quick start's site: its superuser, and somebody of each shipped role."""

import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.utils.translation import gettext_lazy as _

from mailboxes import services
from mailboxes.choices import ActDeliveryMethod, IncomingDeliveryMethod, OutgoingDeliveryMethod
from mailboxes.models import SystemUser
from serversync.people import roles
from serversync.sandbox.servers import Sandbox

ADMIN = "admin"
#: Roles whose people have no mail of their own here; the user is one of the seeded ones.
STAFF = {roles.ADMINISTRATOR.key: "mail-administrator", roles.SUPPORT.key: "support"}
NO_MAIL = {
    "incoming_email_delivery_method": IncomingDeliveryMethod.NONE,
    "outgoing_email_delivery_method": OutgoingDeliveryMethod.NONE,
    "act_delivery_method": ActDeliveryMethod.NONE,
}


@dataclass(frozen=True, slots=True)
class Login:
    """`password`: "" if somebody else has set it; `sees`: in words."""

    user: SystemUser
    password: str
    role: Any
    sees: Any

    @property
    def name(self) -> str:
        return self.user.domain_name


def superuser(sandbox: Sandbox, now: datetime) -> Login:
    user = SystemUser.objects.filter(domain_name=ADMIN).first()
    if user is None:
        user = SystemUser.objects.create_superuser(ADMIN, first_name="Administrator")
    _without_mail(user, now)
    return _login(sandbox, user, _("superuser"), _("All pages; decides who may do what."))


def of_each_role(sandbox: Sandbox, users: Iterable[SystemUser], now: datetime) -> list[Login]:
    """All `users` get the role of users; the first of them is the one to sign in as. A role whose group the site
    has deleted is left out."""
    roles.setup_groups()
    people = {key: [_person(name, now)] for key, name in STAFF.items()}
    people[roles.USER.key] = list(users)
    found = []
    for key, role in roles.ROLES.items():
        group = roles.group_of(key)
        if group is None or not people[key]:
            continue
        group.user_set.add(*people[key])
        found.append(_login(sandbox, people[key][0], role.name, role.meaning))
    return found


def _person(name: str, now: datetime) -> SystemUser:
    user = SystemUser.objects.filter(domain_name=name).first()
    if user is None:
        first_name = name.replace("-", " ").capitalize()
        user = SystemUser.objects.create_user(name, first_name=first_name)
    _without_mail(user, now)
    return user


def _login(sandbox: Sandbox, user: SystemUser, role: Any, sees: Any) -> Login:
    """With a password of the sandbox's making, unless the person has one."""
    note = f"{user.domain_name}-password"
    if not (user.password and user.has_usable_password()):
        password = secrets.token_urlsafe(9)
        user.set_password(password)
        user.save(update_fields=["password"])
        sandbox.store.set_note(note, password)
    password = sandbox.store.note(note)
    return Login(user, password if user.check_password(password) else "", role, sees)


def _without_mail(user: SystemUser, now: datetime) -> None:
    mailbox = user.default_mailbox
    changed = [name for name, value in NO_MAIL.items() if getattr(mailbox, name) != value]
    if changed:
        for name in changed:
            setattr(mailbox, name, NO_MAIL[name])
        services.save_mailbox(mailbox=mailbox, changed_fields=changed, now=now)
