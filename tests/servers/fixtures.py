"""The servers as fixtures. A conftest.py imports those that its tests use.

A server that can't be had is a skipped test with its reason; tests/plugin.py makes that a failure
on the build machine.
"""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers import dovecot as dovecot_module
from tests.servers import kdc as kdc_module
from tests.servers import postfix as postfix_module
from tests.servers.certificates import Authority
from tests.servers.dovecot import Dovecot
from tests.servers.kdc import Kdc
from tests.servers.postfix import Postfix


@pytest.fixture(scope="session")
def authority() -> Iterator[Authority]:
    """Trusted by whoever is given its `pem`."""
    with tempfile.TemporaryDirectory(prefix="serversync-certificates-") as folder:
        yield Authority(Path(folder))


@pytest.fixture(scope="session")
def dovecot(authority: Authority) -> Iterator[Dovecot]:
    """IMAP and POP3 for the users of `tests.servers.dovecot.PASSWORDS`."""
    if reason := dovecot_module.why_missing():
        pytest.skip(reason)
    server = Dovecot(authority, authority.issue("localhost"))
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def postfix(authority: Authority, dovecot: Dovecot) -> Iterator[Postfix]:
    """Submission for the same users; what it accepts for them arrives in Dovecot."""
    if reason := postfix_module.why_missing():
        pytest.skip(reason)
    server = Postfix(dovecot, authority, authority.issue("localhost"))
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def kdc() -> Iterator[Kdc]:
    """A Kerberos realm with a server at localhost and the people of `tests.servers.kdc.PASSWORDS`."""
    if reason := kdc_module.why_missing():
        pytest.skip(reason)
    realm = Kdc()
    realm.start()
    yield realm
    realm.stop()
