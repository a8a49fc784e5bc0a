"""IMAP4rev1 (RFC 3501) with STARTTLS, UIDPLUS, MOVE, CONDSTORE, IDLE, LITERAL+, NAMESPACE, SPECIAL-USE
and ID.

What no client here asks for is left out: BODYSTRUCTURE, subscriptions of their own. While a client is idle,
faults may wait for two commands that are none: NEWS, when there is something to tell, and DONE, its end.
"""

import base64
import binascii
import re
import socket
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, date, datetime
from email.parser import BytesHeaderParser

from serversync.sandbox.conversation import Conversation, Site
from serversync.sandbox.store import INBOX, SENT, Entry, FolderState, UnknownFolder

Token = str | bytes | list["Token"]

CAPABILITIES = (
    "LITERAL+",
    "UIDPLUS",
    "MOVE",
    "CONDSTORE",
    "IDLE",
    "ENABLE",
    "UNSELECT",
    "NAMESPACE",
    "SPECIAL-USE",
    "ID",
)
IDLE_TICK = 0.2  # seconds between two looks at the folder of a client that is idle
SYSTEM_FLAGS = r"\Answered \Flagged \Deleted \Seen \Draft"
MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
SECTION = re.compile(
    r"BODY(?P<peek>\.PEEK)?\[(?P<section>[^\]]*)\](?:<(?P<start>\d+)\.(?P<length>\d+)>)?$"
)
UNSELECTED = {
    "SELECT",
    "EXAMINE",
    "LIST",
    "LSUB",
    "STATUS",
    "CREATE",
    "DELETE",
    "RENAME",
    "APPEND",
    "NAMESPACE",
    "ENABLE",
    "IDLE",
    "SUBSCRIBE",
    "UNSUBSCRIBE",
}
SELECTED = {"CHECK", "CLOSE", "UNSELECT", "EXPUNGE", "FETCH", "STORE", "SEARCH", "COPY", "MOVE"}


class Bad(Exception):
    """The command is malformed; its text goes to the client."""


class No(Exception):
    """The command can't be done; its text goes to the client."""


