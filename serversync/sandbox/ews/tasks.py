"""Tasks: what says how far one has come moves together, and a recurring one begins again when it is done."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from lxml import etree

from mailboxes.recurrence import Pattern, Recurrence, days
from serversync.sandbox.ews.occurrences import put
from serversync.sandbox.ews.series import read_range, read_recurrence
from serversync.sandbox.ews.soap import (
    Element,
    Refusal,
    T,
    boolean,
    children,
    local,
    make,
    moment,
    required,
    schema,
    stamp,
    truth,
    whole_text,
)
from serversync.sandbox.ews.store import Account, Item, NewItem, Store

PROGRESS = ("task:PercentComplete", "task:Status", "task:CompleteDate")
STATES = ("NotStarted", "InProgress", "Completed", "WaitingOnOthers", "Deferred")
REGENERATIONS = {
    "DailyRegeneration": Pattern.DAILY,
    "WeeklyRegeneration": Pattern.WEEKLY,
    "MonthlyRegeneration": Pattern.MONTHLY,
    "YearlyRegeneration": Pattern.YEARLY,
}


@dataclass(frozen=True, slots=True)
class Regeneration:
    """The next one is so long after the day when the last one was done."""

    every: Pattern
    interval: int
    count: int | None
    until: date | None

    def after(self, done: date) -> date:
        if self.every is Pattern.DAILY:
            return done + timedelta(days=self.interval)
        if self.every is Pattern.WEEKLY:
            return done + timedelta(weeks=self.interval)
        months = self.interval * (12 if self.every is Pattern.YEARLY else 1)
        year, month = divmod(done.year * 12 + done.month - 1 + months, 12)
        first = date(year, month + 1, 1)
        last = (first + timedelta(days=31)).replace(day=1) - timedelta(days=1)
        return first.replace(day=min(done.day, last.day))


def read_task_recurrence(given: Element) -> Recurrence | Regeneration:
    """Raises Refusal, SoapFault."""
    inside = children(given)
    if len(inside) != 2 or local(inside[0]) not in REGENERATIONS:
        return read_recurrence(given)
    pattern, extent = inside
    _, until, count = read_range(extent)
    interval = whole_text(required(pattern, f"{T}Interval").text or "", pattern, 1)
    return Regeneration(REGENERATIONS[local(pattern)], interval, count, until)


# -- after each write ------------------------------------------------------------------------------


def settle(item: Item | NewItem, owner: Account, changed: Sequence[str] = ()) -> None:
    """`changed`: paths in the order in which they were written; of those that say how far the task
    has come, the last one leads. Raises Refusal, SoapFault."""
    element = item.element
    status = element.findtext(f"{T}Status") or "NotStarted"
    if status not in STATES:
        raise schema(f"The value '{status}' of 'Status' is invalid.", element)
    leading = [path for path in changed if path in PROGRESS]
    _settle_progress(element, status, leading[-1] if leading else "task:Status")
    recurrence = element.find(f"{T}Recurrence")
    if recurrence is not None:
        read_task_recurrence(recurrence)
    put(element, "IsRecurring", boolean(recurrence is not None))
    for name in ("StartDate", "DueDate"):
        if (day := _day(element, name)) is not None:
            put(element, name, f"{day.isoformat()}T00:00:00Z")
    start = element.findtext(f"{T}StartDate")
    wrote_start_alone = "task:StartDate" in changed and "task:DueDate" not in changed
    if start and wrote_start_alone and not element.findtext(f"{T}DueDate"):
        put(element, "DueDate", start)
    for name, value in (("Owner", owner.name), ("DelegationState", "NoMatch")):
        if not element.findtext(T + name):
            put(element, name, value)


def _settle_progress(element: Element, status: str, leading: str) -> None:
    percent = _percent(element)
    date = element.find(f"{T}CompleteDate")
    if leading == "task:CompleteDate":
        status = "Completed" if date is not None else "NotStarted"
    elif leading == "task:PercentComplete":
        status = "Completed" if percent >= 100 else ("InProgress" if percent else "NotStarted")
    if status == "Completed":
        percent = 100
    elif status == "NotStarted" or percent >= 100:
        percent = 0
    put(element, "Status", status)
    put(element, "PercentComplete", f"{percent:g}")
    put(element, "IsComplete", boolean(status == "Completed"))
    if status == "Completed" and date is None:
        put(element, "CompleteDate", stamp(datetime.now(UTC)))
    elif status != "Completed" and date is not None:
        element.remove(date)


def _percent(element: Element) -> float:
    text = element.findtext(f"{T}PercentComplete") or "0"
    try:
        percent = float(text)
    except ValueError:
        raise schema(f"The value '{text}' of 'PercentComplete' is invalid.", element) from None
    if not 0 <= percent <= 100:
        raise Refusal("ErrorInvalidPercentCompleteValue")
    return percent


# -- recurring ones ---------------------------------------------------------------------------------


def begin_again(item: Item) -> Element | None:
    """Where a recurring task is done and others follow: the element of what was done, which becomes a
    task of its own, while `item` becomes the next one. Else None, and nothing happens."""
    element = item.element
    given = element.find(f"{T}Recurrence")
    if given is None or not truth(element.findtext(f"{T}IsComplete")):
        return None
    done = etree.fromstring(etree.tostring(element))
    if not advance(item):
        return None
    for name in ("Recurrence", "IsRecurring"):
        for old in done.findall(T + name):
            done.remove(old)
    put(done, "IsRecurring", "false")
    return done


def keep_done(store: Store, item: Item, done: Element) -> None:
    """What was done, beside its successor."""
    folder = store.folder(item.folder)
    assert folder is not None
    draft = NewItem(
        tag=item.tag,
        item_class=item.item_class,
        element=done,
        categories=item.categories,
        extended=item.extended,
        size=item.size,
        attachments=store.attachments(item.id),
    )
    store.add_item(folder, draft)


def advance(item: Item) -> bool:
    """Make it the next one, not started. False if it was the last one."""
    element = item.element
    given = element.find(f"{T}Recurrence")
    assert given is not None
    anchor = _anchor(element)
    following = _following(given, anchor, _day(element, "CompleteDate") or datetime.now(UTC).date())
    if following is None:
        return False
    for name in ("StartDate", "DueDate", "ReminderDueBy"):
        if (kept := moment(element.findtext(T + name))) is not None:
            put(element, name, stamp(kept + (following - anchor)))
    _begin_range(children(given)[1], following)
    put(element, "Status", "NotStarted")
    _settle_progress(element, "NotStarted", "task:Status")
    return True


def _anchor(element: Element) -> date:
    """The day that counts as this one's in the pattern."""
    given = element.find(f"{T}Recurrence")
    assert given is not None
    start, _, _ = read_range(children(given)[1])
    return _day(element, "DueDate") or _day(element, "StartDate") or start


