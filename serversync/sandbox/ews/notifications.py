"""Subscribe, GetEvents, GetStreamingEvents, Unsubscribe: news without asking for each folder.

Subscriptions live as long as the server process. A watermark is a position in an account's events.
Push subscriptions, where the server calls the client, are refused.

A stream that has something to tell asks for a fault first, under the name NEWS: it may drop the connection
or refuse, with which the stream ends.
"""

import base64
import binascii
import errno
import secrets
import struct
import time
from collections.abc import Iterator

from serversync.sandbox.ews import soap
from serversync.sandbox.ews.call import Call, operation
from serversync.sandbox.ews.faults import PROTOCOL, told
from serversync.sandbox.ews.ids import Kind, RemoteId
from serversync.sandbox.ews.rights import Right
from serversync.sandbox.ews.soap import (
    Element,
    M,
    Refusal,
    T,
    boolean,
    children,
    make,
    required,
    stamp,
    truth,
    whole,
)
from serversync.sandbox.ews.store import Event, Folder
from serversync.sandbox.ews.subscriptions import Subscription
from serversync.sandbox.faults import Kind as FaultKind

EVENT_TYPES = frozenset(
    f"{kind}Event"
    for kind in ("Copied", "Created", "Deleted", "Modified", "Moved", "NewMail", "FreeBusyChanged")
)
HEARTBEAT_SECONDS = 45
MARK = struct.Struct(">16sQ")


# -- subscribing -----------------------------------------------------------------------------------


@operation("Subscribe")
def subscribe(call: Call) -> Element:
    inside = children(call.request)
    if len(inside) != 1:
        raise soap.schema("A request subscribes once.", call.request)

    def act() -> list[Element]:
        made = _subscription(call, inside[0])
        call.site.subscriptions.add(made, call.quirks.pull_subscription_limit)
        watermark = None if made.is_streaming else make(f"{M}Watermark", _watermark(made))
        return [x for x in (make(f"{M}SubscriptionId", made.id), watermark) if x is not None]

    return call.alone(act)


def _subscription(call: Call, asked: Element) -> Subscription:
    kind = soap.local(asked)
    if kind == "PushSubscriptionRequest":
        raise Refusal("ErrorInvalidPushSubscriptionUrl", "This server calls nobody.")
    if kind not in ("PullSubscriptionRequest", "StreamingSubscriptionRequest"):
        raise soap.schema(f"'{kind}' is no subscription.", asked)
    folders = [call.folder(one, Right.READ) for one in children(asked.find(f"{T}FolderIds"))]
    if bool(folders) == truth(asked.get("SubscribeToAllFolders")):
        raise Refusal(
            "ErrorInvalidSubscriptionRequest", "Name folders, or subscribe to all of them."
        )
    kinds = frozenset(one.text or "" for one in required(asked, f"{T}EventTypes"))
    if not kinds or not kinds <= EVENT_TYPES:
        raise soap.schema("'EventTypes' is invalid.", asked)
    account = _one_account(call, folders)
    made = Subscription(
        id=base64.b64encode(secrets.token_bytes(24)).decode(),
        owner=call.actor_address,
        account=account,
        folders=frozenset(folder.id for folder in folders),
        kinds=kinds,
        position=_last_change(call, account),
        is_streaming=kind.startswith("Streaming"),
        timeout_seconds=60 * whole(asked.find(f"{T}Timeout"), 30, 1, 1440),
    )
    text = asked.findtext(f"{T}Watermark") or asked.findtext(f"{M}Watermark")
    if text:
        made.position = _read_watermark(call, made, text)
    return made


def _one_account(call: Call, folders: list[Folder]) -> bytes:
    if not folders:
        return call.home().guid
    accounts = {folder.account for folder in folders}
    if len(accounts) > 1:
        raise Refusal("ErrorInvalidSubscriptionRequest", "The folders are in different mailboxes.")
    return accounts.pop()


def _last_change(call: Call, guid: bytes) -> int:
    account = call.store.account_of(guid)
    return account.changed if account else 0


def _watermark(subscription: Subscription, position: int | None = None) -> str:
    at = subscription.position if position is None else position
    return base64.b64encode(MARK.pack(subscription.account, at)).decode()


def _read_watermark(call: Call, subscription: Subscription, text: str) -> int:
    try:
        account, position = MARK.unpack(base64.b64decode(text, validate=True))
    except (binascii.Error, ValueError, struct.error):
        raise Refusal("ErrorInvalidWatermark", "The watermark is invalid.") from None
    if account != subscription.account or position > _last_change(call, subscription.account):
        raise Refusal("ErrorInvalidWatermark", "The watermark is of another mailbox.")
    return int(position)


@operation("Unsubscribe")
def unsubscribe(call: Call) -> Element:
    def act() -> list[Element]:
        number = call.request.findtext(f"{M}SubscriptionId") or ""
        call.site.subscriptions.remove(call.site.subscriptions.get(number, call.actor_address).id)
        return []

    return call.alone(act)


# -- asking ----------------------------------------------------------------------------------------


@operation("GetEvents")
def get_events(call: Call) -> Element:
    def act() -> list[Element]:
        number = call.request.findtext(f"{M}SubscriptionId") or ""
        subscription = call.site.subscriptions.get(number, call.actor_address)
        if subscription.is_streaming:
            raise Refusal("ErrorInvalidPullSubscriptionId", "This subscription is streamed.")
        text = call.request.findtext(f"{M}Watermark") or ""
        return [_notification(call, subscription, _read_watermark(call, subscription, text))]

    return call.alone(act)


