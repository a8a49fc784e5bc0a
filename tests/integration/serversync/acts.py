"""What tests of appointments, contacts and tasks share: mailboxes with fake items servers, one cycle at a time."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import uuid4

from django.contrib.auth.models import Group, Permission

from mailboxes.choices import ActDeliveryMethod, Operation, Reach, ServerType
from mailboxes.models import EmailServerProfile, GroupReach, Mailbox, SystemUser
from mailboxes.protocols.items import Person, When
from serversync.act import filters
from serversync.act.cycle import synchronize
from serversync.context import load
from serversync.cycle import CycleResult
from serversync.models import ActState, ExchangeSyncIdMapping, ParkedBatch, SyncRevision, Workload
from tests.fakeitems import FakeItemsAccount, FakeItemsServer
from tests.integration.serversync.cycles import NOW, profile, user_mailbox

Link = ExchangeSyncIdMapping

TABLES = [
    "contact",
    "appointment",
    "recurringappointmentmaster",
    "serviceappointment",
    "task",
    "phonecall",
    "letter",
    "fax",
]


@dataclass
class ActAccount:
    """A user's mailbox and its account on the server; `cycle` runs one, as the engine would."""

    mailbox: Mailbox
    account: FakeItemsAccount
    now: datetime = NOW
    servers: list[FakeItemsServer] = field(default_factory=list)
    prepare: Callable[[FakeItemsServer], None] = lambda server: None

    @property
    def user(self) -> SystemUser:
        return self.mailbox.regarding_user

    def connect(self, *_: object, **__: object) -> FakeItemsServer:
        server = FakeItemsServer(self.account)
        self.prepare(server)
        self.servers.append(server)
        return server

    def cycle(self) -> CycleResult:
        self.account.now = self.now
        token = uuid4()
        rows = Workload.objects.filter(mailbox=self.mailbox, operation=Operation.ACT)
        rows.update(lease_token=token, lease_expires_at=self.now + timedelta(minutes=5))
        context = load(self.mailbox.pk, Operation.ACT, self.now)
        return synchronize(context, token, clock=lambda: self.now, connect=self.connect)

    def quiet(self, cycles: int = 6) -> None:
        """Run until a cycle does nothing."""
        for _cycle in range(cycles):
            if not self.cycle().by_state:
                return
            self.later(minutes=15)
        raise AssertionError("it never comes to rest")

    def later(self, **delta: float) -> None:
        self.now += timedelta(**delta)

    @property
    def links(self) -> list[Link]:
        return list(Link.objects.filter(mailbox=self.mailbox).order_by("pk"))

    def link_of(self, record: object) -> Link:
        return Link.objects.get(mailbox=self.mailbox, object_id=record.pk)

    @property
    def batch(self) -> ParkedBatch:
        return ParkedBatch.objects.get(mailbox=self.mailbox, state="waiting")

    @property
    def revisions(self) -> list[SyncRevision]:
        return list(SyncRevision.objects.filter(mailbox=self.mailbox).order_by("pk"))


def act_account(
    name: str = "ada",
    *,
    site: dict[str, FakeItemsAccount] | None = None,
    began: bool = True,
    **columns: object,
) -> ActAccount:
    """A user with an Exchange mailbox whose first look is over, unless said otherwise."""
    exchange = EmailServerProfile.objects.filter(
        server_type=ServerType.EXCHANGE_SERVER
    ).first() or profile(server_type=ServerType.EXCHANGE_SERVER, incoming_server_location="")
    mailbox = user_mailbox(
        name,
        email_server_profile=exchange,
        act_delivery_method=ActDeliveryMethod.SERVER_SIDE_SYNC,
        **columns,
    )
    Workload.objects.filter(mailbox=mailbox, operation=Operation.ACT).update(enabled=True)
    works_with_records(mailbox.regarding_user)
    filters.copy_templates(mailbox.regarding_user, NOW)
    if began:
        ActState.objects.create(
            mailbox=mailbox, began_at=NOW - timedelta(days=1), look_again_at=NOW
        )
    return ActAccount(mailbox, FakeItemsAccount(f"{name}@example.com", site))


def works_with_records(user: SystemUser, reach: Reach = Reach.OWN) -> None:
    """He may do everything to his own contacts and activities."""
    group = Group.objects.create(name=f"Records of {user}")
    group.permissions.set(
        Permission.objects.filter(
            content_type__app_label="activities", content_type__model__in=TABLES
        )
    )
    GroupReach.objects.create(group=group, reach=reach)
    user.groups.add(group)
    user.__dict__.pop("_reach_cache", None)


def meeting(days: float = 7, hours: float = 1, zone: str = "Europe/Berlin") -> When:
    """An hour, so many days from now."""
    start = NOW + timedelta(days=days)
    return When(start, start + timedelta(hours=hours), zone=zone)


def people(*addresses: str) -> tuple[Person, ...]:
    return tuple(Person(address) for address in addresses)
