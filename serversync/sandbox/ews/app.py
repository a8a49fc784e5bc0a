"""The web application: who asks, what for, and everything that may go wrong on the way.

1. read the body, sign in                     401 and the like
2. read the envelope: schema, operation       SOAP fault
3. a fault may strike                         whatever it says
4. whom the request acts for                  SOAP fault
5. the operation                              its answer

What happens on the connection itself is told to the server through `Reply.afterwards`.
"""

import errno
import threading
import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from serversync.sandbox.ews import (  # noqa: F401  the modules of operations enter themselves
    attachments,
    autodiscover,
    configuration,
    delegates,
    directory,
    find,
    folders,
    items,
    notifications,
    rights,
    sending,
    soap,
    sync,
    updating,
    versions,
)
from serversync.sandbox.ews.authentication import Challenge, Gate, Principal
from serversync.sandbox.ews.call import OPERATIONS, Call, Operation, Planned, is_known
from serversync.sandbox.ews.faults import PROTOCOL, told
from serversync.sandbox.ews.site import Request, Site
from serversync.sandbox.ews.soap import Element, Refusal, S, SoapFault, T
from serversync.sandbox.faults import NOISE, Fault, Kind

ENDPOINTS = ("/ews/exchange.asmx", "/ews/")
SIGN_IN = "sign-in"
LARGE_BODY = 64 * 1024
FOREIGN_ANSWER = b"HTTP/1.1 500 Internal Server Error\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nagain"

Environ = Mapping[str, Any]
Headers = list[tuple[str, str]]


class Dropped(ConnectionResetError):
    """The server closes the connection and says nothing."""

    def __init__(self) -> None:
        super().__init__(errno.ECONNRESET, "dropped on request")


@dataclass
class Reply:
    """`extra`: raw bytes behind the response; `closes`: the connection ends after it, unannounced;
    `breaks_off`: after half of the body."""

    status: int
    body: bytes | Iterator[bytes] = b""
    headers: Headers = field(default_factory=list)
    content_type: str = soap.CONTENT_TYPE
    operation: str = ""
    account: str = ""
    extra: bytes = b""
    closes: bool = False
    breaks_off: bool = False


