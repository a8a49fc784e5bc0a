"""Templates: the product's own, copied to users when their synchronization is set up, and applied to many."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID, uuid5

from django.db import transaction
from django.db.models import QuerySet

from mailboxes import access
from mailboxes.choices import ActDeliveryMethod, Reach, StateCode
from mailboxes.models import SystemUser, Team
from serversync.act.conditions.defaults import DEFAULTS
from serversync.act.types import Table
from serversync.models import ActState, FilterSetup, SavedQuery, UserQuery
from serversync.models.filters import QueryType

#: Under which the keys of our templates are made.
_OURS = UUID("6b3d3c84-5f0f-4f5c-9a53-6f6f7b7ad1c4")


def key_of(table: Table) -> UUID:
    """Of our template for a table: the same on every site."""
    return uuid5(_OURS, table.name)


def is_ours(template: SavedQuery) -> bool:
    """Those can be changed, deactivated and made no default; deleted, they would come back."""
    return template.pk in {key_of(table) for table in DEFAULTS}


def templates() -> "QuerySet[SavedQuery]":
    """All of them. Ours are made when they are first asked for, and never changed after that."""
    keys = [key_of(table) for table in DEFAULTS]
    if SavedQuery.objects.filter(pk__in=keys).count() < len(keys):
        SavedQuery.objects.bulk_create(
            (
                SavedQuery(
                    id=key_of(table),
                    name=name,
                    returned_type_code=table,
                    conditions=conditions,
                    is_default=True,
                )
                for table, (name, conditions) in DEFAULTS.items()
            ),
            ignore_conflicts=True,
        )
    return SavedQuery.objects.filter(query_type=QueryType.TEMPLATE)


def default_templates() -> "QuerySet[SavedQuery]":
    return templates().filter(is_default=True, state_code=StateCode.ACTIVE)


# -- when a user's synchronization is set up ------------------------------------------------------


@transaction.atomic
def copy_templates(user: SystemUser, now: datetime) -> list[UserQuery]:
    """The default templates as the user's own filters, once and never again (R6.9). Where somebody has
    given him filters of a table before, these stay alone: another one would only widen them (R6.10)."""
    _setup, first = FilterSetup.objects.get_or_create(user=user, defaults={"copied_on": now})
    if not first:
        return []
    chosen = set(
        UserQuery.objects.filter(owning_user=user).values_list("returned_type_code", flat=True)
    )
    made = [
        copied(template, user, now)
        for template in default_templates()
        if template.returned_type_code not in chosen
    ]
    UserQuery.objects.bulk_create(made)
    look_again([user.pk], now)
    return made


def copied(
    template: SavedQuery, user: SystemUser, now: datetime, actor: SystemUser | None = None
) -> UserQuery:
    """Not saved yet."""
    return UserQuery(
        owning_user=user,
        parent_query=template,
        returned_type_code=template.returned_type_code,
        created_on=now,
        created_by=actor,
        **_content(template, actor),
    )


def _content(template: SavedQuery, actor: SystemUser | None) -> dict[str, Any]:
    return {
        "name": template.name,
        "description": template.description,
        "conditions": template.conditions,
        "state_code": StateCode.ACTIVE,
        "modified_by": actor,
    }


def look_again(users: Collection[UUID] | None, now: datetime) -> None:
    """The next cycle of these users' mailboxes asks the filters about every record; None: of all users."""
    states = ActState.objects.all()
    if users is not None:
        states = states.filter(mailbox__regarding_user__in=users)
    states.update(look_again_at=now)


# -- many users at once (R10.13) -----------------------------------------------------------------


@dataclass(frozen=True)
class Gift:
    """What applying templates does for one user. `retired`: filters of his that are switched off."""

    user: SystemUser
    added: list[SavedQuery] = field(default_factory=list)
    there: list[UserQuery] = field(default_factory=list)
    replaced: list[tuple[UserQuery, SavedQuery]] = field(default_factory=list)
    retired: list[UserQuery] = field(default_factory=list)

    @property
    def changes(self) -> bool:
        return bool(self.added or self.replaced or self.retired)


