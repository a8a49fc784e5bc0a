"""What each row of a file would do, and why: create, change, nothing, or refused. Asks no database.

A row is made into the record as it would be, and that is asked what forms ask: the columns' own checks, the
model's `clean`, the services' rules. So there is no second truth, and what is shown is what is saved.

Only columns of the file count, and of those only cells with something in them; "(empty)" empties.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.core.exceptions import ValidationError
from django.db.models import EmailField, Model
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as __

from mailboxes import access, services
from mailboxes.addresses import address_key
from mailboxes.choices import AccessApproval, ServerType
from mailboxes.legality import exchange_url
from mailboxes.models import EmailServerProfile, Mailbox, SystemUser
from mailboxes.places import (
    PROFILE_SECRETS,
    entered_for,
    place_of_mailbox,
    place_of_secret,
    place_of_site_client,
)
from mailboxes.presets import GMAIL, preset_of
from mailboxes.secrets import Secret
from serversync.choices import ImportKind, Verdict
from serversync.importing.columns import (
    COLUMNS,
    EMPTY_IT,
    KEYS,
    Cells,
    Column,
    bare,
    empties,
    parts_of,
    shortened,
    value_of,
)
from serversync.importing.world import MODELS, World, key_of

OWNERS = ("owning_user", "owning_team")
APPROVAL = "email_router_access_approval"
PARTIES = ("regarding_user", "regarding_queue")


@dataclass(frozen=True, slots=True)
class Change:
    """One column, in words. `hidden`: a secret; only that it changes is told."""

    name: str
    label: str
    before: str
    after: str
    hidden: bool = False


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a row is refused. `label`: of the column; "" for the row as a whole."""

    label: str
    words: str


@dataclass(slots=True)
class Decision:
    """`record`: as it would be. `changed`: columns of it that are written. `members`, `approval`: what is done
    besides, None where nothing is."""

    number: int
    name: str
    verdict: Verdict
    changes: tuple[Change, ...] = ()
    reasons: tuple[Reason, ...] = ()
    record: Any = None
    changed: frozenset[str] = frozenset()
    members: frozenset[Any] | None = None
    approval: AccessApproval | None = None

    @property
    def is_written(self) -> bool:
        return self.verdict in (Verdict.CREATE, Verdict.UPDATE)


@dataclass(slots=True)
class _Draft:
    """One row while it is decided. `stored`: the record as it is, None for a new one."""

    number: int
    cells: Cells
    stored: Any = None
    record: Any = None
    changes: list[Change] = field(default_factory=list)
    reasons: list[Reason] = field(default_factory=list)
    changed: set[str] = field(default_factory=set)
    members: frozenset[Any] | None = None
    approval: AccessApproval | None = None
    #: Secrets that say what is stored already. Where that was entered for another place, they are new (R1.26).
    repeated: dict[str, tuple[Column, str]] = field(default_factory=dict)

    def enter(self, column: Column, plain: str) -> None:
        setattr(self.record, column.name, plain)
        self.changed.add(column.name)
        after = __("entered") if plain else __("removed")
        self.changes.append(Change(column.name, column.label, "", after, True))

    def enter_again(self, names: Collection[str]) -> None:
        for name in names:
            if name in self.repeated and name not in self.changed:
                self.enter(*self.repeated[name])

    def refuse(self, words: Any, label: str = "") -> None:
        self.reasons.append(Reason(label, str(words)))

    def set(self, column: Column, value: Any) -> None:
        """Give the record a value, and tell it as a change if it is one."""
        before = None if self.stored is None else getattr(self.stored, column.name)
        setattr(self.record, column.name, value)
        if self.stored is not None and _same(column, before, value):
            return
        self.changed.add(column.name)
        old, new = in_words(column, before), in_words(column, value)
        if self.stored is not None or new:
            self.changes.append(Change(column.name, column.label, old, new, column.is_secret))


def plan(rows: Sequence[tuple[int, Cells]], world: World, now: datetime) -> list[Decision]:
    """In the order of the file. `world.records` learns what rows would create, so that later ones may name it."""
    planner = _Planner(world, now)
    return [planner.decide(number, cells) for number, cells in rows]


