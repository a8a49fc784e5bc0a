"""SMTP submission (RFC 5321, 6409) with STARTTLS, AUTH, SIZE, 8BITMIME, SMTPUTF8, PIPELINING, DSN and
LIMITS.

Spoken by hand: the point of no return must lie exactly before the final dot, replies must be told
apart from lost connections and time-outs, and commands go out in groups; smtplib hides all three.

A message takes one of these ways:

    MAIL, RCPTs, DATA ── refused ── RSET ── MessageRefused, MessageDeferred, MessageTooLarge
         │
      content  ──────── server speaks or hangs up ── the error, and nothing has left
         │
     hand_over()
         │
    final dot ──── 250 ── Sent
                   4xx, 5xx ── one of errors.REFUSALS: it did not take the message
                   no answer ── SocketTimedOut or ConnectionLost: nobody knows

One message is one transaction. Recipients beyond the number that the server takes in one are left for
the caller's next attempt (RecipientResult.left_over): a second transaction behind the same hand-over
would have an outcome of its own, and a kill between the two would leave nobody knowing who got it.
"""

import base64
import hmac
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NoReturn, Self

from mailboxes.protocols import sasl
from mailboxes.protocols.base import (
    AdapterOptions,
    Bearer,
    ConnectionSettings,
    Credentials,
    Envelope,
    RecipientResult,
    Security,
    Sent,
)
from mailboxes.protocols.errors import (
    AccountDisabled,
    ConnectionForbidden,
    ConnectionLost,
    MessageDeferred,
    MessageError,
    MessageRefused,
    MessageTooLarge,
    OutgoingLoginRefused,
    SecureConnectionFailed,
    SendAsDenied,
    SendingTooFast,
    ServerBusy,
    ServerError,
    SmtpSyntax,
    SubmissionQuotaExceeded,
    TransientError,
    UnexpectedReply,
)
from mailboxes.protocols.faultkinds import FaultKind
from mailboxes.protocols.judging import (
    BEYOND_MESSAGE,
    LIMITS,
    Meaning,
    Step,
    counts_recipients,
    judge,
)
from mailboxes.protocols.line import Line, has_controls
from mailboxes.protocols.phases import Phase, watched

PIPELINED_COMMANDS = 100  # small enough that neither side fills its buffers while both only write
MOST_REPLY_LINES = 200  # one reply; EHLO has some twenty