def users_within_reach(actor: SystemUser) -> "QuerySet[SystemUser]":
    """Whose filters the actor may change."""
    reach = access.reach_of(actor, UserQuery, "change")
    everybody = SystemUser.objects.filter(is_disabled=False)
    if reach == Reach.ALL:
        return everybody
    mates = Team.members.through.objects.filter(team__members=actor.pk).values("systemuser")
    own = everybody.filter(pk=actor.pk)
    return own | everybody.filter(pk__in=mates) if reach == Reach.TEAM else own


def synchronizing(users: "QuerySet[SystemUser]") -> "QuerySet[SystemUser]":
    """Those whose appointments, contacts and tasks are synchronized by this product (R6.1)."""
    return users.filter(
        default_mailbox__act_delivery_method=ActDeliveryMethod.SERVER_SIDE_SYNC,
        default_mailbox__state_code=StateCode.ACTIVE,
    )


def plan(
    chosen: Sequence[SavedQuery], users: Iterable[SystemUser], *, retire_others: bool = False
) -> list[Gift]:
    """What `apply` would do, user by user; nothing is written. `retire_others`: what they have of the same
    tables besides is switched off, because a filter more never narrows (R6.10)."""
    users = list(users)
    owned: dict[UUID, list[UserQuery]] = {user.pk: [] for user in users}
    for one in UserQuery.objects.filter(owning_user__in=users).order_by("created_on"):
        owned[one.owning_user_id].append(one)
    return [_gift(chosen, user, owned[user.pk], retire_others) for user in users]


def _gift(
    chosen: Sequence[SavedQuery], user: SystemUser, owned: list[UserQuery], retire_others: bool
) -> Gift:
    gift, used = Gift(user), set()
    for template in chosen:
        standing = _standing(template, [one for one in owned if one.pk not in used])
        if standing is None:
            gift.added.append(template)
            continue
        used.add(standing.pk)
        if standing.is_active_state and standing.conditions == template.conditions:
            gift.there.append(standing)
        else:
            gift.replaced.append((standing, template))
    if retire_others:
        tables = {template.returned_type_code for template in chosen}
        gift.retired.extend(
            one
            for one in owned
            if one.pk not in used and one.is_active_state and one.returned_type_code in tables
        )
    return gift


def _standing(template: SavedQuery, owned: list[UserQuery]) -> UserQuery | None:
    """The user's filter that this template would be a second time: its copy, or one that asks the same."""
    copies = [one for one in owned if one.parent_query_id == template.pk]
    same = [
        one
        for one in owned
        if one.returned_type_code == template.returned_type_code
        and one.conditions == template.conditions
    ]
    found = [*(one for one in same if one.is_active_state), *copies, *same]
    return found[0] if found else None


@transaction.atomic
def apply(
    chosen: Sequence[SavedQuery],
    users: Iterable[SystemUser],
    *,
    retire_others: bool = False,
    actor: SystemUser,
    now: datetime,
) -> list[Gift]:
    """Give these templates to these users. Raises PermissionDenied if one of them is out of reach."""
    users = list(users)
    keys = {user.pk for user in users}
    if keys - set(users_within_reach(actor).filter(pk__in=keys).values_list("pk", flat=True)):
        raise access.refusal(UserQuery, "change")
    gifts = plan(chosen, users, retire_others=retire_others)
    UserQuery.objects.bulk_create(
        copied(template, gift.user, now, actor) for gift in gifts for template in gift.added
    )
    for gift in gifts:
        for standing, template in gift.replaced:
            _become(standing, template, actor, now)
    columns = ["name", "description", "conditions", "state_code", "parent_query"]
    replaced = [standing for gift in gifts for standing, _template in gift.replaced]
    UserQuery.objects.bulk_update(replaced, [*columns, "modified_by", "modified_on"])
    retired = [one.pk for gift in gifts for one in gift.retired]
    UserQuery.objects.filter(pk__in=retired).update(
        state_code=StateCode.INACTIVE, modified_by=actor, modified_on=now
    )
    look_again([gift.user.pk for gift in gifts if gift.changes], now)
    return gifts


def _become(standing: UserQuery, template: SavedQuery, actor: SystemUser, now: datetime) -> None:
    for name, value in _content(template, actor).items():
        setattr(standing, name, value)
    standing.parent_query = template
    standing.modified_on = now
