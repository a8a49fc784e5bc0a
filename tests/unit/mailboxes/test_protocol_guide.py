"""The adapter that docs/adding-a-protocol.md shows keeps the contract as it stands there."""

import itertools
import re
from pathlib import Path

import pytest

from mailboxes import connect
from mailboxes.protocols import base
from mailboxes.protocols.base import (
    INBOX,
    Action,
    ActionKind,
    AdapterOptions,
    ConnectionSettings,
    Credentials,
    IncomingServer,
    Security,
)
from mailboxes.protocols.errors import ActionRefused, MailboxUnknown, StoreUnavailable
from mailboxes.protocols.phases import Phase
from serversync.testing_steps import StepWatcher
from tests.contracts import MaildropContract, message

PAGE = Path(__file__).resolve().parents[3] / "docs" / "adding-a-protocol.md"
(CODE,) = re.findall(r"(?ms)^```python\n(.*?)^```$", PAGE.read_text())
NAMES: dict = {"__name__": "spool"}
exec(compile(CODE, str(PAGE), "exec"), NAMES)  # the page's own words
SpoolServer = NAMES["SpoolServer"]


class SpoolAccount:
    password = "unused-password"

    def __init__(self, folder: Path) -> None:
        self.above, self.folder = folder, folder / "ada"
        self.folder.mkdir()
        self._numbers = itertools.count()

    def deliver(self, mime):
        (self.folder / f"{next(self._numbers):06}.eml").write_bytes(mime)

    def stored(self):
        return [path.read_bytes() for path in sorted(self.folder.iterdir())]

    def server(self, *, max_fetch_bytes=10_000_000, watcher=None):
        credentials = Credentials("ada", self.password)
        settings = ConnectionSettings(
            host=str(self.above), port=0, security=Security.PLAIN, credentials=credentials
        )
        return SpoolServer(settings, AdapterOptions(watcher, max_fetch_bytes=max_fetch_bytes))


class TestSpool(MaildropContract):
    @pytest.fixture
    def account(self, tmp_path):
        return SpoolAccount(tmp_path)

    def test_an_account_without_a_spool_is_unknown(self, account):
        account.folder.rmdir()
        with pytest.raises(MailboxUnknown):
            account.server().open()

    def test_a_disk_that_fails_is_tried_again(self, account, monkeypatch):
        def fail(_path):
            raise OSError(5, "Input/output error")

        monkeypatch.setattr(Path, "iterdir", fail)
        with pytest.raises(StoreUnavailable, match="Input/output error"):
            account.server().list_new(INBOX, "", 50)

    def test_what_files_cannot_do_is_refused_without_harm(self, account):
        account.deliver(message(1))
        (result,) = account.server().apply(
            INBOX, [Action(ActionKind.MARK, "000000.eml", "Tracked")]
        )
        assert not result.done and isinstance(result.error, ActionRefused)
        assert account.stored() == [message(1)]

    def test_steps_are_told(self, account):
        account.deliver(message(1))
        watcher = StepWatcher()
        server = account.server(watcher=watcher)
        list(server.fetch(INBOX, [item.remote_id for item in server.list_new(INBOX, "", 9).items]))
        assert {step["step"] for step in watcher.steps} == {Phase.OPEN, Phase.LIST, Phase.FETCH}


def test_the_page_names_each_method_of_the_contracts():
    text = PAGE.read_text()
    for contract in (base.IncomingServer, base.OutgoingServer):
        row = next(line for line in text.splitlines() if line.startswith(f"| `{contract.__name__}"))
        methods = {name for name in vars(contract) if not name.startswith("_")} - {
            "protocol",
            "sizes_stay",
        }
        assert set(re.findall(r"`([a-z_]+)`", row)) == methods


def test_what_the_page_names_of_the_product_is_there():
    text = PAGE.read_text()
    for name in re.findall(r"`(INCOMING_ADAPTERS|outgoing_server|exchange_settings_for)`", text):
        assert hasattr(connect, name)
    here = PAGE.parent.parent
    named = set(re.findall(r"`((?:tests|mailboxes)/[\w./]+)`", text))
    assert named and [each for each in sorted(named) if not (here / each).exists()] == []


def test_the_adapter_has_all_of_the_contract(tmp_path):
    server = SpoolAccount(tmp_path).server()
    missing = [
        name for name in vars(IncomingServer) if name[0] != "_" and not hasattr(server, name)
    ]
    assert missing == []
