"""The sandbox's switchboard: one JSON object per line on a loopback port, one JSON object back.

From a shell: python -m serversync.sandbox.control PORT ORDER

{"do": "fault", "kind": "hang", "protocol": "imap", "command": "SELECT", "times": 1}
{"do": "clear"}                                          forget all faults and rules of autodiscover
{"do": "faults"}                                         those that wait
{"do": "struck"}                                         how many commands a fault has struck
{"do": "accounts"}                                       addresses and how much mail they hold
{"do": "password", "address": ..., "password": ...}      of an account, changed by its owner
{"do": "deliver", "address": ..., "mime": ...}           put a message into an inbox
{"do": "deliver", ..., "folder": "Inbox/Projects", "categories": ["Tracked to Sandbox"]}    on Exchange
{"do": "move", "address": ..., "message_id": ..., "folder": "Inbox/Projects"}    the same, what lies there
{"do": "categorize", "address": ..., "message_id": ..., "categories": []}
{"do": "authority", "access_seconds": 30}                set switches of the token authority, tell all
{"do": "sign_in", "basic": false, "negotiate": true}     open and close ways into Exchange, tell all
{"do": "autodiscover", "outcome": "redirect_address", "who": ..., "target": ...}    clear forgets it
{"do": "quirk", "name": "silent_sync_restart", "value": true}    how this Exchange server differs
{"do": "quirks"}                                         all of them
{"do": "exchange_account", "address": ..., "password": ..., "is_full": true}    make or change one
{"do": "forget_sync_states", "address": ...}             of one Exchange account, or without one of all
{"do": "add_item", "address": ..., "kind": "Task", "properties": {"subject": "Call"}, "tell": true}    see ews/byhand.py
{"do": "change_item", "address": ..., "name": "Call", "properties": {"status": "Completed"}, "index": 2}    also of a series
{"do": "delete_item", "address": ..., "name": "Call", "tell": true}
{"do": "answer_item", "address": ..., "name": "Visit", "answer": "Accept"}    by whoever was invited
{"do": "meeting_mail"}                                   who was invited, told, answered, oldest first
{"do": "renumber", "address": ..., "folder": "INBOX"}    new UIDVALIDITY, new UIDs and UIDLs
"""

import json
import socket
import socketserver
import sys
import threading
from dataclasses import asdict
from typing import Any, cast

from serversync.sandbox.ews.autodiscover import Rule
from serversync.sandbox.ews.exchange import Exchange
from serversync.sandbox.ews.store import Item
from serversync.sandbox.faults import Fault
from serversync.sandbox.servers import HOST, Sandbox
from serversync.sandbox.store import INBOX

TIMEOUT_SECONDS = 10


def obey(sandbox: Sandbox, order: dict[str, Any]) -> dict[str, object]:
    """Do what one line asks for. Raises ValueError or LookupError with what is wrong."""
    values = dict(order)
    match values.pop("do", None):
        case "fault":
            sandbox.faults.add(Fault.from_dict(values))
            return {}
        case "clear":
            sandbox.faults.clear()
            sandbox.exchange.site.autodiscover.clear()
            return {}
        case "faults":
            return {"faults": [fault.as_dict() for fault in sandbox.faults.waiting()]}
        case "struck":
            return {"struck": len(sandbox.faults.struck)}
        case "accounts":
            return {"accounts": _accounts(sandbox)}
        case "password":
            _set_password(sandbox, str(values["address"]), str(values["password"]))
            return {}
        case "deliver":
            return {"uid": _deliver(sandbox, values)}
        case "move":
            exchange = sandbox.exchange
            exchange.move(_item(exchange, values), str(values["folder"]))
            return {}
        case "categorize":
            exchange = sandbox.exchange
            exchange.categorize(_item(exchange, values), *_words(values["categories"]))
            return {}
        case "authority":
            sandbox.authority.switches.change(values)
            return {"switches": sandbox.authority.switches.as_dict()}
        case "sign_in":
            gate = sandbox.exchange.gate
            gate.methods = gate.methods.changed(values)
            return {"methods": asdict(gate.methods)}
        case "autodiscover":
            sandbox.exchange.site.autodiscover.insert(0, Rule.from_dict(values))
            return {}
        case "quirk":
            exchange = sandbox.exchange
            exchange.quirks = exchange.quirks.changed(str(values["name"]), values.get("value"))
            return {"quirks": exchange.quirks.as_dict()}
        case "quirks":
            return {"quirks": sandbox.exchange.quirks.as_dict()}
        case "exchange_account":
            _change_account(sandbox, str(values.pop("address")), values)
            return {}
        case "forget_sync_states":
            sandbox.exchange.invalidate_sync_states(str(values.get("address", "")))
            return {}
        case "add_item" | "change_item" | "delete_item" | "answer_item" as order_name:
            return {"id": _by_hand(sandbox.exchange, order_name, values)}
        case "meeting_mail":
            sent = sandbox.exchange.meeting_mail()
            return {"mail": [{**asdict(one), "at": one.at.isoformat()} for one in sent]}
        case "renumber":
            sandbox.store.renumber(str(values["address"]), str(values.get("folder", INBOX)))
            return {}
        case unknown:
            raise ValueError(f"{unknown!r} is nothing that can be asked for")


