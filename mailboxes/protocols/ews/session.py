"""What exchangelib takes for a session and a protocol: its requests go over our channel, and nothing of
one account stays in the process when it is left.

exchangelib keeps one protocol per endpoint and credentials for good, failures and old passwords included,
and holds trust and time-outs in class attributes. Here each access has a protocol of its own that no cache
knows, and exchangelib never learns a password.
"""

import logging
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Any, NamedTuple

from exchangelib import UTC, Account, Configuration, Version
from exchangelib.credentials import DELEGATE, IMPERSONATION, BaseCredentials
from exchangelib.protocol import CachingProtocol, FailFast, Protocol
from exchangelib.transport import NOAUTH

from mailboxes.protocols.errors import ServerError
from mailboxes.protocols.ews.faults import Broken
from mailboxes.protocols.ews.settings import Access
from mailboxes.protocols.ews.transport import Answer, Request

Ask = Callable[[Request], Answer]

# Operations that change nothing, so that asking twice does no harm.
READING = re.compile(
    rb"<(?:[\w.-]+:)?Body[^>]*>\s*<(?:[\w.-]+:)?(?:Get|Find|Sync|Resolve|Convert|Expand)[A-Za-z]+"
)


def only_reads(body: bytes) -> bool:
    return READING.search(body[:8192]) is not None


class _Nothing(logging.Filter):
    """exchangelib writes requests, with headers and message bodies, into these two."""

    def filter(self, _record: logging.LogRecord) -> bool:
        return False


for _name in ("exchangelib.util", "exchangelib.util.xml"):
    logging.getLogger(_name).addFilter(_Nothing())


class Cookie(NamedTuple):
    name: str
    value: str


class _Sent:
    """The request as exchangelib wants to log it: without what it held."""

    headers: Mapping[str, str] = {}


class Response:
    """An answer in the words of requests, as far as exchangelib uses them."""

    request = _Sent()
    history: tuple[()] = ()

    def __init__(self, answer: Answer) -> None:
        self.status_code = answer.status
        self.headers = answer.headers
        self.content = answer.content
        self.url = answer.place.name

    @property
    def text(self) -> str:
        return self.content.decode("utf-8", "replace")

    def iter_content(self, *_: Any, **__: Any) -> bytes:
        """All at once, which exchangelib takes as well as pieces."""
        return self.content

    def close(self) -> None:
        """The answer has been read whole."""


class Session:
    """Posts what exchangelib writes. What goes wrong is raised as Broken, which it passes on."""

    auth = None
    session_id = 0
    usage_count = 0

    def __init__(self, ask: Ask, drop: Callable[[], None], cookies: Mapping[str, str]) -> None:
        self._ask = ask
        self._drop = drop
        self._cookies = cookies

    def post(self, *, headers: Mapping[str, str] | None, data: bytes, **_: Any) -> Response:
        """`url`, `timeout` and the rest are the channel's."""
        request = Request(body=data, headers=headers or {}, repeat=only_reads(data))
        try:
            return Response(self._ask(request))
        except ServerError as fault:
            raise Broken(fault) from None

    def get_adapter(self, _url: str) -> None:
        """For the log."""

    @property
    def cookies(self) -> Iterator[Cookie]:
        return (Cookie(name, value) for name, value in self._cookies.items())

    def close(self) -> None:
        self._drop()


class _Uncached(CachingProtocol):  # type: ignore[misc]  # exchangelib has no types
    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        return type.__call__(cls, *args, **kwargs)


class OwnProtocol(Protocol, metaclass=_Uncached):  # type: ignore[misc]
    """One access's. It guesses neither versions nor ways to authenticate."""

    RETRY_WAIT = 0  # what exchangelib would make up as a back-off where the server named none

    def __init__(self, config: Configuration, make_session: Callable[[], Session]) -> None:
        super().__init__(config=config)
        self._make_session = make_session

    def create_session(self) -> Session:
        return self._make_session()

    def close_session(self, session: Session) -> None:
        session.close()


class _Someone(BaseCredentials):  # type: ignore[misc]
    """Stands for whoever the channel logs in. Equal to nobody else, so that no cache confuses two."""

    def __eq__(self, other: object) -> bool:
        return self is other

    def __hash__(self) -> int:
        return id(self)


def account_over(
    make_session: Callable[[], Session],
    *,
    url: str,
    address: str,
    access: Access,
    version: Version,
    max_connections: int = 1,
) -> Account:
    """An account whose requests go through sessions made by `make_session`. Sends nothing."""
    config = Configuration(
        credentials=_Someone(),
        service_endpoint=url,
        auth_type=NOAUTH,
        version=version,
        retry_policy=FailFast(),
        max_connections=max_connections,
    )
    try:
        account = Account(
            primary_smtp_address=address,
            access_type=IMPERSONATION if access is Access.IMPERSONATION else DELEGATE,
            autodiscover=False,
            config=config,
            default_timezone=UTC,
        )
    finally:
        # The account made a protocol of exchangelib's own, which would stay in its cache for good.
        with suppress(KeyError):
            del Protocol[config]
    account.protocol = OwnProtocol(config, make_session)
    return account
