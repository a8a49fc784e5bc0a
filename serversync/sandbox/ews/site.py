"""What all requests to one Exchange server share."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from serversync.sandbox.ews.quirks import Quirks
from serversync.sandbox.ews.store import Store
from serversync.sandbox.ews.subscriptions import Subscriptions
from serversync.sandbox.ews.versions import RELEASES, Release
from serversync.sandbox.faults import Faults

if TYPE_CHECKING:
    from serversync.sandbox.ews.autodiscover import Rule

if TYPE_CHECKING:
    from serversync.sandbox.ews.autodiscover import Rule


@dataclass(frozen=True, slots=True)
class Request:
    """For tests that count round trips. `account`: who signed in, "" if nobody did."""

    operation: str
    account: str
    bytes_in: int
    bytes_out: int
    status: int = 200


@dataclass
class Site:
    """`accept_mail`: takes (sender, recipients, MIME) to whoever they are; `allow_plain_login`: passwords
    are taken without TLS, too; `ports`: "ews" with TLS, "ews-plain" without, once they listen;
    `autodiscover`: what it tells instead of the truth."""

    store: Store
    faults: Faults
    accept_mail: Callable[[str, list[str], bytes], None]
    allow_plain_login: bool = False
    host: str = "127.0.0.1"
    quirks: Quirks = field(default_factory=Quirks)
    ports: dict[str, int] = field(default_factory=dict)
    requests: list[Request] = field(default_factory=list)
    autodiscover: "list[Rule]" = field(default_factory=list)
    subscriptions: Subscriptions = field(default_factory=Subscriptions)
    stopping: threading.Event = field(default_factory=threading.Event)

    @property
    def release(self) -> Release:
        return RELEASES[self.quirks.edition]

    @property
    def url(self) -> str:
        """Of the web service, over TLS."""
        return f"https://{self.host}:{self.ports['ews']}/EWS/Exchange.asmx"
