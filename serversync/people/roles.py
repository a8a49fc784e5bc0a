"""The roles that come with the product, as groups: what each may do, and how far that reaches.

A site changes these groups as it likes. An update only adds what is new in the table here: each permission is
given once, so what a site took away stays away, and a group that was deleted isn't made again.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from django.contrib.auth.models import Group, Permission
from django.db import transaction
from django.utils.translation import gettext_lazy as _

from mailboxes.choices import Reach
from mailboxes.models import GroupReach
from serversync.models import ShippedRole


def _all(room: str, *models: str, doing: str = "view add change delete") -> tuple[str, ...]:
    return tuple(f"{room}.{deed}_{model}" for model in models for deed in doing.split())


def _look(room: str, *models: str) -> tuple[str, ...]:
    return _all(room, *models, doing="view")


#: What a person looks at to answer "what became of it?". Subjects and bodies are guarded apart (R8.30).
LOOKING = (
    *_look("mailboxes", "mailbox", "queue", "tracelog"),
    *_look(
        "serversync",
        "syncitem", "mailboxstatistics", "workload", "foldercursor", "serveraction", "submission",
        "exchangesyncidmapping", "parkedbatch", "syncrevision", "learnedlimit",
    ),
    *_look("tracking", "mailboxtrackingfolder"),
)  # fmt: skip
SUPPORTING = (
    *LOOKING,
    *_look("mailboxes", "emailserverprofile", "organization", "systemuser", "usersettings", "team"),
    *_look("mailboxes", "configurationchange"),
    *_look("auth", "group"),
    *_look("tracking", "convertrule", "hookrun"),
    *_look("serversync", "userquery", "savedquery", "syncattributemapping", "auditentry"),
    *_look("django_q", "schedule", "success", "failure", "ormq"),
    "mailboxes.test_mailbox",
    "mailboxes.synchronize_mailbox",
    "serversync.retry_syncitem",
)
PLANNED = (
    "appointment", "recurringappointmentmaster", "serviceappointment", "task", "phonecall",
    "letter", "fax",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Role:
    """`key` stays for ever; `group`: the name that its group is made with, `name`: as it is shown."""

    key: str
    group: str
    name: Any
    meaning: Any
    reach: Reach
    permissions: tuple[str, ...]


ADMINISTRATOR = Role(
    "mail_administrator",
    "mail administrator",
    _("mail administrator"),
    _(
        "Sets up servers, mailboxes, users, queues and rules, approves, tests, decides what waits. Reads "
        "nobody's mail by it, and hands out no permissions."
    ),
    Reach.ALL,
    (
        *SUPPORTING,
        *_all("mailboxes", "emailserverprofile", "queue", "team", doing="add change delete"),
        *_all("mailboxes", "mailbox", "systemuser", doing="add change"),
        *_all("mailboxes", "organization", "usersettings", doing="change"),
        *_all("tracking", "convertrule", "mailboxtrackingfolder", doing="add change delete"),
        *_all("serversync", "userquery", "savedquery", doing="add change delete"),
        *_all("serversync", "syncattributemapping", doing="add change delete"),
        *_all("serversync", "replay", doing="view add"),
        *_look("mailboxes", "emailsearch"),
        *_look("activities", "storedbytes"),
        "activities.view_bouncedaddress",
        "activities.delete_bouncedaddress",
        "mailboxes.delete_mailbox",
        "mailboxes.delete_tracelog",
        "mailboxes.approve_mailbox",
        "mailboxes.move_secrets",
        "serversync.delete_learnedlimit",
        "serversync.decide_parkedbatch",
        "serversync.apply_replay",
    ),
)
SUPPORT = Role(
    "support",
    "support",
    _("support"),
    _(
        "Looks at every mailbox, alert and ledger and finds out why, tests, synchronizes and retries. Changes "
        "no settings and reads nobody's mail by it."
    ),
    Reach.ALL,
    SUPPORTING,
)
USER = Role(
    "user",
    "user",
    _("user"),
    _(
        "Works with the own mail, appointments, contacts and tasks and those of queues that one is a member of, "
        "and sees what became of each."
    ),
    Reach.OWN,
    (
        *LOOKING,
        *_all("activities", "email", "contact", "account", "lead", "incident", *PLANNED),
        *_all("activities", "emailsignature", "template"),
        *_all("activities", "queueitem", doing="view change"),
        *_look("activities", "activitypointer", "bouncedaddress"),
        *_all("tracking", "mailboxtrackingfolder", doing="add change delete"),
        *_look("serversync", "userquery", "savedquery", "auditentry"),
        "mailboxes.delete_tracelog",
        "mailboxes.test_mailbox",
        "mailboxes.synchronize_mailbox",
        "serversync.retry_syncitem",
        "serversync.track_syncitem",
        "serversync.decide_parkedbatch",
    ),
)
ROLES = {role.key: role for role in (ADMINISTRATOR, SUPPORT, USER)}


# -- decisions -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Difference:
    """Between a group and the role it was shipped as."""

    missing: tuple[str, ...]
    extra: tuple[str, ...]
    reach: Reach | None

    def __bool__(self) -> bool:
        return bool(self.missing or self.extra or self.reach is not None)


def difference(role: Role, present: Iterable[str], reach: Reach) -> Difference:
    """`reach`: None in the answer where it is as shipped."""
    wanted, there = set(role.permissions), set(present)
    return Difference(
        missing=tuple(sorted(wanted - there)),
        extra=tuple(sorted(there - wanted)),
        reach=reach if reach != role.reach else None,
    )


def still_to_give(role: Role, given: Iterable[str]) -> tuple[str, ...]:
    """What the product never gave to this role here."""
    known = set(given)
    return tuple(sorted(name for name in set(role.permissions) if name not in known))


# -- the groups ----------------------------------------------------------------------------------


@transaction.atomic
def setup_groups() -> dict[str, tuple[str, ...]]:
    """Make what is missing and give what is new. Returns what was given, by role."""
    return {role.key: _bring_up(role) for role in ROLES.values()}


@transaction.atomic
def reset(key: str) -> Group:
    """The group as it was shipped, made anew if it is gone. Members stay."""
    role = ROLES[key]
    row, _made = ShippedRole.objects.get_or_create(key=key)
    group = row.group or _group(role)
    group.permissions.set(_permissions(role.permissions).values())
    GroupReach.objects.update_or_create(group=group, defaults={"reach": role.reach})
    _note(row, group, role.permissions)
    return group


def changes_of(group: Group) -> Difference | None:
    """None for a group that wasn't shipped."""
    row = ShippedRole.objects.filter(group=group).first()
    role = ROLES.get(row.key) if row else None
    if role is None:
        return None
    reach_row = GroupReach.objects.filter(group=group).first()
    reach = Reach(reach_row.reach) if reach_row else Reach.OWN
    return difference(role, names_of(group), reach)


