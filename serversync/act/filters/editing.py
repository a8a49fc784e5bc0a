"""What people do to filters and templates. Each asks for the right, and has the next cycle look again."""

from collections.abc import Iterable
from datetime import datetime
from typing import TypeVar

from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import QuerySet
from django.utils.translation import gettext_lazy as _

from mailboxes import access
from mailboxes.choices import Reach, StateCode
from mailboxes.models import SystemUser
from serversync.act.conditions.language import faults
from serversync.act.filters.giving import is_ours, look_again
from serversync.models import SavedQuery, UserQuery
from serversync.models.filters import Query, QueryType

Q = TypeVar("Q", UserQuery, SavedQuery)


@transaction.atomic
def save(*, query: UserQuery | SavedQuery, actor: SystemUser, now: datetime) -> None:
    """A new or edited filter or template. Raises ValidationError and PermissionDenied."""
    adding = query._state.adding
    before = None if adding else type(query)._default_manager.get(pk=query.pk)
    if before is not None:
        require(actor, "change", before)
    if before is None or _changes_hands(before, query):
        require(actor, "add", query)
    if found := faults(query.table, query.conditions):
        raise ValidationError({"conditions": found})
    if adding:
        query.created_on, query.created_by = now, actor
    query.modified_by = actor
    query.full_clean(exclude=["modified_by", "created_by"])
    query.save(force_insert=adding)
    look_again_for([one for one in (before, query) if one is not None], now)


@transaction.atomic
def set_active(*, queries: "QuerySet[Q]", active: bool, actor: SystemUser, now: datetime) -> int:
    """How many changed (R6.12). Raises PermissionDenied."""
    state = StateCode.ACTIVE if active else StateCode.INACTIVE
    chosen = list(queries.select_for_update().exclude(state_code=state))
    _require_all(actor, "change", queries.model, chosen)
    queries.model._default_manager.filter(pk__in=[query.pk for query in chosen]).update(
        state_code=state, modified_by=actor, modified_on=now
    )
    look_again_for(chosen, now)
    return len(chosen)


@transaction.atomic
def delete(*, queries: "QuerySet[Q]", actor: SystemUser, now: datetime) -> int:
    """Raises PermissionDenied, and ValidationError for what the product brings along."""
    chosen = list(queries.select_for_update())
    _require_all(actor, "delete", queries.model, chosen)
    for query in chosen:
        if isinstance(query, SavedQuery) and is_ours(query):
            raise ValidationError(
                _(
                    "“%(name)s” comes with the product and can't be deleted. Deactivate it, or take the "
                    "mark of a default off. (R6.9)"
                ),
                params={"name": query},
            )
    queries.model._default_manager.filter(pk__in=[query.pk for query in chosen]).delete()
    look_again_for(chosen, now)
    return len(chosen)


def require(actor: SystemUser, action: str, query: Query) -> None:
    """Own filters are everybody's own business (R6.12)."""
    if not may(actor, action, query):
        raise access.refusal(type(query), action)


def _require_all(actor: SystemUser, action: str, model: type[Q], chosen: Iterable[Q]) -> None:
    keys = {query.pk for query in chosen}
    rows = model._default_manager.filter(pk__in=keys)
    if keys - set(access.visible_to(actor, rows, action).values_list("pk", flat=True)):
        raise access.refusal(model, action)


def _changes_hands(before: Query, query: Query) -> bool:
    if not isinstance(before, UserQuery) or not isinstance(query, UserQuery):
        return False
    return before.owning_user_id != query.owning_user_id


def may(actor: SystemUser, action: str, query: Query) -> bool:
    if isinstance(query, UserQuery) and action == "add":
        if query.owning_user_id == actor.pk:
            return bool(actor.is_active)
        return access.reach_of(actor, UserQuery, "add") == Reach.ALL
    if query._state.adding:
        return access.reach_of(actor, type(query), action) is not None
    return access.may(actor, action, query)


def look_again_for(queries: Iterable[Query], now: datetime) -> None:
    """A template acts on nobody until it is copied; a filter for everybody acts on all."""
    queries = list(queries)
    if any(isinstance(one, SavedQuery) and one.query_type == QueryType.FILTER for one in queries):
        look_again(None, now)
        return
    users = {one.owning_user_id for one in queries if isinstance(one, UserQuery)}
    if users:
        look_again(users, now)