class _Planner:
    def __init__(self, world: World, now: datetime) -> None:
        self.world, self.now = world, now
        self.kind = world.kind
        self.model = MODELS[world.kind]
        self.columns = {column.name: column for column in COLUMNS[world.kind]}
        #: What rows before have claimed -> which row.
        self.claims: dict[Any, int] = {}

    def decide(self, number: int, cells: Cells) -> Decision:
        draft = _Draft(number, cells)
        self._find(draft)
        if not draft.reasons:
            self._claim(draft)
        if draft.reasons:
            return self._refused(draft)
        self._begin(draft)
        self._fill(draft)
        if not draft.reasons:
            _JUDGE[self.kind](self, draft)
        if draft.changes or draft.stored is None:
            if not draft.reasons:
                self._check(draft)
            self._permit(draft)
        return self._refused(draft) if draft.reasons else self._decided(draft)

    # -- which record

    def _find(self, draft: _Draft) -> None:
        if not any(draft.cells.get(name) for name in KEYS[self.kind]):
            labels = ", ".join(self.columns[name].label for name in KEYS[self.kind])
            draft.refuse(
                __("Nothing says which record it means. Fill in one of: %(labels)s.")
                % {"labels": labels}
            )
        elif self.kind == ImportKind.MAILBOXES:
            self._find_mailbox(draft)
        else:
            self._find_by_words(draft)
        if draft.stored is not None and draft.stored not in self.world.seen:
            draft.refuse(
                __(
                    "There is such a record, but your permissions don't reach it. Ask an administrator "
                    "to import this row."
                )
            )

    def _find_by_words(self, draft: _Draft) -> None:
        found: list[Any] = []
        for name in KEYS[self.kind]:
            words = draft.cells.get(name, "")
            here = self.world.records.by(name, words) if words else []
            if len(found) > 1:
                here = [row for row in found if row in here]
            found = here or found
            if len(found) == 1 or (words and name == "domain_name"):
                break  # a sign-in name that nobody has is a new one's, not another for whoever has the address
        if len(found) > 1:
            draft.refuse(
                __(
                    "%(count)d records have this name. Say which by the address, or give them "
                    "different names first."
                )
                % {"count": len(found)}
            )
        elif found:
            draft.stored = found[0]

    def _find_mailbox(self, draft: _Draft) -> None:
        if all(draft.cells.get(name) for name in PARTIES):
            draft.refuse(__("A mailbox belongs to a user or to a queue, not to both (R1.2)."))
            return
        for name in PARTIES:
            if words := draft.cells.get(name, ""):
                party = self._named(draft, self.columns[name], words)
                if party is not None:
                    draft.stored = self.world.of_parties.get(party.pk)
                    if draft.stored is None:
                        draft.refuse(__("“%(name)s” has no mailbox.") % {"name": party})
                return
        found = self.world.records.by("email_address", draft.cells["email_address"])
        draft.stored = found[0] if found else None

    def _claim(self, draft: _Draft) -> None:
        """One row for one record, and one for one address."""
        claims: dict[Any, str] = {}
        if draft.stored is not None:
            claims[draft.stored.pk] = ""
        keys = {name: key_of(draft.cells.get(name)) for name in KEYS[self.kind]}
        if self.kind == ImportKind.QUEUES:  # several may have one name
            claims[tuple(keys.values())] = self.columns["name"].label
            del keys["name"]
        for name, words in keys.items():
            if words and not empties(words) and self.columns[name].is_plain:
                claims[name, words] = self.columns[name].label
        for claim, label in claims.items():
            earlier = self.claims.setdefault(claim, draft.number)
            if earlier != draft.number:
                draft.refuse(
                    __("Row %(row)d is about the same. Keep one of the two.") % {"row": earlier},
                    label,
                )
                return

    # -- the record as it would be

    def _begin(self, draft: _Draft) -> None:
        if draft.stored is not None:
            draft.record = copy(draft.stored)
            return
        draft.record = self.model(created_on=self.now)
        if isinstance(draft.record, SystemUser):
            draft.record.set_unusable_password()

    def _fill(self, draft: _Draft) -> None:
        given = self._fill_preset(draft)
        for column in self.columns.values():
            text = draft.cells.get(column.name)
            if text is None or column.name in given or self._is_key(draft, column):
                continue
            try:
                self._fill_one(draft, column, text)
            except ValidationError as error:
                for words in error.messages:
                    draft.refuse(words, column.label)

    def _fill_preset(self, draft: _Draft) -> Collection[str]:
        """The columns that a provider's name decides, as in the form (R1.11)."""
        words = bare(draft.cells.get("server_type", ""))
        preset = next((each for each in GMAIL if words in (bare(each.label), bare(each.key))), None)
        if preset is None or self.kind != ImportKind.PROFILES:
            return ()
        given = preset.servers
        is_new = draft.stored is None or preset_of(draft.stored) != preset
        if is_new and "incoming_credential_retrieval" not in draft.cells:
            given |= preset.sign_in
        for name, value in given.items():
            draft.set(self.columns[name], value)
        return given

    def _is_key(self, draft: _Draft, column: Column) -> bool:
        """By what it was found it isn't changed; not in case either."""
        if column.name in PARTIES:
            return True
        if draft.stored is None or column.name not in KEYS[self.kind]:
            return False
        return key_of(getattr(draft.stored, column.name)) == key_of(draft.cells[column.name])

    def _fill_one(self, draft: _Draft, column: Column, text: str) -> None:
        if column.many:
            self._fill_members(draft, column, text)
        elif column.refers:
            value = None if empties(text) else self._named(draft, column, text)
            if value is not None or empties(text):
                draft.set(column, value)
        elif column.is_secret:
            self._fill_secret(draft, column, text)
        elif column.name == APPROVAL:
            draft.approval = AccessApproval(value_of(column, text))
        else:
            draft.set(column, value_of(column, text))

    def _named(self, draft: _Draft, column: Column, words: str) -> Any:
        index = self.world.named[column.refers]
        found = index.named(words)
        if len(found) == 1:
            return found[0]
        told = {"name": shortened(words), "count": len(found)}
        draft.refuse(
            __("%(count)d records are called “%(name)s”. Use the address.") % told
            if found
            else __(
                "There is no “%(name)s” that you may see. Make it first, or correct the name; what a file "
                "makes itself must come in a row above."
            )
            % told,
            column.label,
        )
        return None

    def _fill_secret(self, draft: _Draft, column: Column, text: str) -> None:
        if not self.world.may_enter_secrets:
            draft.refuse(
                __(
                    "Passwords are not entered over plain HTTP. Open the console over HTTPS, or remove "
                    "the column. (R1.26)"
                ),
                column.label,
            )
            return
        plain = value_of(column, text) or ""
        stored = getattr(draft.stored, column.name) if draft.stored is not None else Secret("")
        if not plain and not stored:
            return
        if plain and self.world.may_compare_secrets and stored.says(plain):
            draft.repeated[column.name] = (column, plain)
        else:
            draft.enter(column, plain)

    def _fill_members(self, draft: _Draft, column: Column, text: str) -> None:
        words = [] if empties(text) else parts_of(text)
        users = [self._named(draft, column, each) for each in words]
        if any(user is None for user in users):
            return
        wanted = frozenset(user.pk for user in users)
        stored = draft.stored.pk if draft.stored is not None else None
        present = self.world.members.get(stored, frozenset())
        if wanted == present:
            return
        draft.members = wanted
        names = "; ".join(sorted(user.domain_name for user in users))
        before = __("%(count)d members") % {"count": len(present)} if present else ""
        draft.changes.append(Change(column.name, column.label, before, names or EMPTY_IT))

    # -- what must be true of it

    def owner(self, draft: _Draft) -> None:
        """Exactly one: whoever is named takes the place of the other; a new record is the importer's."""
        given = [name for name in OWNERS if draft.cells.get(name)]
        record = draft.record
        if len(given) == 1:
            (other,) = set(OWNERS) - set(given)
            if getattr(record, given[0]) is not None and getattr(record, other) is not None:
                draft.set(self.columns[other], None)
        elif draft.stored is None and not given and self.world.actor is not None:
            record.owning_user_id = self.world.actor.pk
        if (record.owning_user_id is None) == (record.owning_team_id is None):
            draft.refuse(_one_owner(self.model), self.columns["owning_user"].label)

    def address(self, draft: _Draft, name: str) -> None:
        """R1.5, in the words of the services."""
        if name not in draft.changed:
            return
        address = address_key(getattr(draft.record, name))
        holder = self.world.holders.get(address)
        if holder is not None and holder.pk != self._own_mailbox(draft):
            self.refuse_error(draft, services.AddressTaken(address, holder), name)

    def _own_mailbox(self, draft: _Draft) -> Any:
        if draft.stored is None:
            return None
        if self.kind == ImportKind.MAILBOXES:
            return draft.stored.pk
        holder = self.world.holders.get(address_key(getattr(draft.record, _address(self.kind))))
        served = holder and (holder.regarding_user_id or holder.regarding_queue_id)
        return holder.pk if holder is not None and served == draft.stored.pk else None

    def _check(self, draft: _Draft) -> None:
        """The columns' own checks, and the model's. What needs the database is asked when it is saved."""
        record: Model = draft.record
        skipped = {one.name for one in record._meta.fields if one.is_relation}
        if draft.stored is not None:
            skipped |= {one.name for one in record._meta.fields} - draft.changed
        try:
            record.clean_fields(exclude=skipped)
            record.clean()
            if isinstance(record, EmailServerProfile):
                services.check_profile(record, self.world.organization)
        except ValidationError as error:
            self.refuse_error(draft, error)

    def refuse_error(self, draft: _Draft, error: ValidationError, name: str = "") -> None:
        told = error.message_dict if hasattr(error, "error_dict") else {name: error.messages}
        for column, messages in told.items():
            for words in messages:
                draft.refuse(words, self._label(column))

    def _label(self, name: str) -> str:
        column = self.columns.get(name)
        return column.label if column else ""

    def _permit(self, draft: _Draft) -> None:
        world = self.world
        if draft.stored is None:
            if not world.may_add:
                draft.refuse(" ".join(access.refusal(self.model, "add").args))
        elif draft.stored not in world.changeable:
            draft.refuse(" ".join(access.refusal(self.model, "change").args))

    # -- the outcome

    def _refused(self, draft: _Draft) -> Decision:
        shown = draft.stored is not None and draft.stored in self.world.seen
        return Decision(
            draft.number,
            self._name(draft),
            Verdict.REFUSED,
            reasons=tuple(draft.reasons),
            record=draft.stored if shown else None,
        )

    def _decided(self, draft: _Draft) -> Decision:
        verdict = Verdict.UPDATE if draft.changes else Verdict.UNCHANGED
        if draft.stored is None:
            verdict = Verdict.CREATE
            self._remember(draft.record)
        return Decision(
            draft.number,
            self._name(draft),
            verdict,
            changes=tuple(draft.changes),
            record=draft.record,
            changed=frozenset(draft.changed),
            members=draft.members,
            approval=draft.approval,
        )

    def _remember(self, record: Any) -> None:
        for index in self.world.named.values():
            if index.model is self.model:
                index.add(record)

    def _name(self, draft: _Draft) -> str:
        """What the row calls it."""
        words = (draft.cells.get(name) for name in KEYS[self.kind])
        return shortened(next((each for each in words if each), ""))


