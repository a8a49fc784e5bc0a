"""On a site that must reach nobody, such as one for staging, all mail goes to one address (R5.30).

The environment alone says so: no page and no right on the site switches it off. Messages are rewritten
where they are composed (activities.redirecting); what stands here lets nothing else over the line.
"""

from collections.abc import Callable
from typing import Self

from django.conf import settings
from django.utils.translation import gettext as _

from mailboxes.addresses import address_key
from mailboxes.protocols.base import Envelope, OutgoingServer, RecipientResult, Sent
from mailboxes.protocols.errors import MessageRefused


def redirect_address() -> str:
    """Where all outgoing mail goes; "": to its recipients, as usual."""
    return str(settings.REDIRECT_ALL_MAIL_TO).strip()


def guarded(server: OutgoingServer) -> OutgoingServer:
    """The adapter, or while mail is redirected one that hands over nothing to anybody else."""
    address = redirect_address()
    return OnlyTo(server, address) if address else server


class OnlyTo:
    """OutgoingServer that refuses each message with a recipient but `address`, before the line is
    used. What composes a message redirects it; this is for whatever forgets to."""

    def __init__(self, server: OutgoingServer, address: str) -> None:
        self.server = server
        self.address = address
        self.protocol = server.protocol

    @property
    def told(self) -> tuple[RecipientResult, ...]:
        return self.server.told

    @property
    def size_limit(self) -> int:
        return self.server.size_limit

    def open(self) -> Self:
        self.server.open()
        return self

    def send(self, envelope: Envelope, hand_over: Callable[[], None]) -> Sent:
        others = {address_key(one) for one in envelope.recipients} - {address_key(self.address)}
        if others or not envelope.recipients:
            raise MessageRefused(
                _(
                    "All mail of this site goes to %(address)s (REDIRECT_ALL_MAIL_TO), and this "
                    "message was made for somebody else. It was not sent. (R5.30)"
                )
                % {"address": self.address}
            )
        return self.server.send(envelope, hand_over)

    def find_sent(self, message_id: str) -> bool | None:
        return self.server.find_sent(message_id)

    def close(self) -> None:
        self.server.close()
