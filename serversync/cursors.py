"""How far a folder has been read: its cursor row, and what its rule learns from a page."""

from datetime import datetime
from typing import Any

from django.db.models import F

from serversync.context import FolderFacts
from serversync.cycle import Run
from serversync.listing import come_back
from serversync.models import FolderCursor
from serversync.paging import Place
from tracking.models import MailboxTrackingFolder


def save_cursor(
    run: Run, facts: FolderFacts, place: Place, now: datetime, received: datetime | None = None
) -> None:
    """One statement, two for a folder rule. A cursor "" (a page that is not the last of an answer)
    keeps the stored one, which then no longer equals the listing and so forces a fresh look."""
    values = _learned(facts, place, now, received)
    if facts.rule is not None:
        values["rule_id"] = facts.rule.pk
        _onboard(facts.rule, place, now)
    key = {
        "mailbox": run.mailbox,
        "folder": facts.folder,
        "generation": run.mailbox.account_generation,
    }
    if not facts.known:
        FolderCursor.objects.create(**key, before_start=place.too_old, **values)
        facts.known = True
        return
    if facts.renewed:
        values |= {"before_start": place.too_old, "onboarded": place.onboarded}
        values |= {"cursor": place.cursor, "relinked_at": None}
        facts.renewed = False
    elif place.too_old:
        values["before_start"] = F("before_start") + place.too_old
    FolderCursor.objects.filter(**key).update(**values)


def _learned(
    facts: FolderFacts, place: Place, now: datetime, received: datetime | None
) -> dict[str, Any]:
    if received and (facts.watermark is None or received > facts.watermark):
        facts.watermark = received
    values: dict[str, Any] = {"checked_at": now, "watermark": facts.watermark}
    if place.cursor:
        values["cursor"] = facts.cursor = place.cursor
        come_back(facts)
    if place.total is not None:
        values["server_total"] = place.total
    if place.onboarded:
        values["onboarded"] = facts.onboarded = True
    return values


def _onboard(rule: MailboxTrackingFolder, place: Place, now: datetime) -> None:
    """How far the rule's first pass has come (R7.7)."""
    values: dict[str, Any] = {}
    if place.count:
        values["folder_onboarding_status"] = F("folder_onboarding_status") + place.count
    if rule.messages_at_start is None and place.total is not None:
        values["messages_at_start"] = rule.messages_at_start = place.total
    if place.onboarded and rule.onboarded_on is None:
        values["onboarded_on"] = rule.onboarded_on = now
    if values:
        MailboxTrackingFolder.objects.filter(pk=rule.pk).update(**values)
