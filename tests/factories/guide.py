"""The site of the guide's pictures: that of `build_site` on an ordinary Monday, with what a day leaves behind."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from mailboxes.choices import ChangeEvent, Operation
from mailboxes.models import (
    ConfigurationChange,
    EmailServerProfile,
    Mailbox,
    Organization,
    SystemUser,
)
from mailboxes.protocols.errors import CertificateRejected
from mailboxes.protocols.faultkinds import FaultKind
from mailboxes.protocols.phases import Phase
from serversync.act.stored import reasons_data, side_data
from serversync.act.types import Reason, Side
from serversync.choices import ConnectionState
from serversync.models import (
    AuditEntry,
    ConnectionTest,
    ExchangeSyncIdMapping,
    MailboxStatistics,
    ParkedBatch,
    ReplayChange,
    SyncRevision,
)
from serversync.people.choices import AuditKind
from serversync.people.roles import ADMINISTRATOR, SUPPORT, USER, group_of, setup_groups
from serversync.testing_steps import told
from tests.factories import act
from tests.factories.console import Site, build_site
from tracking.choices import AcceptReason

#: Mail of each hour of a working day.
BY_HOUR = (0, 0, 0, 1, 0, 2, 6, 14, 23, 19, 12, 9, 11, 17, 15, 8, 4, 2, 3, 1, 0, 0, 1, 5)


def guide_site() -> Site:
    site = build_site()
    setup_groups()
    for role, user in ((ADMINISTRATOR, site.administrator), (SUPPORT, site.ben), (USER, site.ada)):
        group = group_of(role.key)
        assert group is not None
        user.groups.add(group)
    _a_day_of_cycles(site)
    _a_failed_connection(site)
    _what_waits(site)
    return site


def _a_day_of_cycles(site: Site) -> None:
    hours = (site.now - timedelta(hours=back, minutes=9) for back in range(24))
    MailboxStatistics.objects.bulk_create(
        _cycle(site.mailboxes[name], began, BY_HOUR[began.hour] * share // 4)
        for began in hours
        for name, share in (("healthy", 5), ("queue", 9))
        if BY_HOUR[began.hour]
    )


def _cycle(mailbox: Mailbox, began: datetime, items: int) -> MailboxStatistics:
    return MailboxStatistics(
        mailbox=mailbox,
        operation_type=Operation.OUTGOING if began.hour % 5 == 3 else Operation.INCOMING,
        mailbox_process_scheduled_on=began - timedelta(seconds=2 + began.hour % 4),
        mailbox_process_started_on=began,
        mailbox_process_completed_on=began + timedelta(milliseconds=400 + 90 * items),
        items_processed=items,
        items_by_state={"tracked": items},
        machine_name="worker@example",
    )


def _a_failed_connection(site: Site) -> None:
    """As a test of the old server's profile leaves it."""
    profile = EmailServerProfile.objects.get(name="Old POP3 server")
    steps: list[dict[str, Any]] = [
        {"step": Phase.RESOLVE, "ms": 3, "ok": True},
        {"step": Phase.CONNECT, "ms": 14, "ok": True},
        {"step": Phase.TLS, "ms": 41},
    ]
    refused = CertificateRejected("certificate has expired", fault=FaultKind.CERTIFICATE_EXPIRED)
    steps[-1] |= told(refused, Phase.TLS)
    ConnectionTest.objects.create(
        profile=profile,
        mailbox=site.mailboxes["failing"],
        state=ConnectionState.DONE,
        asked_by=site.administrator,
        asked_at=site.now - timedelta(minutes=1),
        finished_at=site.now,
        results=[
            {
                "direction": "incoming",
                "server": f"{profile.incoming_server_location}:995",
                "ms": 58,
                "validation": "failed",
                "authorization": "not_reached",
                "execution": "not_reached",
                "steps": steps,
            }
        ],
    )


def _what_waits(site: Site) -> None:
    """A question with two sides, a batch, and a change that can be undone."""
    healthy = site.mailboxes["healthy"]
    server = Side({"given_name": "Cleo", "surname": "Example", "job_title": "Head of purchasing"})
    ExchangeSyncIdMapping.objects.exclude(question="").update(
        question="duplicate",
        question_about={"server": side_data(server), "candidates": [str(site.cleo.pk)]},
        asked_on=site.now,
    )
    batch = ParkedBatch.objects.get()
    batch.reasons = reasons_data(
        (Reason("too_many_deletes", {"count": 3, "allowed": 2, "linked": 20}),)
    )
    batch.save()
    for subject in ("Visit of the auditors", "Planning of the fair"):
        meeting = act.MEETING | {"subject": subject}
        act.parked(batch, act.pair(healthy, base=meeting), act.DELETE, None, Side(meeting))
    change = ReplayChange.objects.get()
    change.after["reason"] = AcceptReason.SENDER_MATCH.code
    change.save()
    SyncRevision.objects.update(
        before={"fields": {"job_title": "Buyer", "company": "Customer"}},
        after={
            "fields": {"job_title": "Head of purchasing", "company": "Customer Ltd"},
            "verb": "update",
        },
        made_on=site.now - timedelta(minutes=5),
    )


def note_what_happened(site: Site) -> None:
    """The trails of a morning, in place of what the making of this site left in them."""
    ConfigurationChange.objects.all().delete()
    AuditEntry.objects.all().delete()
    organization = Organization.objects.get()
    for minutes, field, before, after in (
        (61, "undo_send_seconds", "0", "30"),
        (58, "track_categorized_items", "0", "1"),
        (44, "messages_per_cycle", "500", "800"),
    ):
        _changed(organization, field, before, after, site.administrator, _ago(site, minutes))
    profile = site.profile
    _changed(profile, "incoming_port_number", "143", "993", site.administrator, _ago(site, 30))
    for minutes, kind, user, about, detail in (
        (75, AuditKind.SIGN_IN_FAILED, None, "administrator", ""),
        (74, AuditKind.SIGNED_IN, site.administrator, "", ""),
        (74, AuditKind.FACTOR_PASSED, site.administrator, "", ""),
        (61, AuditKind.CHANGED, site.administrator, "Example Ltd", "time to undo sending (s)"),
        (30, AuditKind.CHANGED, site.administrator, "Example IMAP", "incoming port"),
        (29, AuditKind.SECRET_SET, site.administrator, "Example IMAP", "incoming password"),
        (12, AuditKind.SIGNED_IN, site.ben, "", ""),
        (8, AuditKind.GRANTED, site.administrator, "ben", "group: support"),
    ):
        AuditEntry.objects.create(
            at=_ago(site, minutes),
            kind=kind,
            actor=user,
            actor_name=user.domain_name if user else "administrator",
            subject_name=about,
            detail=detail,
            address="192.0.2.17",
        )


def _ago(site: Site, minutes: int) -> datetime:
    return site.now - timedelta(minutes=minutes)


def _changed(
    record: Any, field: str, before: str, after: str, by: SystemUser, at: datetime
) -> None:
    ConfigurationChange.objects.create(
        object_type=record._meta.label_lower,
        object_id=str(
            UUID(int=len(record._meta.label))
        ),  # a page tells its last letters: the same each time
        event=ChangeEvent.CHANGED,
        field=field,
        before=before,
        after=after,
        changed_on=at,
        changed_by=by,
    )
