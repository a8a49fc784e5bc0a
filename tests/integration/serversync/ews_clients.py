"""exchangelib as a client of the sandbox's Exchange server, trusting its authority and nobody else."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import pytest
import requests.adapters
from exchangelib import (
    BASIC,
    DELEGATE,
    Account,
    Build,
    Configuration,
    Credentials,
    EWSTimeZone,
    FailFast,
    Version,
)
from exchangelib.protocol import BaseProtocol, close_connections

from serversync.sandbox.ews.quirks import Quirks
from serversync.sandbox.servers import Sandbox

ADA, BEN = "ada@exchange.example", "ben@exchange.example"
PASSWORD = "quite a secret"
BUILD_2019 = Build(15, 2, 1118, 7)


def trusting(sandbox: Sandbox) -> type[requests.adapters.HTTPAdapter]:
    """An adapter that trusts the sandbox's authority and nobody else."""
    path = sandbox.folder / "trusted.pem"
    path.write_text(sandbox.ca_pem)

    class Adapter(requests.adapters.HTTPAdapter):
        def send(self, request, **options):
            return super().send(request, **{**options, "verify": str(path)})

    return Adapter


def account(
    sandbox: Sandbox, address: str = ADA, *, user: str = "", access: str = DELEGATE
) -> Account:
    configuration = Configuration(
        service_endpoint=sandbox.exchange.url,
        credentials=Credentials(user or address, PASSWORD),
        auth_type=BASIC,
        version=Version(build=BUILD_2019),
        retry_policy=FailFast(),
    )
    return Account(
        address,
        config=configuration,
        autodiscover=False,
        access_type=access,
        default_timezone=EWSTimeZone("UTC"),
    )


@cache
def client(sandbox: Sandbox, address: str = ADA) -> Account:
    """One client of an account for a whole test, which finds its folders once."""
    return account(sandbox, address)


@contextmanager
def fresh_accounts(
    server: Sandbox, monkeypatch: pytest.MonkeyPatch, *addresses: str
) -> Iterator[Sandbox]:
    """The same server for every test, with new accounts of these addresses."""
    monkeypatch.setattr(BaseProtocol, "HTTP_ADAPTER_CLS", trusting(server))
    for address in addresses:
        server.exchange.add_account(address, PASSWORD)
    yield server
    close_connections()
    client.cache_clear()
    for known in server.exchange.store.accounts():
        server.exchange.store.remove_account(known.address)
    server.exchange.store.forget_meeting_mail()
    server.exchange.quirks = Quirks()
    server.exchange.requests.clear()
    server.faults.clear()
    server.sent.clear()