# -- what each kind asks besides -----------------------------------------------------------------


def _judge_user(planner: _Planner, draft: _Draft) -> None:
    actor, user = planner.world.actor, draft.record
    if draft.stored is not None and actor is not None and draft.changes:
        if user.is_superuser and not actor.is_superuser:
            draft.refuse(__("Only a superuser changes a superuser."))
        if user.pk == actor.pk and user.is_disabled and "is_disabled" in draft.changed:
            draft.refuse(__("You can't disable yourself."), planner.columns["is_disabled"].label)
    planner.address(draft, "internal_email_address")


def _judge_queue(planner: _Planner, draft: _Draft) -> None:
    planner.owner(draft)
    planner.address(draft, "email_address")


def _judge_profile(planner: _Planner, draft: _Draft) -> None:
    profile = draft.record
    if ServerType(profile.server_type).is_exchange and not profile.use_auto_discover:
        for name in ("incoming_server_location", "outgoing_server_location"):
            if name in draft.changed:
                _complete_address(planner, draft, name)
    planner.owner(draft)
    if draft.stored is not None:
        moved = [
            column
            for column in PROFILE_SECRETS
            if getattr(draft.stored, column)
            and place_of_secret(draft.stored, column) != place_of_secret(profile, column)
        ]
        draft.enter_again(moved)
        behind = [column for column in moved if column not in draft.changed]
        if behind:
            planner.refuse_error(draft, services.SecretsStayBehind(behind))
    _judge_site_client(planner, draft)