class Imap(Conversation):
    protocol = "imap"

    def __init__(self, site: Site, connection: socket.socket, *, secure: bool) -> None:
        super().__init__(site, connection, secure=secure)
        self._tag = "*"
        self._folder: FolderState | None = None
        self._read_only = False
        self._view: list[int] = []
        self._modseqs: dict[int, int] = {}
        self._condstore = False

    def greet(self) -> None:
        self.say(f"* OK [CAPABILITY {self._capabilities()}] Sandbox ready")

    def shape_reply(self, text: str) -> str:
        known = text.split(" ")[0] in ("OK", "NO", "BAD", "*")
        return text if text.startswith("*") else f"{self._tag} {text if known else f'NO {text}'}"

    def _capabilities(self) -> str:
        names = ["IMAP4rev1", *(name for name in CAPABILITIES if not self.hides(name))]
        if not self.account:
            if not self.secure and not self.hides("STARTTLS"):
                names.append("STARTTLS")
            names += self._logins() if self.may_log_in else ["LOGINDISABLED"]
        return " ".join(names)

    def _logins(self) -> list[str]:
        mechanisms = ["PLAIN", *self.token_mechanisms()]
        offered = [f"AUTH={each}" for each in mechanisms if not self.hides(f"AUTH={each}")]
        return offered + ["SASL-IR"] * (not self.hides("SASL-IR"))

    # -- commands

    def take(self, line: bytes) -> None:
        tokens = list(tokenize(self._with_literals(line)))
        if len(tokens) < 2 or not isinstance(tokens[0], str):
            self.say("* BAD Not a command")
            return
        self._tag, name = tokens[0], str(tokens[1]).upper()
        arguments = tokens[2:]
        by_uid = name == "UID"
        if by_uid:
            if not arguments or not isinstance(arguments[0], str):
                self.say(f"{self._tag} BAD UID what?")
                return
            name, arguments = arguments[0].upper(), arguments[1:]
        full_name = f"UID {name}" if by_uid else name
        text = "" if name in ("LOGIN", "AUTHENTICATE", "APPEND") else spell(arguments)
        self.obey(full_name, text, lambda: self._do(name, arguments, by_uid))

    def _with_literals(self, line: bytes) -> list[bytes]:
        """The command's lines with the literals between them (RFC 3501, 4.3; RFC 7888)."""
        pieces = [line]
        while found := re.search(rb"\{(\d+)(\+?)\}$", pieces[-1]):
            if not found[2]:
                self.say("+ Go on")
            pieces[-1] = pieces[-1][: found.start()]
            pieces += [self.read_exactly(int(found[1])), self.read_line()]
        return pieces

    def _do(self, name: str, arguments: list[Token], by_uid: bool) -> None:
        handler: Callable[[list[Token], bool], str | None] | None = getattr(
            self, f"_do_{name.lower()}", None
        )
        tag = self._tag
        try:
            if handler is None or self.hides(name) or (by_uid and name not in SELECTED):
                raise Bad(f"{name} is not known")
            if name in UNSELECTED | SELECTED and not self.account:
                raise Bad("Log in first")
            if name in SELECTED and self._folder is None:
                raise Bad("Select a folder first")
            answer = handler(arguments, by_uid)
            if name not in ("FETCH", "STORE", "SEARCH") or by_uid:
                self._tell_changes()
            if answer is not None:
                self.say(f"{tag} OK {answer}")
        except Bad as error:
            self.say(f"{tag} BAD {error}")
        except (No, UnknownFolder) as error:
            code = "[NONEXISTENT] No such folder: " if isinstance(error, UnknownFolder) else ""
            self.say(f"{tag} NO {code}{error}")

    def _do_capability(self, _: list[Token], __: bool) -> str:
        self.say(f"* CAPABILITY {self._capabilities()}")
        return "Done"

    def _do_noop(self, _: list[Token], __: bool) -> str:
        return "Done"

    _do_check = _do_noop
    _do_subscribe = _do_noop
    _do_unsubscribe = _do_noop

    def _do_id(self, _: list[Token], __: bool) -> str:
        self.say('* ID ("name" "sandbox")')
        return "Done"

    def _do_logout(self, _: list[Token], __: bool) -> str:
        self.say("* BYE Bye")
        self.ended = True
        self._folder = None
        return "Done"

    def _do_starttls(self, _: list[Token], __: bool) -> None:
        if self.secure:
            raise Bad("Already protected")
        self.say(f"{self._tag} OK Begin TLS")
        self.start_tls()

    def _do_login(self, arguments: list[Token], _: bool) -> str:
        if not self.may_log_in:
            raise No("[PRIVACYREQUIRED] Passwords only under TLS: STARTTLS first")
        if len(arguments) != 2:
            raise Bad("LOGIN name password")
        return self._welcome(text_of(arguments[0]), text_of(arguments[1]))

    def _do_authenticate(self, arguments: list[Token], __: bool) -> str:
        mechanism = str(arguments[0]).upper() if arguments else ""
        by_token = mechanism in self.token_mechanisms()
        if not by_token and mechanism != "PLAIN":
            raise No("Not this mechanism")
        if not self.may_log_in:
            raise No("[PRIVACYREQUIRED] Passwords only under TLS: STARTTLS first")
        if len(arguments) > 1 and self.hides("SASL-IR"):
            raise Bad("No initial response is taken here")
        initial = text_of(arguments[1]) if len(arguments) > 1 else self._ask(b"")
        try:
            shown = base64.b64decode(initial, validate=True)
            if by_token:
                return self._welcome_token(mechanism, shown)
            _, address, password = shown.decode().split("\0")
        except (ValueError, binascii.Error):
            raise Bad("Malformed") from None
        return self._welcome(address, password)

    def _ask(self, challenge: bytes) -> str:
        self.say(f"+ {base64.b64encode(challenge).decode()}")
        return self.read_line().decode("ascii", "replace")

    def _welcome_token(self, mechanism: str, shown: bytes) -> str:
        if error := self.log_in_with_token(mechanism, shown):
            self._ask(error.encode())
            raise No("[AUTHENTICATIONFAILED] The token opens nothing here")
        return f"[CAPABILITY {self._capabilities()}] Welcome"

    def _welcome(self, address: str, password: str) -> str:
        if not self.log_in(address, password):
            raise No("[AUTHENTICATIONFAILED] Wrong name or password")
        return f"[CAPABILITY {self._capabilities()}] Welcome"

    def _do_enable(self, arguments: list[Token], _: bool) -> str:
        wanted = {str(argument).upper() for argument in arguments}
        self._condstore |= "CONDSTORE" in wanted and not self.hides("CONDSTORE")
        self.say("* ENABLED" + (" CONDSTORE" if self._condstore else ""))
        return "Done"

    def _do_namespace(self, _: list[Token], __: bool) -> str:
        self.say('* NAMESPACE (("" "/")) NIL NIL')
        return "Done"

    # -- folders

    def _do_list(self, arguments: list[Token], _: bool) -> str:
        if len(arguments) != 2:
            raise Bad("LIST reference pattern")
        pattern = text_of(arguments[0]) + text_of(arguments[1])
        if not pattern:
            self.say('* LIST (\\Noselect) "/" ""')
            return "Done"
        matcher = re.compile(
            "".join(
                ".*" if char == "*" else "[^/]*" if char == "%" else re.escape(char)
                for char in pattern
            )
            + "$",
            re.IGNORECASE if pattern.upper() == INBOX else 0,
        )
        names = self.store.folders(self.account)
        for name in names:
            if matcher.match(name):
                below = any(other.startswith(f"{name}/") for other in names)
                use = " \\Sent" if name == SENT and not self.hides("SPECIAL-USE") else ""
                self.say(f'* LIST (\\Has{"" if below else "No"}Children{use}) "/" {quoted(name)}')
        return "Done"

    _do_lsub = _do_list

    def _do_create(self, arguments: list[Token], _: bool) -> str:
        name = text_of(arguments[0]).rstrip("/")
        if name in self.store.folders(self.account):
            raise No("[ALREADYEXISTS] It is there")
        self.store.add_folder(self.account, name)
        return "Done"

    def _do_rename(self, arguments: list[Token], _: bool) -> str:
        """With the folders below it. RFC 3501, 6.3.5 has a rule of its own for the inbox."""
        if len(arguments) != 2:
            raise Bad("RENAME folder name")
        old, new = (text_of(each).rstrip("/") for each in arguments)
        if old.upper() == INBOX:
            raise No("Not the inbox")
        names = self.store.folders(self.account)
        if new in names:
            raise No("[ALREADYEXISTS] It is there")
        if old not in names:
            raise No("[NONEXISTENT] No such folder")
        for name in names:
            if name == old or name.startswith(f"{old}/"):
                self.store.rename_folder(self.account, name, new + name.removeprefix(old))
        return "Done"

    def _do_delete(self, arguments: list[Token], _: bool) -> str:
        name = text_of(arguments[0])
        if name.upper() == INBOX:
            raise No("Not the inbox")
        self.store.remove_folder(self.account, name)
        return "Done"

    def _do_status(self, arguments: list[Token], _: bool) -> str:
        if len(arguments) != 2 or not isinstance(arguments[1], list):
            raise Bad("STATUS folder (items)")
        name = text_of(arguments[0])
        state = self.store.folder(self.account, name)
        entries = self.store.entries(self.account, name)
        known = {
            "MESSAGES": len(entries),
            "RECENT": 0,
            "UIDNEXT": state.uidnext,
            "UIDVALIDITY": state.uidvalidity,
            "UNSEEN": sum("\\Seen" not in entry.flags for entry in entries),
            "HIGHESTMODSEQ": state.modseq,
        }
        wanted = [str(item).upper() for item in arguments[1]]
        if unknown := [item for item in wanted if item not in known]:
            raise Bad(f"No {unknown[0]} here")
        items = " ".join(f"{item} {known[item]}" for item in wanted)
        self.say(f"* STATUS {quoted(name)} ({items})")
        return "Done"

    def _do_select(self, arguments: list[Token], _: bool, read_only: bool = False) -> str:
        self._folder = None
        name = text_of(arguments[0]) if arguments else ""
        state = self.store.folder(self.account, name)
        if len(arguments) > 1 and "CONDSTORE" in spell(arguments[1:]).upper():
            self._condstore = not self.hides("CONDSTORE")
        self._folder, self._read_only = state, read_only
        entries = self.store.entries(self.account, state.name)
        self._view = [entry.uid for entry in entries]
        self._modseqs = {entry.uid: entry.modseq for entry in entries}
        keywords = sorted(
            {flag for entry in entries for flag in entry.flags if not flag.startswith("\\")}
        )
        flags = " ".join([SYSTEM_FLAGS, *keywords])
        self.say(f"* FLAGS ({flags})")
        self.say(f"* OK [PERMANENTFLAGS ({'' if read_only else flags + ' ' + chr(92) + '*'})] Ok")
        self.say(f"* {len(entries)} EXISTS")
        self.say("* 0 RECENT")
        self.say(f"* OK [UIDVALIDITY {state.uidvalidity}] Valid")
        self.say(f"* OK [UIDNEXT {state.uidnext}] Next")
        if not self.hides("CONDSTORE"):
            self.say(f"* OK [HIGHESTMODSEQ {state.modseq}] Highest")
        return f"[READ-{'ONLY' if read_only else 'WRITE'}] Done"

    def _do_examine(self, arguments: list[Token], by_uid: bool) -> str:
        return self._do_select(arguments, by_uid, read_only=True)

    def _do_unselect(self, _: list[Token], __: bool) -> str:
        self._folder = None
        return "Done"

    def _do_close(self, _: list[Token], __: bool) -> str:
        if not self._read_only:
            self._remove(self._deleted())
        self._folder = None
        return "Done"

    def _do_append(self, arguments: list[Token], _: bool) -> str:
        if len(arguments) < 2:
            raise Bad("APPEND folder (flags) date literal")
        name, mime = text_of(arguments[0]), arguments[-1]
        if name not in self.store.folders(self.account) and name.upper() != INBOX:
            raise No("[TRYCREATE] No such folder")
        flags = next((part for part in arguments[1:-1] if isinstance(part, list)), [])
        when = next((part for part in arguments[1:-1] if isinstance(part, str | bytes)), None)
        uid = self.store.deliver(
            self.account,
            mime if isinstance(mime, bytes) else text_of(mime).encode("utf-8", "surrogateescape"),
            folder=name,
            received_at=parse_time(text_of(when)) if when is not None else None,
            flags=[str(flag) for flag in flags],
        )
        state = self.store.folder(self.account, name)
        return self._with_code(f"APPENDUID {state.uidvalidity} {uid}")

    def _with_code(self, code: str) -> str:
        return "Done" if self.hides("UIDPLUS") else f"[{code}] Done"

    # -- IDLE (RFC 2177)

    def _do_idle(self, _: list[Token], __: bool) -> str:
        self.say("+ idling")
        looked_at = -1
        while not self._client_speaks():
            if looked_at != self.store.written:
                looked_at = self.store.written
                if self._has_news():
                    self.obey("NEWS", "", self._tell_changes)
                    looked_at = -1
        if self.read_line().upper() != b"DONE":
            raise Bad("DONE was expected")
        self.obey("DONE", "", lambda: None)
        return "Idle is over"

    def _client_speaks(self) -> bool:
        """A whole line, within a moment."""
        self.connection.settimeout(IDLE_TICK)
        try:
            self._fill()
        except TimeoutError:
            return False
        finally:
            self.connection.settimeout(None)
        return b"\n" in self._in

    def _has_news(self) -> bool:
        if self._folder is None:
            return False
        entries = self.store.entries(self.account, self._name)
        return {entry.uid: entry.modseq for entry in entries} != self._modseqs

    # -- messages

    @property
    def _name(self) -> str:
        return self._folder.name if self._folder else INBOX

    def _tell_changes(self) -> None:
        """Untagged news since the last look: what vanished, what came, whose flags changed."""
        if self._folder is None:
            return
        entries = {entry.uid: entry for entry in self.store.entries(self.account, self._name)}
        for place in range(len(self._view), 0, -1):
            if self._view[place - 1] not in entries:
                self._modseqs.pop(self._view.pop(place - 1), None)
                self.say(f"* {place} EXPUNGE")
        known = set(self._view)
        for place, uid in enumerate(self._view, start=1):
            if entries[uid].modseq != self._modseqs.get(uid):
                self._say_flags(place, entries[uid])
        if fresh := [uid for uid in entries if uid not in known]:
            self._view += fresh
            self._modseqs |= {uid: entries[uid].modseq for uid in fresh}
            self.say(f"* {len(self._view)} EXISTS")

    def _say_flags(self, place: int, entry: Entry) -> None:
        self._modseqs[entry.uid] = entry.modseq
        items = [f"UID {entry.uid}", f"FLAGS ({' '.join(sorted(entry.flags))})"]
        if self._condstore:
            items.append(f"MODSEQ ({entry.modseq})")
        self.say(f"* {place} FETCH ({' '.join(items)})")

    def _chosen(self, argument: Token, by_uid: bool) -> list[tuple[int, int]]:
        """(sequence number, UID) of a set such as 1:4,7,9:* within what the client has been told."""
        highest = (self._view[-1] if self._view else 0) if by_uid else len(self._view)
        ranges = parse_set(text_of(argument), highest)
        numbers = enumerate(self._view, start=1)
        return [
            (place, uid)
            for place, uid in numbers
            if any(low <= (uid if by_uid else place) <= high for low, high in ranges)
        ]

    def _do_fetch(self, arguments: list[Token], by_uid: bool) -> str:
        if len(arguments) < 2:
            raise Bad("FETCH set items")
        wanted = arguments[1] if isinstance(arguments[1], list) else [arguments[1]]
        items = [str(item).upper() for item in wanted]
        macros = {"FAST": ["FLAGS", "INTERNALDATE", "RFC822.SIZE"]}
        items = [part for item in items for part in macros.get(item, [item])]
        since = None
        if len(arguments) > 2 and isinstance(arguments[2], list):
            modifier = [str(part).upper() for part in arguments[2]]
            if modifier[0] != "CHANGEDSINCE" or self.hides("CONDSTORE"):
                raise Bad(f"{modifier[0]} is not known")
            since, self._condstore = int(modifier[1]), True
            items.append("MODSEQ")
        if by_uid and "UID" not in items:
            items.insert(0, "UID")
        for place, uid in self._chosen(arguments[0], by_uid):
            entry = self.store.entry(self.account, self._name, uid)
            if entry is not None and (since is None or entry.modseq > since):
                self._fetch_one(place, entry, items)
        return "Done"

    def _fetch_one(self, place: int, entry: Entry, items: list[str]) -> None:
        parts: list[bytes] = []
        seen = False
        for item in items:
            match item:
                case "UID":
                    parts.append(b"UID %d" % entry.uid)
                case "FLAGS":
                    parts.append(f"FLAGS ({' '.join(sorted(entry.flags))})".encode())
                case "INTERNALDATE":
                    parts.append(f'INTERNALDATE "{spell_time(entry.received_at)}"'.encode())
                case "RFC822.SIZE":
                    parts.append(b"RFC822.SIZE %d" % entry.size)
                case "MODSEQ":
                    parts.append(b"MODSEQ (%d)" % entry.modseq)
                case "RFC822" | "RFC822.HEADER" | "RFC822.TEXT":
                    section = {"RFC822.HEADER": "HEADER", "RFC822.TEXT": "TEXT"}.get(item, "")
                    seen |= item != "RFC822.HEADER"
                    parts.append(self._literal(item, self._section(entry, section)))
                case _:
                    found = SECTION.match(item)
                    if found is None:
                        raise Bad(f"{item} is not known")
                    data = self._section(entry, found["section"])
                    name = f"BODY[{found['section']}]"
                    if found["start"]:
                        start = int(found["start"])
                        data = data[start : start + int(found["length"])]
                        name += f"<{start}>"
                    seen |= not found["peek"]
                    parts.append(self._literal(name, data))
        if seen and not self._read_only and "\\Seen" not in entry.flags:
            self.store.set_flags(self.account, self._name, entry.uid, entry.flags | {"\\Seen"})
        self.send(b"* %d FETCH (" % place + b" ".join(parts) + b")\r\n")

    def _literal(self, name: str, data: bytes) -> bytes:
        return b"%s {%d}\r\n%s" % (name.encode(), len(data), data)

    def _section(self, entry: Entry, section: str) -> bytes:
        mime = self.store.mime(self.account, self._name, entry.uid) or b""
        if not section:
            return mime
        header, body = split_header(mime)
        if section == "HEADER":
            return header
        if section == "TEXT":
            return body
        found = re.match(r"HEADER\.FIELDS(\.NOT)? \((.*)\)$", section)
        if found is None:
            raise Bad(f"BODY[{section}] is not known")
        names = {name.encode().lower() for name in found[2].split()}
        return pick_fields(header, names, bool(found[1]))

    def _do_store(self, arguments: list[Token], by_uid: bool) -> str:
        if self._read_only:
            raise No("[READ-ONLY] Opened to be read only")
        unchanged_since = None
        if len(arguments) > 1 and isinstance(arguments[1], list):
            modifier = arguments.pop(1)
            unchanged_since = int(str(modifier[1]))
            self._condstore = True
        if len(arguments) < 3:
            raise Bad("STORE set item flags")
        operation = str(arguments[1]).upper()
        given = arguments[2] if isinstance(arguments[2], list) else arguments[2:]
        flags = frozenset(str(flag) for flag in given)
        modified = []
        for place, uid in self._chosen(arguments[0], by_uid):
            entry = self.store.entry(self.account, self._name, uid)
            if entry is None:
                continue
            if unchanged_since is not None and entry.modseq > unchanged_since:
                modified.append(uid if by_uid else place)
                continue
            match operation.removesuffix(".SILENT"):
                case "+FLAGS":
                    new = entry.flags | flags
                case "-FLAGS":
                    new = entry.flags - flags
                case "FLAGS":
                    new = flags
                case _:
                    raise Bad(f"{operation} is not known")
            self.store.set_flags(self.account, self._name, uid, new)
            after = self.store.entry(self.account, self._name, uid)
            if after is not None and operation.endswith(".SILENT"):
                self._modseqs[uid] = after.modseq
            elif after is not None:
                self._say_flags(place, after)
        return f"[MODIFIED {','.join(map(str, modified))}] Done" if modified else "Done"

    def _deleted(self, among: Iterable[int] | None = None) -> list[int]:
        chosen = None if among is None else set(among)
        return [
            entry.uid
            for entry in self.store.entries(self.account, self._name)
            if "\\Deleted" in entry.flags and (chosen is None or entry.uid in chosen)
        ]

    def _remove(self, uids: Sequence[int]) -> None:
        if uids:
            self.store.remove(self.account, self._name, uids)

    def _do_expunge(self, arguments: list[Token], by_uid: bool) -> str:
        if self._read_only:
            raise No("[READ-ONLY] Opened to be read only")
        if by_uid and self.hides("UIDPLUS"):
            raise Bad("UID EXPUNGE is not known")
        among = [uid for _, uid in self._chosen(arguments[0], True)] if by_uid else None
        self._remove(self._deleted(among))
        self._tell_changes()
        return "Done"

    def _do_copy(self, arguments: list[Token], by_uid: bool) -> str:
        if len(arguments) != 2:
            raise Bad("COPY set folder")
        uids = [uid for _, uid in self._chosen(arguments[0], by_uid)]
        return self._with_code(self._copy(uids, text_of(arguments[1])))

    def _copy(self, uids: list[int], target: str) -> str:
        try:
            state = self.store.folder(self.account, target)
        except UnknownFolder:
            raise No("[TRYCREATE] No such folder") from None
        copies = self.store.copy(self.account, self._name, uids, target)
        source = ",".join(map(str, uids)) or "*"
        return f"COPYUID {state.uidvalidity} {source} {','.join(map(str, copies)) or '*'}"

    def _do_move(self, arguments: list[Token], by_uid: bool) -> str:
        if len(arguments) != 2:
            raise Bad("MOVE set folder")
        if self._read_only:
            raise No("[READ-ONLY] Opened to be read only")
        uids = [uid for _, uid in self._chosen(arguments[0], by_uid)]
        code = self._copy(uids, text_of(arguments[1]))
        if not self.hides("UIDPLUS"):
            self.say(f"* OK [{code}] Moved")
        self._remove(uids)
        self._tell_changes()
        return "Done"

    def _do_search(self, arguments: list[Token], by_uid: bool) -> str:
        if arguments and str(arguments[0]).upper() == "CHARSET":
            arguments = arguments[2:]
        fits = self._criteria(list(arguments))
        found = []
        for place, uid in enumerate(self._view, start=1):
            entry = self.store.entry(self.account, self._name, uid)
            if entry is not None and fits(place, entry):
                found.append(uid if by_uid else place)
        self.say("* SEARCH" + "".join(f" {number}" for number in found))
        return "Done"

    def _criteria(self, tokens: list[Token]) -> "Criterion":
        """All of the keys, in the order in which RFC 3501, 6.4.4 spells them."""
        parts: list[Criterion] = []
        while tokens:
            parts.append(self._criterion(tokens))
        return lambda place, entry: all(part(place, entry) for part in parts)

    def _criterion(self, tokens: list[Token]) -> "Criterion":
        if not tokens:
            raise Bad("A search key is missing")
        token = tokens.pop(0)
        if isinstance(token, list):
            return self._criteria(list(token))
        key = text_of(token).upper()
        if key == "NOT":
            inner = self._criterion(tokens)
            return lambda place, entry: not inner(place, entry)
        if key == "OR":
            one, other = self._criterion(tokens), self._criterion(tokens)
            return lambda place, entry: one(place, entry) or other(place, entry)
        if key == "ALL":
            return lambda place, entry: True
        if key in FLAG_KEYS:
            flag = FLAG_KEYS[key]
            return lambda place, entry: flag in entry.flags
        if key.startswith("UN") and key[2:] in FLAG_KEYS:
            missing = FLAG_KEYS[key[2:]]
            return lambda place, entry: missing not in entry.flags
        if re.match(r"[\d*:,]+$", key):
            chosen = {uid for _, uid in self._chosen(key, False)}
            return lambda place, entry: entry.uid in chosen
        if not tokens:
            raise Bad(f"{key} is not known, or needs a value")
        value = text_of(tokens.pop(0))
        match key:
            case "UID":
                by_uid = {uid for _, uid in self._chosen(value, True)}
                return lambda place, entry: entry.uid in by_uid
            case "KEYWORD":
                return lambda place, entry: value in entry.flags
            case "UNKEYWORD":
                return lambda place, entry: value not in entry.flags
            case "LARGER":
                return lambda place, entry: entry.size > int(value)
            case "SMALLER":
                return lambda place, entry: entry.size < int(value)
            case "SINCE" | "BEFORE" | "ON":
                day = parse_day(value)
                compare = {"SINCE": date.__ge__, "BEFORE": date.__lt__, "ON": date.__eq__}[key]
                return lambda place, entry: bool(compare(entry.received_at.date(), day))
            case "MODSEQ":
                return lambda place, entry: entry.modseq >= int(value)
            case "HEADER":
                text = text_of(tokens.pop(0)) if tokens else ""
                return lambda place, entry: self._header_has(entry, value, text)
            case "FROM" | "TO" | "CC" | "BCC" | "SUBJECT":
                return lambda place, entry: self._header_has(entry, key, value)
            case "TEXT" | "BODY":
                wanted = value.encode().lower()
                return lambda place, entry: wanted in self._section(entry, "").lower()
        raise Bad(f"{key} is not known")

    def _header_has(self, entry: Entry, name: str, text: str) -> bool:
        fields = BytesHeaderParser().parsebytes(self._section(entry, "HEADER"))
        return any(text.lower() in str(value).lower() for value in fields.get_all(name, []))


