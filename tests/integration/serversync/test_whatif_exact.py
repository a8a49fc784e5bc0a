"""What-if predicts the real run on the quick start's mail, item by item, over random settings."""

import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import replace
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from django.db import transaction
from django.utils import timezone

from activities.models import Incident
from mailboxes.choices import FilteringMethod, IncomingDeliveryMethod, Operation, ServerType
from mailboxes.models import Mailbox, Organization, Queue, SystemUser, UserSettings
from mailboxes.protocols.base import SENT
from serversync.models import SyncItem, Workload
from serversync.sandbox import seeds
from serversync.sandbox.site import prepare
from serversync.whatif import Difference, Unknown, what_if
from tests.fakes import FakeMailbox
from tests.integration.serversync.cycles import Account
from tracking.again import Settings
from tracking.choices import PartyKind

pytestmark = [
    pytest.mark.integration,
    pytest.mark.django_db,
    pytest.mark.database("sqlite"),
]

NOW = timezone.now().replace(microsecond=0)
SWITCHES = (
    "use_filtering_method_of_syncing_mailbox_only_for_correlation",
    "sss_force_filtering_method_for_user_mailboxes",
    "sender_filters_accept_replies",
    "do_not_auto_track_auto_submitted",
    "use_envelope_evidence",
    "use_date_watermark",
    "ignore_internal_email",
    "do_not_ignore_internal_email_to_queues",
    "ignore_internal_email_from_queues",
    "ignore_internal_email_detection_enhancement",
    "restrict_irm_email_items",
    "ignore_inactive_records_in_resolution",
    "unresolve_email_address_if_multiple_match",
    "unresolve_sender_in_case_of_multiple_match",
    "auto_create_contact_on_promote",
    "email_correlation_enabled",
    "ignore_conversation_index_and_in_reply_to_for_correlation",
    "use_tracking_tokens",
    "check_token_participants",
    "enable_smart_matching",
    "create_queue_items_for_accepting_queue_recipients",
    "create_queue_item_for_synchronizing_mailbox",
    "sss_create_additional_queue_items_for_already_tracked_email",
    "route_email_to_default_queue",
    "strict_parity",
)
Key = tuple[str, str, str]


class Boxes(dict[str, FakeMailbox]):
    """Stands in for the sandbox while the site is prepared."""

    host, ca_pem, ports = "127.0.0.1", "", {"imaps": 993, "smtp": 25, "pop3": 110, "smtps": 465}

    def __init__(self) -> None:
        super().__init__()
        self.notes: dict[str, str] = {}
        self.passwords: dict[str, str] = {}
        self.forwarding: dict[str, str] = {}
        self.store = SimpleNamespace(
            note=lambda name: self.notes.get(name, ""),
            set_note=self.notes.__setitem__,
            password_of=self.passwords.get,
            add_account=self.passwords.__setitem__,
        )
        self.exchange = SimpleNamespace(
            url="https://127.0.0.1/ews",
            store=SimpleNamespace(password_of=self.passwords.get),
            add_account=lambda address, password, **_more: self.passwords.update(
                {address: password}
            ),
            has_account=self.passwords.__contains__,
            allow_impersonation=lambda address: None,
            add_folder=lambda address, path: SimpleNamespace(
                remote_id=self[address].add_folder(_place(path))
            ),
        )

    def __missing__(self, address: str) -> FakeMailbox:
        self[address] = FakeMailbox()
        return self[address]


def _place(path: str) -> str:
    if path == seeds.SENT_ITEMS:
        return SENT
    return path.replace("Inbox", "INBOX", 1)


@pytest.fixture
def accounts() -> list[Account]:
    """The quick start's mailboxes in their order, filled."""
    boxes = Boxes()
    prepared = prepare(boxes, NOW)
    for seed in seeds.seeds(NOW):
        for inbox in seed.inboxes:
            boxes[inbox].deliver(
                seed.mime, _place(seed.folder or "Inbox"), seed.received_at, seed.categories
            )
    Workload.objects.filter(operation=Operation.INCOMING).update(enabled=True)
    found = []
    for mailbox in prepared.mailboxes:
        if mailbox.incoming_email_delivery_method != IncomingDeliveryMethod.SERVER_SIDE_SYNC:
            continue
        kind = mailbox.email_server_profile.server_type
        exchange, pop3 = kind == ServerType.EXCHANGE_SERVER, kind == ServerType.POP3_SMTP
        account = Account(
            mailbox, boxes[mailbox.email_address], exchange=exchange, complete=pop3, now=NOW
        )
        found.append(account)
    return found


def run(accounts: list[Account]) -> None:
    """Twice each, for categories are noticed in the second cycle; on servers of their own."""
    now = NOW
    fresh = [replace(account, box=deepcopy(account.box)) for account in accounts]
    for account in fresh * 2:
        now += timedelta(minutes=1)
        account.now = now
        account.receive()


