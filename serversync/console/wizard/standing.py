"""How far profiles have come with the wizard, read from what is stored. One statement for any number."""

from typing import Any

from django.db.models import Exists, OuterRef, Q, QuerySet

from mailboxes.choices import StateCode
from mailboxes.models import EmailServerProfile, Mailbox, Organization
from serversync.choices import ConnectionState
from serversync.connections import Status
from serversync.console.wizard.steps import Facts
from serversync.models import ConnectionTest, Workload


def with_standing(profiles: "QuerySet[EmailServerProfile]") -> "QuerySet[Any]":
    mailboxes = Mailbox.objects.filter(
        email_server_profile=OuterRef("pk"), state_code=StateCode.ACTIVE
    )
    tried = Workload.objects.filter(
        Q(enabled=True) | Q(tested_at__isnull=False),
        mailbox__email_server_profile=OuterRef("pk"),
    )
    return profiles.annotate(
        has_mailboxes=Exists(mailboxes),
        has_tests=Exists(mailboxes.filter(test_email_configuration_scheduled=True)),
        has_tried=Exists(tried),
    ).select_related("connection_test")


def facts_of(profile: Any, organization: Organization) -> Facts:
    """Of a row that came `with_standing`."""
    return Facts(
        stored=True,
        passed=has_passed(profile, getattr(profile, "connection_test", None)),
        is_default=organization.default_email_server_profile_id == profile.pk,
        has_mailboxes=profile.has_mailboxes,
        begun=profile.has_tests or profile.has_tried,
    )


def is_outdated(profile: EmailServerProfile, test: ConnectionTest | None) -> bool:
    """The profile was changed after it was tested."""
    return test is not None and test.asked_at < profile.modified_on


def has_passed(profile: EmailServerProfile, test: ConnectionTest | None) -> bool:
    if test is None or test.state != ConnectionState.DONE or is_outdated(profile, test):
        return False
    return bool(test.results) and all(
        result["execution"] == Status.PASSED for result in test.results
    )