Criterion = Callable[[int, Entry], bool]
FLAG_KEYS = {name.upper().removeprefix("\\"): name for name in SYSTEM_FLAGS.split()}


def tokenize(pieces: Sequence[bytes]) -> Iterator[Token]:
    """Atoms and quoted strings as `str`, literals as `bytes`, parentheses as lists.

    `pieces`: text, literal, text, literal, ... as they came. An atom may hold brackets with blanks
    and parentheses inside, such as BODY[HEADER.FIELDS (DATE)].
    """
    stack: list[list[Token]] = [[]]
    for number, piece in enumerate(pieces):
        if number % 2:
            stack[-1].append(piece)
            continue
        text = piece.decode("utf-8", "surrogateescape")
        place = 0
        while place < len(text):
            char = text[place]
            if char == " ":
                place += 1
            elif char == "(":
                stack.append([])
                place += 1
            elif char == ")":
                place += 1
                if len(stack) > 1:
                    closed = stack.pop()
                    stack[-1].append(closed)
            elif char == '"':
                found = re.compile(r'"((?:[^"\\]|\\.)*)"?').match(text, place)
                if found is None:
                    return
                stack[-1].append(re.sub(r"\\(.)", r"\1", found[1]))
                place = found.end()
            else:
                start, depth = place, 0
                while place < len(text) and (depth or text[place] not in " ()"):
                    depth += (text[place] == "[") - (text[place] == "]" and depth > 0)
                    place += 1
                stack[-1].append(text[start:place])
    while len(stack) > 1:
        closed = stack.pop()
        stack[-1].append(closed)
    yield from stack[0]


