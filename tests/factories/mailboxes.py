"""The smallest valid users, queues, profiles and mailboxes. A test sets what it speaks about."""

import factory
from django.contrib.auth.models import Group, Permission
from factory.django import DjangoModelFactory

from mailboxes.choices import AccessApproval, CredentialRetrieval, Reach, ServerType
from mailboxes.models import (
    EmailServerProfile,
    GroupReach,
    Mailbox,
    Organization,
    Queue,
    SystemUser,
    Team,
)


class SystemUserFactory(DjangoModelFactory):
    """A user; the mailbox comes with it as `user.default_mailbox`."""

    class Meta:
        model = SystemUser
        skip_postgeneration_save = True

    domain_name = factory.Sequence(lambda n: f"user{n}")
    first_name = "Ada"
    last_name = factory.Sequence(lambda n: f"Example {n}")
    internal_email_address = factory.Sequence(lambda n: f"user{n}@example.com")


class SuperuserFactory(SystemUserFactory):
    domain_name = factory.Sequence(lambda n: f"admin{n}")
    internal_email_address = factory.Sequence(lambda n: f"admin{n}@example.com")
    is_superuser = True


class TeamFactory(DjangoModelFactory):
    class Meta:
        model = Team
        skip_postgeneration_save = True

    name = factory.Sequence(lambda n: f"Team {n}")
    administrator = factory.SubFactory(SystemUserFactory)

    @factory.post_generation
    def members(self, create, extracted, **kwargs):
        if create and extracted:
            self.members.add(*extracted)


class QueueFactory(DjangoModelFactory):
    """A queue; the mailbox comes with it as `queue.default_mailbox`."""

    class Meta:
        model = Queue
        skip_postgeneration_save = True

    name = factory.Sequence(lambda n: f"Queue {n}")
    email_address = factory.Sequence(lambda n: f"queue{n}@example.com")
    owning_user = factory.SubFactory(SystemUserFactory)

    @factory.post_generation
    def members(self, create, extracted, **kwargs):
        if create and extracted:
            self.members.add(*extracted)


class EmailServerProfileFactory(DjangoModelFactory):
    """IMAP and SMTP on one host; the mailboxes bring their own credentials."""

    class Meta:
        model = EmailServerProfile

    name = factory.Sequence(lambda n: f"Profile {n}")
    server_type = ServerType.IMAP_SMTP
    incoming_server_location = "mail.example.com"
    outgoing_server_location = "mail.example.com"
    owning_user = factory.SubFactory(SystemUserFactory)

    class Params:
        pop3 = factory.Trait(server_type=ServerType.POP3_SMTP)
        exchange = factory.Trait(
            server_type=ServerType.EXCHANGE_SERVER,
            incoming_server_location="https://mail.example.com/EWS/Exchange.asmx",
            outgoing_server_location="https://mail.example.com/EWS/Exchange.asmx",
        )
        own_credentials = factory.Trait(
            incoming_credential_retrieval=CredentialRetrieval.PROFILE,
            incoming_user_name="shared",
            incoming_password="profile-secret",
        )


class ForwardMailboxFactory(DjangoModelFactory):
    """A mailbox made by hand. Those of users and queues are made with them (R1.2)."""

    class Meta:
        model = Mailbox

    name = factory.Sequence(lambda n: f"Forward {n}")
    email_address = factory.Sequence(lambda n: f"forward{n}@example.com")
    owning_user = factory.SubFactory(SystemUserFactory)


def ready_mailbox(party=None, **columns) -> Mailbox:
    """The mailbox of a user (or of the queue given) with profile, credentials, approval, and every
    workload enabled: what Test & Enable leaves behind."""
    party = party or SystemUserFactory()
    profile = columns.pop("email_server_profile", None) or EmailServerProfileFactory()
    Mailbox.objects.filter(pk=party.default_mailbox.pk).update(
        **{
            "email_server_profile": profile,
            "email_router_access_approval": AccessApproval.APPROVED,
            "allow_email_connector_to_use_credentials": True,
            "user_name": party.default_mailbox.email_address,
            "password": "mailbox-secret",
        }
        | columns
    )
    mailbox = Mailbox.objects.select_related(
        "email_server_profile", "regarding_user", "regarding_queue"
    ).get(pk=party.default_mailbox.pk)
    mailbox.workloads.update(enabled=True, test_status=1)
    return mailbox


def group_of(user: SystemUser, *codenames: str, reach: Reach | None = Reach.OWN) -> Group:
    """Put a user into a new group that grants these permissions of this room with this reach. None:
    the group has no reach row."""
    group = Group.objects.create(name=f"Group {Group.objects.count()}")
    permissions = Permission.objects.filter(codename__in=codenames)
    assert permissions.count() == len(codenames), codenames
    group.permissions.set(permissions)
    if reach is not None:
        GroupReach.objects.create(group=group, reach=reach)
    user.groups.add(group)
    user.__dict__.pop("_reach_cache", None)
    return group


def organization(**columns) -> Organization:
    """The one row, with these settings."""
    row = Organization.objects.current()
    for name, value in columns.items():
        setattr(row, name, value)
    row.save()
    return Organization.objects.current()
