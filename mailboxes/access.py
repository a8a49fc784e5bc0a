"""Who may see and change which rows: one function per model, asked by pages, actions and search.

A permission says what a person may do, the reach of the group that grants it says to which rows:
own ones, also those of own teams, or all. Permissions given to a person directly reach own rows.
Grants add up. Higher rooms register their models with `rows`; a model nobody registered is an error,
never an open door.

One query per call at most beside the caller's own: the grants of a user object are read once and
kept on it, everything else becomes part of the queryset.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from django.contrib.auth.models import Permission
from django.core.exceptions import PermissionDenied
from django.db.models import Exists, IntegerField, Model, Q, QuerySet, Value
from django.db.models.functions import Coalesce
from django.utils.translation import gettext as _

from mailboxes.alerts import OUTAGE
from mailboxes.choices import QueueViewType, Reach
from mailboxes.models import (
    ConfigurationChange,
    EmailSearch,
    EmailServerProfile,
    GroupReach,
    Mailbox,
    Organization,
    Queue,
    SystemUser,
    Team,
    TraceLog,
    UserSettings,
)

M = TypeVar("M", bound=Model)

NOTHING = Q(pk__in=[])
EVERYTHING = Q()
MODEL_ACTIONS = ("add", "change", "delete", "view")


@dataclass(frozen=True, slots=True)
class Asker:
    """One question: this user, this action, and how far the permission for it reaches, if granted.

    Row functions see no superusers: those reach everything before they are called.
    """

    user: SystemUser
    action: str
    reach: Reach | None

    @property
    def viewing(self) -> bool:
        return self.action == "view"

    @property
    def teams(self) -> "QuerySet[Any]":
        """Keys of the user's teams, as a subquery."""
        return Team.members.through.objects.filter(systemuser=self.user.pk).values("team")

    @property
    def teammates(self) -> "QuerySet[Any]":
        return Team.members.through.objects.filter(team__in=self.teams).values("systemuser")

    @property
    def queues(self) -> "QuerySet[Any]":
        """Keys of the queues that the user is a member of."""
        return Queue.members.through.objects.filter(systemuser=self.user.pk).values("queue")

    def owned(self, prefix: str = "") -> Q:
        """Rows with an owner, by reach. `prefix`: path to the owned row, e.g. "mailbox__"."""
        if self.reach is None:
            return NOTHING
        if self.reach == Reach.ALL:
            return EVERYTHING
        mine = Q(**{f"{prefix}owning_user": self.user.pk})
        if self.reach == Reach.TEAM:
            return mine | Q(**{f"{prefix}owning_team__in": self.teams})
        return mine

    def seen(self, model: type[Model]) -> "QuerySet[Any]":
        """Keys of the rows of another model that the user may view, as a subquery."""
        return visible_to(self.user, model._default_manager.all()).values("pk")


RowRule = Callable[[Asker], Q]
_RULES: dict[type[Model], RowRule] = {}


def rows(*models: type[Model]) -> Callable[[RowRule], RowRule]:
    """Register the row function of these models: asker -> condition on the rows he reaches."""

    def register(rule: RowRule) -> RowRule:
        for model in models:
            _RULES[model] = rule
        return rule

    return register


def by_owner(asker: Asker) -> Q:
    """The row function of any owned model without rules of its own."""
    return asker.owned()


def visible_to(user: Any, queryset: "QuerySet[M]", action: str = "view") -> "QuerySet[M]":
    """The rows of `queryset` on which `user` may do `action`.

    `action` is view, change, delete or add, or the codename of a custom permission of the model.
    """
    if not getattr(user, "is_active", False):
        return queryset.none()
    model = queryset.model
    rule = _rule_of(model)
    if user.is_superuser:
        return queryset
    condition = rule(Asker(user, action, reach_of(user, model, action)))
    return queryset.filter(condition) if condition else queryset


def may(user: Any, action: str, obj: Model) -> bool:
    """May `user` do `action` on this very row?"""
    if not getattr(user, "is_active", False):
        return False
    model = type(obj)
    rule = _rule_of(model)
    if user.is_superuser:
        return True
    condition = rule(Asker(user, action, reach_of(user, model, action)))
    if not condition:
        return True
    if condition == NOTHING:
        return False
    return model._default_manager.filter(condition, pk=obj.pk).exists()


def require(user: Any, action: str, model: type[Model]) -> None:
    """Raise PermissionDenied that names the permission, if the user doesn't hold it at all (R2.4)."""
    if reach_of(user, model, action) is None:
        raise refusal(model, action)


def refusal(model: type[Model], action: str) -> PermissionDenied:
    return PermissionDenied(
        _(
            "This needs the permission “%(permission)s”, which you don't have here. Ask an "
            "administrator to add it to one of your groups, with a reach that covers these rows."
        )
        % {"permission": f"{model._meta.app_label}.{codename_of(model, action)}"}
    )


def codename_of(model: type[Model], action: str) -> str:
    return f"{action}_{model._meta.model_name}" if action in MODEL_ACTIONS else action


def reach_of(user: Any, model: type[Model], action: str = "view") -> Reach | None:
    """How far the user's permission for this goes; None without the permission."""
    if not getattr(user, "is_active", False):
        return None
    if user.is_superuser:
        return Reach.ALL
    return _grants(user).get((model._meta.app_label, codename_of(model, action)))


def _rule_of(model: type[Model]) -> RowRule:
    try:
        return _RULES[model._meta.concrete_model or model]
    except KeyError:
        raise LookupError(
            f"{model._meta.label} has no row function. Register one with mailboxes.access.rows."
        ) from None