FOREIGN_GREETING = re.compile(rb"\* |\+OK|-ERR|SSH-|HTTP/|<", re.IGNORECASE)
# 452 4.5.3, or of old 552: this many and no more in one transaction. Not what is said of a rate.
TOO_MANY = re.compile(
    r"[45]\d\d (?:[45]\.5\.3\b|(?!.*\b(?:hour|day|minute|from|in a)\b).*too many recipients)",
    re.IGNORECASE | re.DOTALL,
)
BARE_LINE_END = re.compile(rb"\r\n|\r|\n")
BRACKETED_ID = re.compile(r"<([^<>\s@]{1,200}@[^<>\s@]{1,100})>")
SES_HOST = re.compile(r"email-smtp(?:-fips)?\.([a-z0-9-]+)\.amazonaws\.com")
SES_ID = re.compile(r"Ok ([0-9A-Za-z-]{20,100})$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Reply:
    code: int
    text: str

    def __str__(self) -> str:
        return f"{self.code} {self.text}"

    @property
    def positive(self) -> bool:
        """Done. What only asks for more (3xx) is awaited where it belongs, and is a fault elsewhere."""
        return 200 <= self.code < 300

    @property
    def negative(self) -> bool:
        return self.code >= 400

    @property
    def permanent(self) -> bool:
        return self.code >= 500

    def meaning(self, step: Step) -> Meaning:
        return judge(self.code, self.text, step)


class SmtpServer:
    """OutgoingServer over SMTP. Constructed unconnected."""

    protocol = "smtp"

    def __init__(self, settings: ConnectionSettings, options: AdapterOptions | None = None) -> None:
        self.settings = settings
        self.options = options or AdapterOptions()
        self._line = Line(settings)
        self._extensions: dict[str, list[str]] = {}
        self._tokens: sasl.Tokens | None = None
        self._fresh = True  # nothing was sent over this connection yet
        self.told: tuple[RecipientResult, ...] = ()

    def __repr__(self) -> str:
        return f"<SmtpServer {self.settings.host}:{self.settings.port}>"

    # -- the contract ------------------------------------------------------------------------------

    @property
    def size_limit(self) -> int:
        return size_limit(self._extensions.get("SIZE", []))

    def open(self) -> Self:
        if self._line.usable:
            return self
        watcher = self.options.watcher
        self._line = Line(self.settings, watcher)
        self._extensions = {}
        self._fresh = True
        try:
            self._tokens = sasl.fetched(self.settings, watcher)
            self._line.connect()
            with watched(watcher, Phase.GREET):
                self._greet()
            if self.settings.security is Security.STARTTLS:
                with watched(watcher, Phase.TLS):
                    self._start_tls()
            with watched(watcher, Phase.LOGIN):
                self._introduce()
                self._log_in()
        except BaseException:
            self._line.close()
            raise
        return self

    def send(self, envelope: Envelope, hand_over: Callable[[], None]) -> Sent:
        self.open()
        try:
            with watched(self.options.watcher, Phase.SEND):
                content = canonical(envelope.mime)
                self.told = results = self._begin_message(envelope, content)
                self._send_content(content)
        except ServerError:
            self._reset()
            raise
        try:
            hand_over()
        except BaseException:
            self._line.close()  # without the dot the server throws the content away
            raise
        with watched(self.options.watcher, Phase.SEND):
            self._line.send(b".\r\n")
            reply = self._answer("a message")
            self._fresh = False
            if not reply.positive:
                raise refusal(reply, results)
            used = id_used(reply.text, envelope, self.settings.host)
            return Sent(str(reply), results, server_message_id=used)

    def find_sent(self, message_id: str) -> bool | None:
        return None

    def close(self) -> None:
        if not self._line.usable:
            return
        self._line.hurry()
        try:
            self._command("QUIT")
        except ServerError:
            pass
        finally:
            self._line.close()

    # -- opening -----------------------------------------------------------------------------------

    def _greet(self) -> None:
        self._line.await_greeting()
        first = self._line.read_line()
        if FOREIGN_GREETING.match(first):
            raise SmtpSyntax(f"this is no SMTP server; it says: {self._line.said(first)}")
        reply = self._rest_of_reply(first)
        if reply.code == 421 or 400 <= reply.code < 500:
            raise ServerBusy(str(reply))
        if reply.permanent:
            raise ConnectionForbidden(f"the server refuses the connection: {reply}")
        if reply.code != 220:
            raise SmtpSyntax(f"not an SMTP greeting: {reply}")

    def _introduce(self) -> None:
        reply = self._command(f"EHLO {self.settings.local_hostname}")
        if reply.permanent:  # RFC 5321, 3.2: an old server
            reply = self._command(f"HELO {self.settings.local_hostname}")
            reply = Reply(reply.code, "")
        if reply.code in (500, 502):
            raise SmtpSyntax(f"the server does not know EHLO or HELO: {reply}")
        if reply.permanent:
            raise ConnectionForbidden(f"the server does not accept our name: {reply}")
        if not reply.positive:
            raise ServerBusy(str(reply))
        self._extensions = parse_extensions(reply.text)

    def _start_tls(self) -> None:
        """What the server offers before TLS counts for nothing afterwards (RFC 3207, section 4.2),
        so STARTTLS is simply tried after the EHLO that the protocol demands."""
        self._introduce()
        reply = self._command("STARTTLS")
        if 400 <= reply.code < 500:
            raise TransientError(f"the server can't start TLS now: {reply}")
        if reply.code != 220:
            raise SecureConnectionFailed(
                f"the server does not offer STARTTLS: {reply}", fault=FaultKind.STARTTLS_MISSING
            )
        self._line.start_tls()

    def _log_in(self) -> None:
        credentials = self.settings.credentials
        if isinstance(credentials, Bearer):
            self._log_in_by_token(credentials)
        elif credentials is not None:
            self._log_in_by_password(credentials)

    def _log_in_by_token(self, bearer: Bearer) -> None:
        mechanism = sasl.choose(self._extensions.get("AUTH", []))
        assert self._tokens is not None

        def attempt(token: str) -> str | None:
            shown = sasl.response(mechanism, bearer, token, self.settings)
            return self._show_token(mechanism, b64(shown))

        self._tokens.log_in(self._line, attempt)

    def _show_token(self, mechanism: str, shown: str) -> str | None:
        """None once logged in, else why not. With the command where its line has room for it, which
        ends at 512 octets (RFC 4954, section 4)."""
        words = ""
        command = f"AUTH {mechanism} {shown}"
        if len(command) <= 510:
            reply = self._command(command)
        else:
            reply = self._command(f"AUTH {mechanism}")
            if reply.code == 334:
                reply = self._command(shown)
        if reply.code == 334:
            words = sasl.told(reply.text.encode())
            reply = self._command(b64(sasl.consent(mechanism)))
        if reply.code == 235:
            return None
        if 400 <= reply.code < 500:
            raise ServerBusy(f"no login at present: {reply}")
        return f"{reply} {words}".strip()

    def _log_in_by_password(self, credentials: Credentials) -> None:
        """The password goes over TLS as it is; a challenge spares it the line only without TLS."""
        offered = self._extensions.get("AUTH", [])
        order = ["PLAIN", "LOGIN", "CRAM-MD5"]
        for mechanism in order if self._line.secure else reversed(order):
            if mechanism in offered:
                break
        else:
            raise no_password_login(offered)
        reply = self._authenticate(mechanism, credentials)
        if reply.code == 235:
            return
        if 400 <= reply.code < 500:
            raise ServerBusy(f"no login at present: {reply}")
        raise OutgoingLoginRefused(str(reply))

    def _authenticate(self, mechanism: str, credentials: Credentials) -> Reply:
        user, password = credentials.username.encode(), credentials.password.encode()
        if mechanism == "PLAIN":
            secret = b64(b"\0" + user + b"\0" + password)
            reply = self._command(f"AUTH PLAIN {secret}")
            return self._command(secret) if reply.code == 334 else reply
        reply = self._command(f"AUTH {mechanism}")
        if mechanism == "LOGIN":
            for answer in (user, password):
                if reply.code != 334:
                    break
                reply = self._command(b64(answer))
            return reply
        if reply.code != 334:
            return reply
        try:
            challenge = base64.b64decode(reply.text, validate=True)
        except ValueError as error:
            raise UnexpectedReply(f"not a CRAM-MD5 challenge: {reply}") from error
        digest = hmac.new(password, challenge, "md5").hexdigest().encode()
        return self._command(b64(user + b" " + digest))

    # -- one message -------------------------------------------------------------------------------

    def _begin_message(self, envelope: Envelope, content: bytes) -> tuple[RecipientResult, ...]:
        """MAIL, RCPTs and DATA, up to the server's consent to take the content."""
        self._keep_in_step()
        mail = self._mail_command(envelope, content)
        results: dict[str, RecipientResult] = {}
        commands: list[tuple[str, str]] = []
        for address in dict.fromkeys(envelope.recipients):
            try:
                command = f"RCPT TO:<{self._path(address)}>{self._receipt(envelope, address)}"
                commands.append((address, command))
            except MessageRefused as error:
                results[address] = RecipientResult(address, False, 553, error.detail, True)
        commands, beyond = self._within_limit(commands)
        results |= {address: beyond_limit(address) for address, _command in beyond}
        if not commands:
            raise MessageRefused("no recipient can be written in an SMTP command")
        first = self._first_reply(mail, [command for _, command in commands])
        if not first.positive:
            self._skip_group(len(commands))
            raise refusal(first, step=Step.SENDER)
        pipelining = "PIPELINING" in self._extensions
        window = PIPELINED_COMMANDS if pipelining else 1
        for start in range(0, len(commands), window):
            part = commands[start : start + window]
            if start or not pipelining:
                self._send([command for _, command in part] + self._data_after(start, commands))
            for address, _ in part:
                reply = self._answer("RCPT")
                results[address] = recipient_result(address, reply)
        ordered = tuple(results[address] for address in dict.fromkeys(envelope.recipients))
        self._agree_on_data(ordered)
        return ordered

    def _keep_in_step(self) -> None:
        """Whatever a server says unasked, between two messages, would be taken for the answer to the
        next command. It may say goodbye, too. Either way the next message goes over a new line."""
        if self._fresh:
            return
        try:
            spoken = self._line.has_spoken()
        except ConnectionLost:
            spoken = True
        if spoken:
            self._line.close()
            self.open()

    def _within_limit(
        self, commands: list[tuple[str, str]]
    ) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
        """What one transaction takes, where the server says so (RFC 9422), and what is left."""
        most = recipients_limit(self._extensions.get("LIMITS", [])) or len(commands)
        return commands[:most], commands[most:]

    def _receipt(self, envelope: Envelope, address: str) -> str:
        """Ask the servers on the way to tell what becomes of it (RFC 3461), where this one can."""
        if not envelope.delivery_receipt or "DSN" not in self._extensions:
            return ""
        notify = " NOTIFY=SUCCESS,DELAY,FAILURE"
        return f"{notify} ORCPT=rfc822;{xtext(address)}" if address.isascii() else notify

    def _first_reply(self, mail: str, recipients: Sequence[str]) -> Reply:
        """The reply to MAIL, sent with the first group of what follows if the server pipelines.

        A connection kept from an earlier message may have been ended by the server meanwhile: idle
        too long, or so many messages and no more. Nothing of this message has left, so a new one is
        made once.
        """
        group = [mail]
        if "PIPELINING" in self._extensions:
            group += recipients[:PIPELINED_COMMANDS]
            group += self._data_after(0, recipients)
        try:
            self._send(group)
            return self._answer("MAIL")
        except (ConnectionLost, ServerBusy):
            if self._fresh:
                raise
            self._line.close()
            self.open()
            return self._first_reply(mail, recipients)

    def _data_after(self, start: int, recipients: Sequence[object]) -> list[str]:
        """DATA joins the last group; without pipelining it waits for what the recipients get."""
        last = start + PIPELINED_COMMANDS >= len(recipients)
        return ["DATA"] if last and "PIPELINING" in self._extensions else []

    def _skip_group(self, recipients: int) -> None:
        """MAIL was refused: read what the server says to the rest of its group."""
        if "PIPELINING" not in self._extensions:
            return
        taken = [self._reply().positive for _ in range(min(recipients, PIPELINED_COMMANDS))]
        if recipients > PIPELINED_COMMANDS:
            return
        data = self._reply()
        if any(taken) and data.code == 354:
            self._line.close()  # a server so lax would deliver even the empty message to them
        else:
            self._withdraw(data)

    def _withdraw(self, data: Reply) -> None:
        """DATA was sent along but nobody may get the message. If the server agreed nevertheless, it
        gets an empty one, which it has no recipient for (RFC 2920, section 3.1)."""
        if data.code == 354:
            self._line.send(b".\r\n")
            self._reply()

    def _agree_on_data(self, results: tuple[RecipientResult, ...]) -> None:
        accepted = any(result.accepted for result in results)
        pipelining = "PIPELINING" in self._extensions
        if not accepted:
            if pipelining:
                self._withdraw(self._reply())
            raise all_refused(results)
        if not pipelining:
            self._send(["DATA"])
        reply = self._reply()
        if reply.negative:
            raise refusal(reply, results)
        if reply.code != 354:
            self._unexpected(f"a reply to DATA that is none: {reply}")

    def _send_content(self, content: bytes) -> None:
        """Everything but the final dot. A server that speaks or hangs up meanwhile has said no."""
        try:
            self._line.send(stuffed(content))
            interrupted = self._line.has_spoken()
        except ConnectionLost as error:
            if re.match(rb"[45]\d\d ", self._line.last_words):
                code, _, text = self._line.last_words.partition(b" ")
                raise refusal(Reply(int(code), self._line.said(text))) from error
            raise
        if interrupted:
            reply = self._reply()
            self._line.close()
            if not reply.negative:
                raise UnexpectedReply(f"a reply in the middle of a message: {reply}")
            raise refusal(reply)

    def _mail_command(self, envelope: Envelope, content: bytes) -> str:
        """MAIL with the parameters that this message needs, or why this server can't take it."""
        command = f"MAIL FROM:<{self._path(envelope.sender)}>"
        offers = self._extensions
        if "SIZE" in offers:
            limit = size_limit(offers["SIZE"])
            if 0 < limit < len(content):
                raise MessageTooLarge(
                    f"the message has {len(content)} octets, the server takes {limit}"
                )
            command += f" SIZE={len(content)}"
        if not content.isascii():
            if "8BITMIME" not in offers:
                raise MessageRefused(
                    "the message holds 8-bit characters and the server takes 7-bit mail only: "
                    "encode its parts as base64 or quoted-printable"
                )
            command += " BODY=8BITMIME"
        if envelope.delivery_receipt and "DSN" in offers:
            command += f" RET=HDRS ENVID={xtext(envelope.message_id.strip('<>'))[:100]}"
        return command + self._utf8(envelope, content[: content.find(b"\r\n\r\n")])

    def _utf8(self, envelope: Envelope, header: bytes) -> str:
        """SMTPUTF8 if an address or the header need it (RFC 6531)."""
        addresses = (envelope.sender, *envelope.recipients)
        beyond = [each for each in addresses if not self._is_ascii_path(each)]
        if header.isascii() and not beyond:
            return ""
        if "SMTPUTF8" in self._extensions:
            return " SMTPUTF8"
        if header.isascii():
            return ""  # each address that needs it is refused by itself
        if beyond:
            raise MessageRefused(
                f"{', '.join(beyond)}: an address with letters beyond ASCII needs a server that offers "
                "SMTPUTF8, which this one does not; nobody gets a message that names it"
            )
        raise MessageRefused(
            "the header holds characters beyond ASCII and the server does not offer "
            "SMTPUTF8: encode them as RFC 2047 says"
        )

    def _is_ascii_path(self, address: str) -> bool:
        try:
            return ascii_address(address).isascii()
        except UnicodeError:
            return False

    def _path(self, address: str) -> str:
        """The address as it goes into a command. A domain beyond ASCII has an ASCII form, which
        every server takes; a local part has none and needs SMTPUTF8."""
        if has_controls(address) or set(address) & set("<>"):
            raise MessageRefused(f"{address!r} is not an address")
        try:
            path = ascii_address(address)
        except UnicodeError as error:
            raise MessageRefused(f"{address!r} has no usable domain") from error
        if not path.isascii() and "SMTPUTF8" not in self._extensions:
            raise MessageRefused(
                f"{address!r} needs a server that offers SMTPUTF8, which this one does not"
            )
        return path

    def _reset(self) -> None:
        """Ready for the next message, or closed."""
        if not self._line.usable:
            return
        self._fresh = False
        try:
            if not self._command("RSET").positive:
                self._line.close()
        except ServerError:
            self._line.close()

    # -- commands and replies ----------------------------------------------------------------------

    def _command(self, command: str) -> Reply:
        self._send([command])
        return self._reply()

    def _send(self, commands: Sequence[str]) -> None:
        self._line.send("".join(f"{command}\r\n" for command in commands).encode())

    def _reply(self) -> Reply:
        self._line.begin()
        reply = self._rest_of_reply(self._line.read_line())
        if reply.code == 421:  # RFC 5321, 3.8: in answer to anything, and the line is gone
            self._line.close()
            raise refusal(reply)
        return reply

    def _answer(self, to: str) -> Reply:
        """Yes or no. What is neither is no answer, and whoever gives it is out of step (R5.17)."""
        reply = self._reply()
        if not (reply.positive or reply.negative):
            self._unexpected(f"a reply to {to} that is none: {reply}")
        return reply

    def _rest_of_reply(self, line: bytes) -> Reply:
        texts = []
        for _ in range(MOST_REPLY_LINES):
            code, mark, text = line[:3], line[3:4], line[4:]
            if not code.isdigit() or not b"200" <= code <= b"599" or mark not in b"- \r\n":
                self._unexpected(f"not an SMTP reply: {self._line.said(line)}")
            texts.append(self._line.said(text))
            if mark != b"-":
                return Reply(int(code), "\n".join(texts))
            line = self._line.read_line()
        self._unexpected(f"a reply of more than {MOST_REPLY_LINES} lines")

    def _unexpected(self, detail: str) -> NoReturn:
        self._line.close()
        raise UnexpectedReply(detail)


# -- judging replies (R5.15) -----------------------------------------------------------------------


def no_password_login(offered: Sequence[str]) -> ServerError:
    if not offered:
        return OutgoingLoginRefused(
            "the server offers no login on this port", fault=FaultKind.PASSWORD_LOGIN_OFF
        )
    by_token = any(each in sasl.MECHANISMS for each in offered)
    return OutgoingLoginRefused(
        f"the server only offers logins by {', '.join(offered)}",
        fault=FaultKind.TOKENS_ONLY if by_token else FaultKind.PASSWORD_LOGIN_OFF,
    )


def recipient_result(address: str, reply: Reply) -> RecipientResult:
    """A sending limit passes, whatever the code says about permanence, and so does the number of
    recipients (RFC 5321, 4.5.3.1.10)."""
    beyond = reply.negative and bool(TOO_MANY.match(str(reply)))
    permanent = reply.permanent and reply.meaning(Step.RECIPIENT) not in LIMITS and not beyond
    return RecipientResult(address, reply.positive, reply.code, reply.text, permanent, beyond)


def beyond_limit(address: str) -> RecipientResult:
    return RecipientResult(
        address, False, 452, "4.5.3 more recipients than the server takes at once", False, True
    )


def all_refused(results: tuple[RecipientResult, ...]) -> ServerError:
    """No recipient was accepted. It is final only if it is final for each of them."""
    for result in results:
        reply = Reply(result.code, result.text)
        if reply.meaning(Step.RECIPIENT) in BEYOND_MESSAGE:
            return refusal(reply, results, step=Step.RECIPIENT)
    kind = MessageRefused if all(result.permanent for result in results) else MessageDeferred
    first = results[0]
    detail = f"no recipient was accepted; {first.address}: {first.code} {first.text}"
    return with_recipients(kind(detail), results)


ERRORS: Mapping[Meaning, type[ServerError]] = {
    Meaning.TLS: SecureConnectionFailed,
    Meaning.LOGIN: OutgoingLoginRefused,
    Meaning.ACCOUNT: AccountDisabled,
    Meaning.BUSY: ServerBusy,
    Meaning.MINUTE: SendingTooFast,
    Meaning.HOUR: SendingTooFast,
    Meaning.DAY: SubmissionQuotaExceeded,
    Meaning.FULL: SubmissionQuotaExceeded,
    Meaning.TOO_LARGE: MessageTooLarge,
    Meaning.SEND_AS: SendAsDenied,
    Meaning.MESSAGE: MessageRefused,
    Meaning.LATER: MessageDeferred,
}


def refusal(
    reply: Reply, results: tuple[RecipientResult, ...] = (), *, step: Step = Step.CONTENT
) -> ServerError:
    """The error for a negative reply."""
    meaning = reply.meaning(step)
    words = f"the server demands TLS: {reply}" if meaning == Meaning.TLS else str(reply)
    error = ERRORS[meaning](words)
    if isinstance(error, SubmissionQuotaExceeded):
        error.window = meaning.value if meaning in LIMITS else ""
        error.counts_recipients = counts_recipients(reply.text)
    return with_recipients(error, results) if isinstance(error, MessageError) else error


def with_recipients(error: MessageError, results: tuple[RecipientResult, ...]) -> MessageError:
    error.recipients = results
    return error


def id_used(text: str, envelope: Envelope, host: str) -> str:
    """The Message-ID under which the message goes on, where it is not ours and the server says so
    (R5.10). Exchange names it in brackets; Amazon SES replaces every one and tells the half before the
    "@", the other being of its region."""
    ours = envelope.message_id.strip("<>")
    region = SES_HOST.fullmatch(host.strip().lower())
    if region and (told := SES_ID.match(text)):
        place = "email" if region[1] == "us-east-1" else region[1]
        return f"{told[1]}@{place}.amazonses.com"
    people = {envelope.sender.lower(), *(each.lower() for each in envelope.recipients)}
    named = [each for each in BRACKETED_ID.findall(text) if each.lower() not in people]
    return named[0] if len(named) == 1 and named[0] != ours else ""


# -- writing what servers read ---------------------------------------------------------------------


def b64(raw: bytes) -> str:
    return base64.b64encode(raw).decode("ascii")


def canonical(mime: bytes) -> bytes:
    """CRLF line ends and one at the end. A bare LF or CR is not content to every server: some take
    "LF . LF" for the end and what follows for commands."""
    if not mime.count(b"\r\n") == mime.count(b"\n") == mime.count(b"\r"):
        mime = BARE_LINE_END.sub(b"\r\n", mime)
    return mime if mime.endswith(b"\r\n") else mime + b"\r\n"


def stuffed(content: bytes) -> bytes:
    """A leading dot is doubled (RFC 5321, 4.5.2)."""
    content = content.replace(b"\r\n.", b"\r\n..")
    return b"." + content if content.startswith(b".") else content


def ascii_address(address: str) -> str:
    """With the domain in its ASCII form. Raises UnicodeError for a domain that has none."""
    local, at, domain = address.rpartition("@")
    if not at or domain.isascii():
        return address
    return f"{local}@{domain.encode('idna').decode('ascii')}"


def parse_extensions(text: str) -> dict[str, list[str]]:
    """EHLO keyword -> parameters. The first line is the server's name. "AUTH=PLAIN" is how some
    old servers write "AUTH PLAIN"."""
    extensions: dict[str, list[str]] = {}
    for line in text.upper().split("\n")[1:]:
        words = line.replace("AUTH=", "AUTH ", 1).split()
        if words:
            extensions.setdefault(words[0], []).extend(words[1:])
    return extensions


def size_limit(parameters: list[str]) -> int:
    """0: the server names none (RFC 1870, section 4)."""
    return int(parameters[0]) if parameters and parameters[0].isdecimal() else 0


def recipients_limit(parameters: list[str]) -> int:
    """RCPTMAX of LIMITS (RFC 9422); 0: the server names none."""
    for name, _, value in (each.partition("=") for each in parameters):
        if name == "RCPTMAX" and value.isdecimal():
            return int(value)
    return 0


def xtext(text: str) -> str:
    """RFC 3461, section 4."""
    return "".join(c if "!" <= c <= "~" and c not in "+=" else f"+{ord(c):02X}" for c in text)
