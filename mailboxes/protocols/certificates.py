"""Until when the certificates of the servers are valid that this process has connected to, so that somebody is
told before they end. In memory only: reading the date costs no request, and whoever runs cycles keeps it
(`mailboxes.certificates`).
"""

import ssl
from contextlib import suppress
from datetime import UTC, datetime

MOST = 4_096  # servers; what no longer fits is seen again by another process

Server = tuple[str, int]

_seen: dict[Server, datetime] = {}


def note(host: str, secured: ssl.SSLSocket) -> None:
    """After a handshake that was verified, and never the reason why a connection fails."""
    with suppress(OSError, ValueError):
        server = (host.strip().rstrip(".").lower(), int(secured.getpeername()[1]))
        told = (secured.getpeercert() or {}).get("notAfter")
        if isinstance(told, str) and (len(_seen) < MOST or server in _seen):
            _seen[server] = datetime.fromtimestamp(ssl.cert_time_to_seconds(told), UTC)


def take() -> dict[Server, datetime]:
    """What was seen since it was asked the last time."""
    taken: dict[Server, datetime] = {}
    while _seen:
        server, ends = _seen.popitem()
        taken[server] = ends
    return taken
