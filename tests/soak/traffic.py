"""New mail, steadily, and when it can be seen. Two threads, each with what is its own."""

import threading
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from random import Random
from time import sleep

from django.db import close_old_connections

from activities.models import Email
from tests.soak.records import Delivery
from tests.soak.servers import DOMAIN, Server

LOOK_SECONDS = 0.5
TO_SEVERAL = 0.1  # of all messages
SEVERAL = 3
LONGEST = 8_000  # octets of a body
WORDS = "The parts leave on Thursday and the rest follows as soon as it is here. "

Box = tuple[str, str]


class Traffic(threading.Thread):
    """Delivers `rate` messages a second to random mailboxes whose server is up."""

    def __init__(
        self,
        servers: Mapping[str, Server],
        boxes: Mapping[str, Sequence[str]],
        rate: float,
        seconds: float,
        dice: Random,
        now: Callable[[], float],
    ) -> None:
        super().__init__(name="traffic", daemon=True)
        self.deliveries: list[Delivery] = []
        self.error: Exception | None = None
        self._servers = servers
        self._boxes = [(protocol, box) for protocol, all_ in boxes.items() for box in all_]
        self._rate = rate
        self._seconds = seconds
        self._dice = dice
        self._now = now

    def run(self) -> None:
        try:
            while (now := self._now()) < self._seconds:
                due = len(self.deliveries) / self._rate
                if due > now:
                    sleep(min(due - now, 0.2))
                else:
                    self._deliver(now)
        except Exception as error:  # noqa: BLE001 - told by whoever waits for the thread
            self.error = error

    def _deliver(self, now: float) -> None:
        several = SEVERAL if self._dice.random() < TO_SEVERAL else 1
        up = [box for box in self._dice.sample(self._boxes, several * 4) if self._is_up(box)]
        boxes = tuple(up[:several])
        if not boxes:
            return
        number = len(self.deliveries)
        delivery = Delivery(f"soak-{number}@customer.example", now, boxes)
        mime = message(delivery, number, self._dice.randrange(LONGEST))
        taken = tuple(box for box in boxes if self._put(box, mime))
        if taken:  # else every server went down meanwhile, and nobody has it
            delivery.boxes = taken
            self.deliveries.append(delivery)

    def _is_up(self, box: Box) -> bool:
        return self._servers[box[0]].is_up

    def _put(self, box: Box, mime: bytes) -> bool:
        try:
            self._servers[box[0]].deliver(box[1], mime)
        except OSError:
            return False
        return True


def message(delivery: Delivery, number: int, size: int) -> bytes:
    made = EmailMessage(policy=SMTP)
    made["From"] = "Cleo <cleo@customer.example>"
    made["To"] = ", ".join(address for _protocol, address in delivery.boxes)
    made["Subject"] = f"Delivery {number}"
    made["Date"] = format_datetime(datetime.now(UTC))
    made["Message-ID"] = f"<{delivery.message_id}>"
    made["X-Mailer"] = DOMAIN
    made.set_content(WORDS * (size // len(WORDS) + 1) + "\n")
    return bytes(made)


class Sight(threading.Thread):
    """Notes when the email of each delivery can be read out of the database."""

    def __init__(self, traffic: Traffic, now: Callable[[], float]) -> None:
        super().__init__(name="sight", daemon=True)
        self.stopping = threading.Event()
        self.error: Exception | None = None
        self._traffic = traffic
        self._now = now
        self._waiting: dict[str, Delivery] = {}
        self._known = 0

    @property
    def is_clear(self) -> bool:
        """Nothing that was delivered is still to be seen."""
        return self._known == len(self._traffic.deliveries) and not self._waiting

    def run(self) -> None:
        while not self.stopping.wait(LOOK_SECONDS):
            try:
                self._look()
            except Exception as error:  # noqa: BLE001 - told by whoever waits for the thread
                self.error = error
                return

    def _look(self) -> None:
        fresh = self._traffic.deliveries[self._known :]
        self._known += len(fresh)
        self._waiting |= {each.message_id: each for each in fresh}
        if not self._waiting:
            return
        close_old_connections()
        emails = Email.objects.filter(message_id__in=list(self._waiting), activity__isnull=False)
        visible = list(emails.values_list("message_id", flat=True))
        now = self._now()
        for message_id in visible:
            if delivery := self._waiting.pop(message_id, None):
                delivery.seen_at = now