def names_of(group: Group) -> list[str]:
    rows = group.permissions.order_by("content_type__app_label", "codename")
    return [
        f"{app}.{name}" for app, name in rows.values_list("content_type__app_label", "codename")
    ]


def group_of(key: str) -> Group | None:
    row = ShippedRole.objects.select_related("group").filter(key=key).first()
    return row.group if row else None


def _bring_up(role: Role) -> tuple[str, ...]:
    row, made = ShippedRole.objects.get_or_create(key=role.key)
    if row.group is None:
        if not made:
            return ()  # the site deleted it
        group = _group(role)
        GroupReach.objects.update_or_create(group=group, defaults={"reach": role.reach})
    else:
        group = row.group
    new = still_to_give(role, row.given)
    group.permissions.add(*_permissions(new).values())
    _note(row, group, [*row.given, *new])
    return new


def _group(role: Role) -> Group:
    """A site's own group of that name is left alone."""
    name, number = role.group, 1
    while Group.objects.filter(name=name).exists():
        number += 1
        name = f"{role.group} {number}"
    return Group.objects.create(name=name)


def _note(row: ShippedRole, group: Group, given: Iterable[str]) -> None:
    row.group = group
    row.given = sorted(set(given))
    row.save()


def _permissions(names: Iterable[str]) -> Mapping[str, Permission]:
    wanted = set(names)
    found = {
        f"{permission.content_type.app_label}.{permission.codename}": permission
        for permission in Permission.objects.select_related("content_type").filter(
            codename__in={name.partition(".")[2] for name in wanted}
        )
    }
    if missing := wanted - set(found):
        raise LookupError(f"Unknown permissions: {', '.join(sorted(missing))}")
    return {name: found[name] for name in wanted}
