"""Adapters for threads that reach neither the database nor an authority for tokens.

Whatever an adapter might ask these for while it opens is at hand beforehand: a token that lasts, the place
of a web service. Where it is not, or where the server takes it no more, `NeedsMore` is raised, and whoever
holds the database goes on.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from mailboxes import signin
from mailboxes.connect import (
    INCOMING_ADAPTERS,
    Direction,
    exchange_settings_for,
    retrieval_of,
    settings_for,
)
from mailboxes.models import Mailbox, Organization
from mailboxes.protocols.base import AdapterOptions, Bearer, IncomingServer
from mailboxes.protocols.errors import TransientError
from mailboxes.protocols.ews.incoming import ExchangeServer


class NeedsMore(TransientError):
    """It can't be done without the database. Says nothing about the server."""


class Detached:
    """The adapter that reads a mailbox, not yet connected. `attach`: from now on it may ask whatever it
    needs; for the thread that has the database.

    Raises NeedsMore, and what is raised where settings or credentials are missing.
    """

    def __init__(self, mailbox: Mailbox, organization: Organization) -> None:
        self._attached = False
        self.server = self._made(mailbox, organization)

    def attach(self) -> IncomingServer:
        self._attached = True
        return self.server

    def _made(self, mailbox: Mailbox, organization: Organization) -> IncomingServer:
        profile = mailbox.email_server_profile
        if profile is None:
            raise NeedsMore("the mailbox has no server profile")
        if not profile.kind.is_exchange:
            line = settings_for(mailbox, organization, Direction.INCOMING)
            line = replace(line, credentials=self._proof(line.credentials, mailbox))
            return INCOMING_ADAPTERS[profile.kind](line, AdapterOptions())
        service = exchange_settings_for(mailbox, organization, Direction.INCOMING)
        if service.found is None:
            raise NeedsMore("the place of the web service is to be found out")
        proof = self._proof(service.credentials, mailbox)
        remember = self._only_attached(service.remember)
        return ExchangeServer(replace(service, credentials=proof, remember=remember))

    def _proof(self, credentials: Any, mailbox: Mailbox) -> Any:
        if not isinstance(credentials, Bearer):
            return credentials
        profile = mailbox.email_server_profile
        assert profile is not None
        held = signin.held_token(mailbox, profile, retrieval_of(profile, Direction.INCOMING))
        if not held:
            raise NeedsMore("the token is to be renewed")
        ask = self._only_attached(credentials.token)
        return replace(credentials, token=lambda refused: ask(refused) if refused else held)

    def _only_attached(self, ask: Callable[[Any], Any]) -> Callable[[Any], Any]:
        def asked(what: Any) -> Any:
            if not self._attached:
                raise NeedsMore("more is to be found out than a thread may ask")
            return ask(what)

        return asked
