"""Looks at many mailboxes at once, each in a thread of its own, to see whether anything is new.

The threads talk to servers and touch nothing else: no models, no settings, no database. What they need is
put together before, what they found is read from a queue after.
"""

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from time import monotonic
from typing import Any

from mailboxes.protocols.base import Glance, IncomingServer


@dataclass(slots=True, eq=False)
class Look:
    """At one mailbox. Once it is done, exactly one of `glance` and `error` is set.

    `given_up`: nobody waits for it any more, so its thread closes the connection when it comes back.
    The connection of a look that found something new is left open for whoever asked.
    """

    about: Any
    server: IncomingServer
    cursors: Mapping[str, str]
    began: float = field(default_factory=monotonic)
    ended: float = 0.0
    glance: Glance | None = None
    error: Exception | None = None
    given_up: bool = False

    @property
    def is_unchanged(self) -> bool:
        return self.glance is not None and self.glance.unchanged

    @property
    def milliseconds(self) -> int:
        return int(((self.ended or monotonic()) - self.began) * 1000)

    def run(self) -> None:
        try:
            self.glance = self.server.glance(self.cursors)
        except Exception as error:  # noqa: BLE001 - it is told, by whoever asked
            self.error = error
        if self.error is not None or self.is_unchanged:
            self.server.close()
        self.ended = monotonic()


class Looking:
    """At most `most` mailboxes at a time; for one thread that asks."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.pending: set[Look] = set()
        self._done: SimpleQueue[Look] = SimpleQueue()

    @property
    def room(self) -> int:
        return max(0, self.most - len(self.pending))

    def begin(self, look: Look) -> None:
        self.pending.add(look)
        # No pool: whatever hangs then keeps nobody waiting, and the process may end without it.
        threading.Thread(target=self._run, args=[look], name="glance", daemon=True).start()

    def next(self, seconds: float) -> Look | None:
        """One that is done, waited for at most so long."""
        while self.pending:
            try:
                look = (
                    self._done.get(timeout=max(0.0, seconds))
                    if seconds > 0
                    else self._done.get_nowait()
                )
            except Empty:
                return None
            if look in self.pending:
                self.pending.discard(look)
                return look
        return None

    def overdue(self, seconds: float) -> list[Look]:
        """Those that take longer than that; they are given up."""
        late = [look for look in self.pending if monotonic() - look.began > seconds]
        for look in late:
            self.give_up(look)
        return late

    def give_up(self, look: Look) -> None:
        look.given_up = True
        self.pending.discard(look)

    def _run(self, look: Look) -> None:
        look.run()
        if look.given_up:
            look.server.close()
        else:
            self._done.put(look)