def _complete_address(planner: _Planner, draft: _Draft, name: str) -> None:
    """As the form does (R1.12)."""
    url = exchange_url(getattr(draft.record, name))
    if url == getattr(draft.record, name):
        return
    draft.changes = [change for change in draft.changes if change.name != name]
    draft.changed.discard(name)
    draft.set(planner.columns[name], url)


def _judge_site_client(planner: _Planner, draft: _Draft) -> None:
    place = place_of_site_client(draft.record)
    before = None if draft.stored is None else place_of_site_client(draft.stored)
    if place is None or place == before or planner.world.moves_secrets.keys is None:
        return
    if draft.stored is None or draft.stored not in planner.world.moves_secrets:
        draft.refuse(" ".join(access.refusal(EmailServerProfile, "move_secrets").args))


def _judge_mailbox(planner: _Planner, draft: _Draft) -> None:
    mailbox: Mailbox = draft.record
    if draft.stored is None:
        _judge_new_mailbox(planner, draft)
    else:
        _judge_stored_mailbox(planner, draft)
    if draft.reasons:
        return
    if mailbox.is_forward_mailbox:
        planner.owner(draft)
    planner.address(draft, "email_address")
    _judge_approval(planner, draft)


def _judge_new_mailbox(planner: _Planner, draft: _Draft) -> None:
    label = planner.columns["is_forward_mailbox"].label
    if "is_forward_mailbox" not in draft.changed or not draft.record.is_forward_mailbox:
        draft.refuse(
            __(
                "No mailbox has this address. Mailboxes of users and queues are made with them: import "
                "those first, or name the user or queue here. For a forward mailbox write yes under "
                "“%(label)s” (R1.2)."
            )
            % {"label": label}
        )
    elif not draft.cells.get("name"):
        draft.record.name = draft.record.email_address