@contextmanager
def undone() -> Iterator[None]:
    with transaction.atomic():
        yield
        transaction.set_rollback(True)


def drawn(number: int) -> Settings:
    chance = random.Random(number)
    columns: dict[str, Any] = {
        name: chance.random() < 0.5 for name in SWITCHES[:-1] if chance.random() < 0.4
    }
    columns["strict_parity"] = chance.random() < 0.15
    if chance.random() < 0.3:
        columns["max_upload_file_size_kb"] = 1
    filters = {}
    for kind, rows in (
        (PartyKind.USER, SystemUser.objects.filter(internal_email_address__contains="sandbox")),
        (PartyKind.QUEUE, Queue.objects.all()),
    ):
        for row in rows.order_by("domain_name" if kind == PartyKind.USER else "name"):
            if chance.random() < 0.5:
                filters[(kind.value, str(row.pk))] = chance.choice(list(FilteringMethod))
    return Settings(organization=columns, filters=filters)


def apply(settings: Settings) -> None:
    Organization.objects.update(**settings.organization)
    for (kind, key), method in settings.filters.items():
        if kind == PartyKind.USER:
            rows = UserSettings.objects.filter(system_user=key)
        else:
            rows = Queue.objects.filter(pk=key)
        rows.update(incoming_email_filtering_method=method)


def key_of(row: SyncItem) -> Key:
    return row.mailbox.email_address, row.folder, row.source_key


def seen(data: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    def name(key: str) -> str:
        return names.get(key, key)

    def named(what: str) -> str:
        return name((data.get(what) or {}).get("id", ""))

    return {
        "state": data["outcome"],
        "reason": (data["reason"], data.get("sub_reason", "")),
        "answers": name((data.get("correlation") or {}).get("email", "")),
        "duplicate_of": name(data.get("duplicate_of", "")),
        "regarding": named("regarding"),
        "entity": named("entity"),
        "owner": named("owner"),
        "queues": sorted(i["id"] for i in (data.get("queue_items") or {}).get("list", ())),
        "made": sorted(n["said"] for n in data.get("made", ()) if n["said"] in ("person", "case")),
    }


def rows() -> list[SyncItem]:
    return list(SyncItem.objects.select_related("mailbox", "email").order_by("decided_at", "pk"))


def real() -> dict[Key, dict[str, Any]]:
    found = rows()
    names = {str(row.email_id): str(key_of(row)) for row in found if row.state == "tracked"}
    names |= {
        str(case.pk): f"case of {names[str(case.created_from_id)]}"
        for case in Incident.objects.all()
    }
    return {
        key_of(row): seen(
            {
                **row.decision,
                "outcome": row.state,
                "reason": row.reason,
                "sub_reason": row.sub_reason,
            },
            names,
        )
        for row in found
    }


def foretold(differences: list[Difference]) -> dict[Key, dict[str, Any]]:
    names: dict[str, str] = {}
    for one in differences:
        if one.after is None or one.after["outcome"] != "tracked":
            continue
        assert one.item is not None
        names[str(one.email_id)] = str(key_of(one.item))
        if any(note["said"] == "case" for note in one.after.get("made", ())):
            names[one.after["regarding"]["id"]] = f"case of {key_of(one.item)}"
    return {
        key_of(one.item): seen(one.after, names)
        for one in differences
        if one.item is not None and one.after is not None
    }


def wrong(foretold: dict[Key, dict[str, Any]], real: dict[Key, dict[str, Any]]) -> list[str]:
    """What was foretold otherwise than it came, one line each."""
    lines = [f"{key}: foretold only" for key in foretold.keys() - real.keys()]
    lines += [f"{key}: not foretold" for key in real.keys() - foretold.keys()]
    for key in sorted(foretold.keys() & real.keys()):
        lines += [
            f"{key} {name}: foretold {told!r}, came {real[key][name]!r}"
            for name, told in foretold[key].items()
            if told != real[key][name]
        ]
    return lines


def test_what_if_foretells_the_real_run(accounts: list[Account]) -> None:
    mailboxes = Mailbox.objects.values_list("pk", flat=True)
    before = drawn(0)
    told = {}
    with undone():
        apply(before)
        run(accounts)
        items = SyncItem.objects.filter(mailbox__in=mailboxes)
        assert items.count() > 90
        same = what_if(items, Settings(), NOW + timedelta(days=1))
        assert [(one.item, one.facets) for one in same.changed] == []
        for number in (1, 7, 20):
            told[number] = what_if(items, drawn(number), NOW + timedelta(days=1)).differences
            assert {one.unknown for one in told[number]} <= {None, Unknown.NOT_REACHED}
    for number, differences in told.items():
        with undone():
            apply(before)
            apply(drawn(number))
            run(accounts)
            assert "\n".join(wrong(foretold(differences), real())) == "", f"settings {number}"
