"""A WSGI application over TLS on a loopback port, served by cheroot."""

import ssl
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cheroot import wsgi
from cheroot.ssl.builtin import BuiltinSSLAdapter

HOST = "127.0.0.1"
STOP_SECONDS = 5


class WebServer:
    """Listens from the start: on `port` if that is free, else on any. `pair`: certificate and key in one
    file, from which `tls` was made."""

    def __init__(
        self,
        application: Callable[..., Any],
        *,
        tls: ssl.SSLContext,
        pair: Path,
        port: int = 0,
        threads: int = 4,
        name: str = "web",
    ) -> None:
        self._server = _listening(application, tls, pair, port, threads)
        self._thread = threading.Thread(target=self._server.serve, name=name, daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        return int(self._server.bind_addr[1])

    def stop(self) -> None:
        self._server.stop()
        self._thread.join(STOP_SECONDS)


class _QuietServer(wsgi.Server):
    expiration_interval = 0.05  # how long stopping may take

    def error_log(self, msg: str = "", level: int = 20, traceback: bool = False) -> None:
        """A client that hangs up is no news here."""


def _listening(
    application: Callable[..., Any], tls: ssl.SSLContext, pair: Path, port: int, threads: int
) -> wsgi.Server:
    try:
        return _prepared(application, tls, pair, port, threads)
    except OSError:
        return _prepared(application, tls, pair, 0, threads)


def _prepared(
    application: Callable[..., Any], tls: ssl.SSLContext, pair: Path, port: int, threads: int
) -> wsgi.Server:
    server = _QuietServer((HOST, port), application, numthreads=threads)
    server.shutdown_timeout = STOP_SECONDS
    server.ssl_adapter = BuiltinSSLAdapter(str(pair), str(pair))
    server.ssl_adapter.context = tls
    server.prepare()
    return server