def spell(tokens: Iterable[Token]) -> str:
    """For faults to be matched with."""
    return " ".join(
        f"({spell(token)})" if isinstance(token, list) else text_of(token) for token in tokens
    )


def text_of(token: Token) -> str:
    if isinstance(token, list):
        raise Bad("A list where text was expected")
    return token.decode("utf-8", "surrogateescape") if isinstance(token, bytes) else token


def quoted(name: str) -> str:
    return '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'


def parse_set(text: str, highest: int) -> list[tuple[int, int]]:
    ranges = []
    for part in text.split(","):
        low, _, high = part.partition(":")
        try:
            ends = [highest if end == "*" else int(end) for end in (low, high or low)]
        except ValueError:
            raise Bad(f"{part} is no number") from None
        ranges.append((min(ends), max(ends)))
    return ranges


def spell_time(moment: datetime) -> str:
    moment = moment.astimezone(UTC)
    return f"{moment.day:02d}-{MONTHS[moment.month - 1]}-{moment:%Y %H:%M:%S} +0000"


def parse_time(text: str) -> datetime:
    try:
        return datetime.strptime(text.strip(), "%d-%b-%Y %H:%M:%S %z")
    except ValueError:
        raise Bad(f"{text} is no date") from None


def parse_day(text: str) -> date:
    try:
        day, month, year = text.split("-")
        return date(int(year), MONTHS.index(month.title()) + 1, int(day))
    except ValueError:
        raise Bad(f"{text} is no day") from None


def split_header(mime: bytes) -> tuple[bytes, bytes]:
    """The header with its empty line, and the rest."""
    ends = [(mime.find(gap), len(gap)) for gap in (b"\r\n\r\n", b"\n\n")]
    found = min(((at, length) for at, length in ends if at >= 0), default=None)
    if found is None:
        return mime, b""
    end = sum(found)
    return mime[:end], mime[end:]


def pick_fields(header: bytes, names: set[bytes], others: bool) -> bytes:
    """The header fields with (or, `others`, without) these names, folded lines included."""
    kept, keep = [], False
    for line in header.splitlines(keepends=True):
        if not line.strip():
            break
        if not line.startswith((b" ", b"\t")):
            keep = (line.split(b":")[0].strip().lower() in names) != others
        if keep:
            kept.append(line)
    return b"".join(kept) + b"\r\n"