def _accounts(sandbox: Sandbox) -> dict[str, int]:
    store, exchange = sandbox.store, sandbox.exchange
    found = {name: len(store.uids(name)) for name in store.accounts()}
    for account in exchange.store.accounts():
        if account.has_mailbox:
            found[account.address] = len(exchange.items(account.address))
    return found


def _set_password(sandbox: Sandbox, address: str, password: str) -> None:
    if sandbox.exchange.has_account(address):
        sandbox.exchange.set_account(address, password=password)
    elif sandbox.store.has_account(address):
        sandbox.store.add_account(address, password)
    else:
        raise LookupError(f"nobody has the address {address}")


def _deliver(sandbox: Sandbox, values: dict[str, Any]) -> int:
    address = str(values["address"])
    mime = str(values["mime"]).encode("utf-8", "surrogateescape")
    if not {"folder", "categories"} & values.keys():
        return sandbox.deliver(address, mime)
    folder, categories = str(values.get("folder", "inbox")), _words(values.get("categories", []))
    sandbox.exchange.deliver(address, mime, folder=folder, categories=categories)
    return 0


def _item(exchange: Exchange, values: dict[str, Any]) -> Item:
    """By its Message-ID, in whatever folder of the mailbox."""
    address, wanted = str(values["address"]), str(values["message_id"]).strip("<>")
    for folder in exchange.folders(address):
        for item in exchange.items(address, folder):
            if item.text("InternetMessageId").strip("<>") == wanted:
                return item
    raise LookupError(f"{address} has no message {wanted}")


def _by_hand(exchange: Exchange, order: str, values: dict[str, Any]) -> str:
    """What a person does in a calendar, with contacts or tasks. Returns the id of the item."""
    address, tell = str(values["address"]), bool(values.get("tell", False))
    properties = dict(values.get("properties", {}))
    if order == "add_item":
        return exchange.add(address, str(values["kind"]), tell=tell, **properties).remote_id
    item = exchange.named(address, str(values["name"]))
    if (index := values.get("index")) is not None:
        item = exchange.occurrence(item, int(index))
    if order == "change_item":
        return exchange.change(item, tell=tell, **properties).remote_id
    if order == "answer_item":
        return exchange.answer(item, str(values["answer"])).remote_id
    exchange.delete(item, tell=tell)
    return item.remote_id


def _words(value: object) -> list[str]:
    if not isinstance(value, list):
        raise ValueError("a list of names")
    return [str(word) for word in value]


def _change_account(sandbox: Sandbox, address: str, switches: dict[str, Any]) -> None:
    exchange = sandbox.exchange
    if not exchange.has_account(address):
        exchange.add_account(address, str(switches["password"]))
    exchange.set_account(address, **switches)


class _Line(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        for line in self.rfile:
            try:
                order = json.loads(line)
                if not isinstance(order, dict):
                    raise ValueError("one JSON object per line")
                sandbox = cast("Switchboard", self.server).sandbox
                answer: dict[str, object] = {"ok": True, **obey(sandbox, order)}
            except (ValueError, LookupError, TypeError) as error:
                answer = {"ok": False, "error": f"{type(error).__name__}: {error}"}
            self.wfile.write(json.dumps(answer).encode() + b"\n")


class Switchboard(socketserver.ThreadingTCPServer):
    """Used with `with`; `port` is chosen by the system unless given."""

    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False

    def __init__(self, sandbox: Sandbox, port: int = 0) -> None:
        super().__init__((HOST, port), _Line)
        self.sandbox = sandbox
        self._thread = threading.Thread(
            target=self.serve_forever, args=(0.1,), name="switchboard", daemon=True
        )
        self._thread.start()

    @property
    def port(self) -> int:
        return int(self.server_address[1])

    def server_close(self) -> None:
        self.shutdown()
        self._thread.join(TIMEOUT_SECONDS)
        super().server_close()


def ask(port: int, **order: object) -> dict[str, Any]:
    """Ask a running sandbox. Raises ValueError with its words if it can't."""
    with socket.create_connection((HOST, port), timeout=TIMEOUT_SECONDS) as line:
        line.sendall(json.dumps(order).encode() + b"\n")
        with line.makefile("rb") as answers:
            answer = cast("dict[str, Any]", json.loads(answers.readline() or b"{}"))
    if not answer.pop("ok", False):
        raise ValueError(answer.get("error", "no answer"))
    return answer


if __name__ == "__main__":
    answer = ask(int(sys.argv[1]), **json.loads(sys.argv[2]))
    sys.stdout.write(json.dumps(answer) + "\n")