class Application:
    """WSGI. `gate` says who signs in."""

    def __init__(self, site: Site, gate: Gate) -> None:
        self.site = site
        self.gate = gate
        self._lock = threading.Lock()
        self._running: Counter[str] = Counter()

    def __call__(self, environ: Environ, start_response: Callable[..., object]) -> Iterable[bytes]:
        data = _body(environ)
        reply = self._reply(environ, data)
        if len(data) > LARGE_BODY and self.site.quirks.closes_after_large_body:
            reply.closes = True
        size = len(reply.body) if isinstance(reply.body, bytes) else 0
        if reply.operation:
            self.site.requests.append(
                Request(reply.operation, reply.account, len(data), size, reply.status)
            )
        headers = [("Content-Type", reply.content_type), *reply.headers]
        if isinstance(reply.body, bytes):
            headers.append(("Content-Length", str(size)))
        start_response(f"{reply.status} {HTTPStatus(reply.status).phrase}", headers)
        return Sent(reply, environ.get("sandbox.request"))

    def _reply(self, environ: Environ, data: bytes) -> Reply:
        path = str(environ.get("PATH_INFO", "")).lower()
        if path.startswith("/autodiscover/"):
            return self._autodiscover(environ, data)
        if path not in ENDPOINTS:
            return page(404, "Not found")
        if environ["wsgi.url_scheme"] != "https" and not self.site.allow_plain_login:
            return page(403, "Forbidden: TLS is required")
        admitted = self._admit(environ)
        if isinstance(admitted, Challenge):
            return Reply(admitted.status, headers=list(admitted.headers), operation=SIGN_IN)
        if environ["REQUEST_METHOD"] != "POST":
            return page(200, "Exchange Web Services", headers=list(admitted.headers))
        reply = self._serve(environ, data, admitted)
        reply.account = admitted.address
        reply.headers += admitted.headers
        return reply

    def _admit(self, environ: Environ) -> Principal | Challenge:
        connection = f"{environ.get('REMOTE_ADDR')}:{environ.get('REMOTE_PORT')}"
        return self.gate.admit(environ, connection)

    def _autodiscover(self, environ: Environ, data: bytes) -> Reply:
        told = autodiscover.public(environ, data, self.site)
        headers: Headers = []
        if told is None:
            admitted = self._admit(environ)
            if isinstance(admitted, Challenge):
                return Reply(admitted.status, headers=list(admitted.headers), operation=SIGN_IN)
            headers += admitted.headers
            told = autodiscover.respond(environ, data, self.site)
        return Reply(
            told.status, told.body, [*told.headers, *headers], told.content_type, "autodiscover"
        )

    # -- one request

    def _serve(self, environ: Environ, data: bytes, principal: Principal) -> Reply:
        operation = ""
        try:
            root = soap.parse(data)
            request = _first(root)
            operation = soap.local(request)
            schema = _schema(self.site, root)
            fault = self.site.faults.strike(
                PROTOCOL,
                principal.address,
                operation,
                data[:LARGE_BODY].decode("utf-8", "replace"),
                0,
            )
            return self._struck(fault, operation, lambda planned: self._act(
                environ, principal, root, request, schema, planned
            ))  # fmt: skip
        except SoapFault as refusal:
            return self._faulted(refusal, operation)

    def _faulted(self, refusal: SoapFault, operation: str) -> Reply:
        body = soap.envelope(soap.fault(refusal), self._release())
        extra = FOREIGN_ANSWER if self.site.quirks.second_answer_after_fault else b""
        return Reply(500, body, operation=operation or "unknown", extra=extra)

    def _release(self) -> versions.Release | None:
        return None if self.site.quirks.no_version_header else self.site.release

    def _struck(
        self, fault: Fault | None, operation: str, act: Callable[[Planned | None], Reply]
    ) -> Reply:
        """Act, or do what a fault wants instead."""
        if fault is None:
            return act(None)
        match fault.kind:
            case Kind.HANG:
                self.site.stopping.wait(600)
                raise Dropped
            case Kind.DROP:
                self._note(operation)
                raise Dropped
            case Kind.DROP_AFTER:
                act(None)
                self._note(operation)
                raise Dropped
            case Kind.TRUNCATE:
                reply = act(None)
                reply.breaks_off = True
                return reply
            case Kind.GARBAGE:
                return Reply(200, NOISE, operation=operation)
            case Kind.SLOW:
                self.site.stopping.wait(float(fault.argument or 1))
                return act(None)
        name, values = told(fault)
        if fault.kind is Kind.STATUS:
            reply = page(int(name), HTTPStatus(int(name)).phrase, headers=list(values.items()))
            reply.operation = operation
            return reply
        if fault.kind is Kind.REFUSE:
            position = values.pop("position", None)
            return act(
                Planned(Refusal(name, values=values), None if position is None else int(position))
            )
        raise SoapFault(name, values=values)

    def _note(self, operation: str) -> None:
        self.site.requests.append(Request(operation, "", 0, 0, 0))

    def _act(
        self,
        environ: Environ,
        principal: Principal,
        root: Element,
        request: Element,
        schema: str,
        planned: Planned | None,
    ) -> Reply:
        operation = soap.local(request)
        actor, address = rights.acting(self.site.store, principal, root.find(f"{S}Header"))
        call = Call(
            site=self.site,
            principal=principal,
            actor=actor,
            actor_address=address,
            schema=schema,
            operation=operation.removesuffix("Request"),
            request=request,
            environ=environ,
            planned=planned,
        )
        self._require_operation(call, operation)
        with _Turn(self, address):
            made = _answered(call, OPERATIONS[operation])
        release = self._release()
        if isinstance(made, Iterator):
            documents = (soap.envelope(document, release) for document in made)
            return Reply(200, documents, operation=operation)
        return Reply(200, soap.envelope(made, release), operation=operation)

    def _require_operation(self, call: Call, operation: str) -> None:
        if operation in self.site.quirks.missing_operations:
            raise SoapFault("ErrorInvalidOperation", f"{operation} is not supported.")
        if not is_known(operation, call.schema):
            raise soap.schema(
                f"The element 'Body' has invalid child element '{operation}'.", call.request
            )
        updating.require_attribute_version(call)