def _day(element: Element, name: str) -> date | None:
    found = moment(element.findtext(T + name))
    return found.date() if found else None


def _following(given: Element, anchor: date, done: date) -> date | None:
    recurrence = read_task_recurrence(given)
    if recurrence.count is not None and recurrence.count < 2:
        return None
    if isinstance(recurrence, Recurrence):
        return next((day for day in days(recurrence) if day > anchor), None)
    found = recurrence.after(done)
    return None if recurrence.until and found > recurrence.until else found


def _begin_range(extent: Element, day: date) -> None:
    put(extent, "StartDate", f"{day.isoformat()}Z")
    extent.insert(0, extent[-1])
    number = extent.find(f"{T}NumberOfOccurrences")
    if number is not None:
        number.text = str(int(number.text or "1") - 1)


def assign(item: Item, to: str, state: str) -> None:
    """Somebody else is to do it, by the server's own means."""
    put(item.element, "Owner", to)
    put(item.element, "DelegationState", state)
    put(item.element, "AssignedTime", stamp(datetime.now(UTC)))


def delegated(element: Element, delegator: str) -> Element:
    """What whoever is to do it gets."""
    copy = etree.fromstring(etree.tostring(element))
    copy.append(make(f"{T}Delegator", delegator))
    put(copy, "DelegationState", "Accepted")
    return copy
