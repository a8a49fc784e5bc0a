"""What reports tell, noted on the emails that were sent (R5.21). Called inside a page's transaction."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import datetime
from uuid import UUID

from activities import bounced
from activities.bounced import Bounce
from activities.choices import RECIPIENTS, UNDELIVERED, DeliveryResult
from activities.models import ActivityParty
from mailboxes.addresses import address_key
from tracking.reports import Effect, News, proofs_of, replaces


def note(effects: Iterable[Effect]) -> set[UUID]:
    """The emails of which it is new that somebody did not get them. What is known already, or better,
    stays; so a report that comes twice changes nothing twice. No statement where nothing is told."""
    effects = list(effects)
    told: dict[UUID, list[News]] = defaultdict(list)
    for effect in effects:
        told[effect.email_id] += effect.news
    if not told:
        return set()
    changed = [party for party in _recipients(told) if _learns(party, told[party.activity_id])]
    if changed:
        ActivityParty.objects.bulk_update(changed, ["delivery_result", "delivery_detail"])
    bounced.note(_bounces(effects, changed))
    bounced.forget(proofs_of(effects))
    return {party.activity_id for party in changed if party.delivery_result in UNDELIVERED}


def heard_from(senders: Iterable[tuple[str, datetime]]) -> None:
    """Whoever writes has an address that works: (address, when it came)."""
    latest: dict[str, datetime] = {}
    for address, at in senders:
        if key := address_key(address):
            latest[key] = max(at, latest.get(key, at))
    bounced.forget(latest)


def _bounces(effects: Iterable[Effect], changed: Iterable[ActivityParty]) -> Iterator[Bounce]:
    """Of those recipients only of whom it is new. One address may stand for several of them."""
    new = {
        (party.activity_id, address_key(party.address_used))
        for party in changed
        if party.delivery_result == DeliveryResult.BOUNCED
    }
    for effect in effects:
        for one in effect.flags:
            place = (effect.email_id, one.address)
            if one.result == DeliveryResult.BOUNCED and place in new:
                new.discard(place)
                yield Bounce(
                    address=one.address,
                    email_id=effect.email_id,
                    at=effect.at,
                    status=one.status,
                    diagnostic=one.detail,
                )


def _recipients(emails: Iterable[UUID]) -> list[ActivityParty]:
    """Locked in one order, for two mailboxes may read reports on one email at once."""
    rows = ActivityParty.objects.select_for_update().filter(
        activity_id__in=list(emails), participation_type_mask__in=RECIPIENTS
    )
    columns = ("activity_id", "address_used", "delivery_result", "delivery_detail")
    return list(rows.only(*columns).order_by("pk"))


def _learns(party: ActivityParty, told: Iterable[News]) -> bool:
    learned = False
    for news in told:
        if news.address == address_key(party.address_used) and replaces(
            news.result, party.delivery_result
        ):
            party.delivery_result, party.delivery_detail = news.result, news.detail
            learned = True
    return learned