def _answered(call: Call, act: Operation) -> Element | Iterator[Element]:
    """What is refused before the request was taken apart is refused once."""
    try:
        return act(call)
    except Refusal as refusal:
        return soap.answer(call.operation, [soap.refused(call.operation, refusal)])
    except SoapFault:
        raise
    except Exception as error:  # a mistake of ours; clients meet it as one of the server's
        traceback.print_exc()
        text = "An internal server error occurred. The operation failed."
        raise SoapFault("ErrorInternalServerError", text) from error


class _Turn:
    """One of the requests that an account may have running at the same time. Raises SoapFault."""

    def __init__(self, application: Application, address: str) -> None:
        self.application = application
        self.address = address

    def __enter__(self) -> None:
        limit = self.application.site.quirks.concurrent_request_limit
        with self.application._lock:
            if limit is not None and self.application._running[self.address] >= limit:
                raise SoapFault(
                    "ErrorExceededConnectionCount", "Too many requests at the same time."
                )
            self.application._running[self.address] += 1

    def __exit__(self, *_: object) -> None:
        with self.application._lock:
            self.application._running[self.address] -= 1


class Sent:
    """The body on its way; what is to happen on the connection afterwards happens at `close`."""

    def __init__(self, reply: Reply, request: Any) -> None:
        self.reply = reply
        self.request = request

    def __iter__(self) -> Iterator[bytes]:
        body = self.reply.body
        if not isinstance(body, bytes):
            yield from self._streamed(body)
        elif self.reply.breaks_off:
            yield body[: max(1, len(body) // 2)]
            raise Dropped
        else:
            yield body

    def _streamed(self, documents: Iterator[bytes]) -> Iterator[bytes]:
        """A stream keeps its thread for half an hour, so the others get one more meanwhile."""
        threads = self.request.server.requests if self.request is not None else None
        if threads is not None:
            threads.grow(1)
        try:
            yield from documents
        finally:
            if threads is not None:
                threads.shrink(1)

    def close(self) -> None:
        if self.request is None:
            return
        if self.reply.extra:
            self.request.conn.wfile.write(self.reply.extra)
        if self.reply.closes:
            self.request.close_connection = True


def page(status: int, text: str, headers: Headers | None = None) -> Reply:
    body = f"<html><body><h1>{text}</h1></body></html>".encode()
    return Reply(status, body, headers=headers or [], content_type="text/html; charset=utf-8")


def _body(environ: Environ) -> bytes:
    if environ.get("wsgi.input_terminated"):
        return bytes(environ["wsgi.input"].read())
    return bytes(environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0)))


def _first(root: Element) -> Element:
    body = root.find(f"{S}Body")
    inside = soap.children(body)
    if body is None or not inside:
        raise soap.schema("The body of the envelope is empty.", root)
    return inside[0]


def _schema(site: Site, root: Element) -> str:
    """The schema that a request asks for. Raises SoapFault if this release doesn't have it."""
    header = root.find(f"{S}Header/{T}RequestServerVersion")
    schema = versions.UNNAMED_SCHEMA if header is None else header.get("Version", "")
    if not site.release.knows(schema):
        raise SoapFault(
            "ErrorInvalidServerVersion", f"This server doesn't know the schema {schema!r}."
        )
    return schema
