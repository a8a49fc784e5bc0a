"""Who wants to hear of which changes. Subscriptions live as long as the server process."""

import threading
import time
from dataclasses import dataclass, field

from serversync.sandbox.ews.soap import Refusal, SoapFault
from serversync.sandbox.ews.store import Event


@dataclass
class Subscription:
    """`folders` empty: all of the account. `position`: the last event that was told."""

    id: str
    owner: str
    account: bytes
    folders: frozenset[int]
    kinds: frozenset[str]
    position: int
    is_streaming: bool
    timeout_seconds: float
    used_at: float = field(default_factory=time.monotonic)

    def wants(self, event: Event) -> bool:
        inside = not self.folders or bool({event.folder, event.old_folder} & self.folders)
        return inside and bool(self.told(event))

    def told(self, event: Event) -> list[str]:
        """New mail is a creation as well."""
        kinds = ["Created", "NewMail"] if event.kind == "NewMail" else [event.kind]
        return [f"{kind}Event" for kind in kinds if f"{kind}Event" in self.kinds]


class Subscriptions:
    """Those of one server. Any thread may ask."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._living: dict[str, Subscription] = {}
        self._streams: dict[str, int] = {}
        self.ended = 0  # how often all streams were told to end

    def add(self, subscription: Subscription, limit: int | None) -> None:
        """Raises Refusal over the limit of the subscriber."""
        with self._lock:
            self._forget_idle()
            pulled = sum(
                one.owner == subscription.owner and not one.is_streaming
                for one in self._living.values()
            )
            if limit is not None and pulled >= limit and not subscription.is_streaming:
                raise Refusal("ErrorExceededSubscriptionCount", "Too many subscriptions.")
            self._living[subscription.id] = subscription

    def get(self, number: str, owner: str) -> Subscription:
        """Raises Refusal."""
        with self._lock:
            self._forget_idle()
            found = self._living.get(number)
        if found is None:
            raise Refusal("ErrorSubscriptionNotFound", "The subscription was not found.")
        if found.owner != owner:
            raise Refusal("ErrorSubscriptionAccessDenied", "The subscription is somebody else's.")
        found.used_at = time.monotonic()
        return found

    def remove(self, number: str) -> None:
        with self._lock:
            self._living.pop(number, None)

    def forget_all(self) -> None:
        """As a server does that restarts."""
        with self._lock:
            self._living.clear()

    def _forget_idle(self) -> None:
        now = time.monotonic()
        for number, one in list(self._living.items()):
            if not one.is_streaming and now - one.used_at > one.timeout_seconds:
                del self._living[number]

    def begin_stream(self, owner: str, limit: int | None) -> None:
        """Raises SoapFault over the limit."""
        with self._lock:
            if limit is not None and self._streams.get(owner, 0) >= limit:
                raise SoapFault("ErrorExceededConnectionCount", "Too many streaming connections.")
            self._streams[owner] = self._streams.get(owner, 0) + 1

    def end_stream(self, owner: str) -> None:
        with self._lock:
            self._streams[owner] -= 1
