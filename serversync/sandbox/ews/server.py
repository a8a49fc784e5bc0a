"""The HTTP server under the application: cheroot, with the sandbox's certificate."""

import socket
import ssl
import sys
import threading
from typing import Any

from cheroot import server, wsgi
from cheroot.makefile import StreamReader, StreamWriter
from cheroot.ssl import Adapter

from serversync.sandbox.ews.app import Application

IDLE_SECONDS = 120
HANDSHAKE_SECONDS = 10
THREADS = 8


class Tls(Adapter):
    """TLS by a context that is there already."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self.context = context

    def bind(self, sock: socket.socket) -> socket.socket:
        return sock

    def wrap(self, sock: socket.socket) -> tuple[ssl.SSLSocket, dict[str, Any]]:
        """Without the handshake: this is the thread that accepts connections, and it may wait for nobody."""
        wrapped = self.context.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)
        return wrapped, self.get_environ()

    def get_environ(self) -> dict[str, Any]:
        return {"wsgi.url_scheme": "https", "HTTPS": "on"}

    def makefile(self, sock: socket.socket, mode: str = "r", bufsize: int = -1) -> Any:
        return (StreamReader if "r" in mode else StreamWriter)(sock, mode, bufsize)


class _Gateway(wsgi.Gateway_10):
    """Hands the request itself to the application, which may have plans with its connection."""

    def get_environ(self) -> Any:
        return {**super().get_environ(), "sandbox.request": self.req}  # type: ignore[no-untyped-call]


class _Connection(server.HTTPConnection):
    is_ready = False

    def close(self) -> None:
        self.server.lines.discard(self)
        self.server.wsgi_app.gate.forget(f"{self.remote_addr}:{self.remote_port}")
        super().close()

    def communicate(self) -> bool:
        self.server.lines.add(self)
        if not self.is_ready and not self._shake_hands():
            return False
        self.is_ready = True
        return bool(super().communicate())  # type: ignore[no-untyped-call]

    def _shake_hands(self) -> bool:
        if not isinstance(self.socket, ssl.SSLSocket):
            return True
        try:
            self.socket.settimeout(HANDSHAKE_SECONDS)
            self.socket.do_handshake()
            self.socket.settimeout(IDLE_SECONDS)
        except (OSError, ValueError):
            return False
        return True


class _Server(wsgi.Server):
    ConnectionClass = _Connection
    expiration_interval = 0.05  # how long stopping may take

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.gateway = _Gateway
        self.lines: set[_Connection] = set()

    def error_log(self, msg: str = "", level: int = 20, traceback: bool = False) -> None:
        """Clients that leave in the middle are nothing to tell; anything else is a mistake of ours."""
        if traceback:
            super().error_log(msg, level, traceback)
            sys.stderr.flush()


class Listener:
    """One port. `tls` None: plain HTTP."""

    def __init__(self, application: Application, tls: ssl.SSLContext | None) -> None:
        self.application = application
        self.tls = tls
        self._server: _Server | None = None
        self._thread: threading.Thread | None = None

    def start(self, host: str, port: int = 0) -> int:
        """Listen at `port`, or at any if it is taken; returns which."""
        try:
            self._server = self._prepared(host, port)
        except OSError:
            self._server = self._prepared(host, 0)
        self._thread = threading.Thread(target=self._server.serve, name="sandbox-ews", daemon=True)
        self._thread.start()
        return int(self._server.bind_addr[1])

    def _prepared(self, host: str, port: int) -> _Server:
        made = _Server(
            (host, port),
            self.application,
            numthreads=THREADS,
            timeout=IDLE_SECONDS,
            request_queue_size=128,
            shutdown_timeout=2,
        )
        made.ssl_adapter = None if self.tls is None else Tls(self.tls)
        made.prepare()
        return made

    def drop_connections(self) -> None:
        for line in list(self._server.lines) if self._server else []:
            try:
                line.socket.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue

    def stop(self) -> None:
        if self._server is None or self._thread is None:
            return
        self.drop_connections()
        self._server.stop()
        self._thread.join(5)
