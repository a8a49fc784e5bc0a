"""What the Exchange adapters need to know of one account."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from mailboxes.protocols.base import Authentication, Bearer, Credentials


class Access(StrEnum):
    """As whom the mailbox is opened (R1.17)."""

    OWN = "own"  # the credentials are the mailbox's own
    IMPERSONATION = "impersonation"  # a service account acts as the mailbox's owner
    DELEGATION = "delegation"  # another account with full access


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where the web service of a mailbox was found. `version`: the server's schema name, such as
    "Exchange2016", "" if it wasn't told; `address`: the mailbox's primary address there; `scheme`: the
    way to authenticate that AUTO settled on, an Authentication."""

    url: str
    found_at: datetime
    version: str = ""
    address: str = ""
    scheme: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExchangeSettings:
    """`address`: the mailbox to open. `url`: the web service entered by hand; "": discover it.
    `credentials` None: the identity of this process (R1.20 negotiate, "Windows integrated").
    `found`: what an earlier discovery found and is still fresh (R1.23); `remember` keeps a new finding,
    or with None forgets a stale one. It writes a row, so it is never called inside a transaction.
    `homes`: credentials that open more than this mailbox are shown to these domains only while the web
    service is discovered; None: to whoever the domain of the address names.
    `anchored`: requests name the mailbox in a header, so that whoever shares them out need not look
    inside (R6.62).
    """

    address: str
    access: Access
    authentication: Authentication
    credentials: Credentials | Bearer | None
    url: str = ""
    homes: tuple[str, ...] | None = None
    found: Endpoint | None = None
    remember: Callable[[Endpoint | None], None] = lambda _: None
    max_connections: int = 10
    timeout_seconds: float = 100.0
    ca_pem: str = ""
    allow_plain: bool = False
    allow_plain_login: bool = False
    denied_networks: tuple[str, ...] = ()
    anchored: bool = True


ANCHOR = "X-AnchorMailbox"


def anchor(address: str, anchored: bool) -> dict[str, str]:
    return {ANCHOR: address} if anchored else {}


def without_anchor(headers: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name != ANCHOR}