def _notification(call: Call, subscription: Subscription, after: int) -> Element:
    events = _news(call, subscription, after)
    element = make(
        f"{M}Notification",
        make(f"{T}SubscriptionId", subscription.id),
        make(f"{T}PreviousWatermark", _watermark(subscription, after)),
        make(f"{T}MoreEvents", boolean(False)),
    )
    for event in events:
        element.extend(_event(call, subscription, event))
    if not events:
        status = make(f"{T}Watermark", _watermark(subscription, after))
        element.append(make(f"{T}StatusEvent", status))
    subscription.position = events[-1].number if events else max(after, subscription.position)
    return element


def _news(call: Call, subscription: Subscription, after: int) -> list[Event]:
    events = call.store.events_after(subscription.account, after)
    return [event for event in events if subscription.wants(event)]


def _event(call: Call, subscription: Subscription, event: Event) -> list[Element]:
    guid = subscription.account
    found = []
    for name in subscription.told(event):
        element = make(
            T + name,
            make(f"{T}Watermark", _watermark(subscription, event.number)),
            make(f"{T}TimeStamp", stamp(event.at, call.quirks.fraction_digits)),
            _id("", event.is_folder, guid, event.id),
            make(f"{T}ParentFolderId", Id=str(RemoteId(Kind.FOLDER, guid, event.folder))),
        )
        if name in ("MovedEvent", "CopiedEvent") and event.old_id and event.old_folder:
            element.append(_id("Old", event.is_folder, guid, event.old_id))
            parent = str(RemoteId(Kind.FOLDER, guid, event.old_folder))
            element.append(make(f"{T}OldParentFolderId", Id=parent))
        found.append(element)
    return found


def _id(prefix: str, is_folder: bool, guid: bytes, number: int) -> Element:
    kind, tag = (Kind.FOLDER, "FolderId") if is_folder else (Kind.ITEM, "ItemId")
    return make(f"{T}{prefix}{tag}", Id=str(RemoteId(kind, guid, number)))


# -- streaming -------------------------------------------------------------------------------------


@operation("GetStreamingEvents")
def get_streaming_events(call: Call) -> Element | Iterator[Element]:
    if call.planned is not None:
        raise call.planned.refusal
    wanted = [one.text or "" for one in children(required(call.request, f"{M}SubscriptionIds"))]
    minutes = whole(required(call.request, f"{M}ConnectionTimeout"), 0, 1, 30)
    found, unknown = _streamed(call, wanted)
    if unknown:
        refusal = Refusal(
            "ErrorInvalidSubscription",
            "A subscription is unknown or not streamed.",
            more=[
                make(
                    f"{M}ErrorSubscriptionIds",
                    *(make(f"{M}SubscriptionId", one) for one in unknown),
                )
            ],
        )
        return soap.answer(call.operation, [soap.refused(call.operation, refusal)])
    call.site.subscriptions.begin_stream(call.actor_address, call.quirks.streaming_connection_limit)
    return _stream(call, found, time.monotonic() + 60 * minutes)


def _streamed(call: Call, wanted: list[str]) -> tuple[list[Subscription], list[str]]:
    found: list[Subscription] = []
    for number in wanted:
        try:
            found.append(call.site.subscriptions.get(number, call.actor_address))
        except Refusal:
            continue
    streamed = [one for one in found if one.is_streaming]
    known = {one.id for one in streamed}
    return streamed, [number for number in wanted if number not in known]


def _stream(call: Call, subscriptions: list[Subscription], until: float) -> Iterator[Element]:
    """A document at once, then with each news and each heartbeat, the last one says Closed."""
    ended = call.site.subscriptions.ended
    try:
        yield _document(call, "OK")
        while time.monotonic() < until and not call.site.stopping.is_set():
            if call.site.subscriptions.ended != ended:
                break
            seen = call.store.written
            if news := _told(call, subscriptions):
                if (refused := _struck(call)) is not None:
                    yield refused
                    return
                yield _document(call, "OK", *news)
            elif not _wait_for_news(call, seen, ended, until):
                yield _document(call, "OK")
        yield _document(call, "Closed")
    finally:
        call.site.subscriptions.end_stream(call.actor_address)


def _struck(call: Call) -> Element | None:
    """What a fault wants instead of news."""
    fault = call.site.faults.strike(PROTOCOL, call.actor_address, "NEWS", "", 0)
    if fault is None:
        return None
    if fault.kind is not FaultKind.REFUSE:
        raise ConnectionResetError(errno.ECONNRESET, "dropped on request")
    name, values = told(fault)
    return soap.answer(call.operation, [soap.refused(call.operation, Refusal(name, values=values))])


def _told(call: Call, subscriptions: list[Subscription]) -> list[Element]:
    found = []
    for subscription in subscriptions:
        events = _news(call, subscription, subscription.position)
        if not events:
            continue
        element = make(f"{M}Notification", make(f"{T}SubscriptionId", subscription.id))
        for event in events:
            element.extend(_event(call, subscription, event))
        subscription.position = events[-1].number
        found.append(element)
    return found


def _wait_for_news(call: Call, seen: int, ended: int, until: float) -> bool:
    """For writes after `seen`, or the end. False after a heartbeat's time without any."""
    with call.store.news:
        return call.store.news.wait_for(
            lambda: (
                call.store.written != seen
                or call.site.stopping.is_set()
                or call.site.subscriptions.ended != ended
            ),
            min(HEARTBEAT_SECONDS, max(0.0, until - time.monotonic())),
        )


def _document(call: Call, status: str, *notifications: Element) -> Element:
    content = make(f"{M}Notifications", *notifications) if notifications else None
    message = soap.success(call.operation, content, make(f"{M}ConnectionStatus", status))
    return soap.answer(call.operation, [message])