def _judge_stored_mailbox(planner: _Planner, draft: _Draft) -> None:
    if draft.repeated and _is_kept_back(draft):
        draft.enter_again(list(draft.repeated))
    if "is_forward_mailbox" in draft.changed:
        draft.refuse(
            __("What a mailbox serves isn't changed by an import. Remove the cell (R1.2)."),
            planner.columns["is_forward_mailbox"].label,
        )
    if not draft.record.is_forward_mailbox and draft.changed & set(OWNERS):
        draft.refuse(
            __(
                "A user's mailbox belongs to the user, a queue's to the owner of the queue (R1.3). Change "
                "the owner of the queue instead."
            ),
            planner.columns["owning_user"].label,
        )


def _is_kept_back(draft: _Draft) -> bool:
    """Would what is stored not be sent to where the mailbox is then?"""
    stored, mailbox = draft.stored, draft.record
    place = place_of_mailbox(mailbox.email_server_profile, mailbox.email_address)
    return entered_for(stored, stored.email_server_profile) != place


def _judge_approval(planner: _Planner, draft: _Draft) -> None:
    """Only who may approve does, and only where the column asks for it (R2.4)."""
    column = planner.columns[APPROVAL]
    wanted = draft.approval
    if wanted is None:
        return
    stored = draft.stored
    starts_over = stored is None or "email_address" in draft.changed
    present = AccessApproval.PENDING if starts_over else stored.email_router_access_approval
    if wanted == present:
        draft.approval = None
        return
    if wanted not in (AccessApproval.APPROVED, AccessApproval.REJECTED):
        draft.refuse(
            __("An import approves or rejects. Nothing is made to wait again by it."), column.label
        )
        return
    may = planner.world.may_approve_new if stored is None else stored in planner.world.approvable
    if not may:
        draft.refuse(" ".join(access.refusal(Mailbox, "approve_mailbox").args), column.label)
        return
    before = "" if stored is None else AccessApproval(stored.email_router_access_approval).label
    draft.changes.append(Change(APPROVAL, column.label, str(before), str(wanted.label)))


_JUDGE: Mapping[ImportKind, Callable[[_Planner, _Draft], None]] = {
    ImportKind.USERS: _judge_user,
    ImportKind.QUEUES: _judge_queue,
    ImportKind.PROFILES: _judge_profile,
    ImportKind.MAILBOXES: _judge_mailbox,
}


# -- in words ------------------------------------------------------------------------------------


def in_words(column: Column, value: Any) -> str:
    if column.is_secret:
        return ""
    if value is None or value == "":
        return ""
    if isinstance(value, bool):
        return __("yes") if value else __("no")
    if choices := dict(column.field.flatchoices):
        return str(choices.get(value, value))
    if isinstance(value, datetime):
        return date_format(timezone.localtime(value), "Y-m-d H:i")
    return shortened(str(value))


def _same(column: Column, before: Any, value: Any) -> bool:
    if isinstance(column.field, EmailField):
        return address_key(before or "") == address_key(value or "")
    if isinstance(before, datetime) and isinstance(value, datetime):
        return before.replace(microsecond=0) == value
    if isinstance(value, str):
        return _lines(str(before)) == _lines(value)
    return bool(before == value)


def _lines(text: str) -> str:
    """Spreadsheets and forms end lines each in their way."""
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _address(kind: ImportKind) -> str:
    return "internal_email_address" if kind == ImportKind.USERS else "email_address"


def _one_owner(model: type[Model]) -> str:
    """The words of the constraint itself."""
    found: Iterator[Any] = (
        each for each in model._meta.constraints if each.name.endswith("_one_owner")
    )
    return str(next(found).violation_error_message)