def _grants(user: Any) -> dict[tuple[str, str], Reach]:
    """(app, codename) -> widest reach. One query per user object, that is per request."""
    known: dict[tuple[str, str], Reach] | None = getattr(user, "_reach_cache", None)
    if known is None:
        columns = ("content_type__app_label", "codename", "granted_reach")
        own = Value(int(Reach.OWN), output_field=IntegerField())
        granted = (
            Permission.objects.filter(group__user=user)
            .annotate(granted_reach=Coalesce("group__reach_row__reach", own))
            .order_by()
            .values_list(*columns)
            .union(
                Permission.objects.filter(user=user)
                .annotate(granted_reach=own)
                .order_by()
                .values_list(*columns)
            )
        )
        known = {}
        for app_label, codename, reach in granted:
            key = (app_label, codename)
            known[key] = max(known.get(key, Reach.OWN), Reach(reach))
        user._reach_cache = known
    return known


# -- message content -----------------------------------------------------------------------------


def content_readers(user: Any) -> Q:
    """Condition on mailboxes whose messages `user` may read: own ones, those of own teams, and those
    of queues he is a member of. Superusers get nothing extra: they administer, they don't read (R8.30).
    """
    if not getattr(user, "is_active", False):
        return NOTHING
    asker = Asker(user, "view", None)
    return (
        Q(owning_user=user.pk)
        | Q(regarding_user=user.pk)
        | Q(owning_team__in=asker.teams)
        | Q(regarding_queue__in=asker.queues)
    )


def may_read_content(user: Any, mailbox: Mailbox) -> bool:
    """May `user` see subjects and bodies of this mailbox's messages (R8.30)?"""
    if not getattr(user, "is_active", False):
        return False
    if user.pk in (mailbox.owning_user_id, mailbox.regarding_user_id):
        return True
    if mailbox.owning_team_id is None and mailbox.regarding_queue_id is None:
        return False
    return Mailbox.objects.filter(content_readers(user), pk=mailbox.pk).exists()


# -- this room's models --------------------------------------------------------------------------

rows(EmailServerProfile)(by_owner)


@rows(Mailbox)
def _mailboxes(asker: Asker) -> Q:
    """By owner; whom it serves may always look: the user, and the members of the queue."""
    allowed = asker.owned()
    if asker.viewing and allowed:
        return allowed | Q(regarding_user=asker.user.pk) | Q(regarding_queue__in=asker.queues)
    return allowed


@rows(Queue)
def _queues(asker: Asker) -> Q:
    """Public queues for all who may view queues; private ones for owner and members. Reach over all
    rows covers private ones, too: a queue's row is configuration, its mail is guarded elsewhere."""
    allowed = asker.owned()
    if asker.viewing and allowed:
        allowed |= Q(pk__in=asker.queues)
        if asker.reach is not None:
            allowed |= Q(queue_view_type=QueueViewType.PUBLIC)
    return allowed


@rows(SystemUser)
def _users(asker: Asker) -> Q:
    return _people(asker, "pk", always=asker.viewing)


@rows(UserSettings)
def _settings(asker: Asker) -> Q:
    """Everybody may see and change the own personal options (R3.16)."""
    return _people(asker, "system_user", always=asker.action in ("view", "change"))


def _people(asker: Asker, column: str, always: bool) -> Q:
    if asker.reach == Reach.ALL:
        return EVERYTHING
    if asker.reach is None:
        return Q(**{column: asker.user.pk}) if always else NOTHING
    found = Q(**{column: asker.user.pk})
    if asker.reach == Reach.TEAM:
        found |= Q(**{f"{column}__in": asker.teammates})
    return found


@rows(Team)
def _teams(asker: Asker) -> Q:
    if asker.reach == Reach.ALL:
        return EVERYTHING
    if asker.reach is None:
        return NOTHING
    found = Q(administrator=asker.user.pk)
    if asker.reach == Reach.TEAM or asker.viewing:
        found |= Q(pk__in=asker.teams)
    return found


@rows(TraceLog)
def _alerts(asker: Asker) -> Q:
    """An alert goes with its mailbox or profile. Looking needs no permission of its own, deleting does
    (R8.16)."""
    if not asker.viewing and asker.reach is None:
        return NOTHING
    seen = Q(regarding_mailbox__in=asker.seen(Mailbox)) | Q(
        regarding_profile__in=asker.seen(EmailServerProfile)
    )
    return seen | _of_their_server(asker) if asker.viewing else seen


def _of_their_server(asker: Asker) -> Q:
    """What is wrong with the server of a mailbox, for whoever it serves or who owns it, where the organization
    says so (R8.14); not what is told there of other mailboxes."""
    served = Mailbox.objects.filter(
        Q(owning_user=asker.user.pk)
        | Q(owning_team__in=asker.teams)
        | Q(regarding_user=asker.user.pk)
        | Q(regarding_queue__in=asker.queues),
        email_server_profile__isnull=False,
    )
    told = Organization.objects.filter(notify_mailbox_owner_of_email_server_level_alerts=True)
    return Q(
        Exists(told),
        regarding_profile__in=served.values("email_server_profile"),
        object_key__in=["", OUTAGE],
    )


@rows(ConfigurationChange)
def _changes(asker: Asker) -> Q:
    """The whole list tells of records of all kinds; the history of one is on that record's own page."""
    return EVERYTHING if asker.reach == Reach.ALL else NOTHING


@rows(Organization, GroupReach)
def _of_the_site(asker: Asker) -> Q:
    """Rows that belong to nobody: the permission alone decides."""
    return NOTHING if asker.reach is None else EVERYTHING


@rows(EmailSearch)
def _addresses(asker: Asker) -> Q:
    """The index names every record's addresses, so only reach over all rows opens it."""
    return EVERYTHING if asker.reach == Reach.ALL else NOTHING
