"""PURE  what was done and seen in a soak. All times are seconds since the traffic began."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from tests.soak.plan import Kill, Window


@dataclass(slots=True)
class Delivery:
    """`boxes`: (protocol, address) of every mailbox that got it; `seen_at`: when its email could first be read
    out of the database."""

    message_id: str
    at: float
    boxes: tuple[tuple[str, str], ...]
    seen_at: float | None = None


@dataclass(frozen=True, slots=True)
class Sample:
    at: float
    pid: int
    megabytes: float


@dataclass(frozen=True, slots=True)
class Worker:
    """A process that held leases. `until`: when it was seen last; None: it outlived the traffic."""

    pid: int
    cluster: int
    since: float
    until: float | None


@dataclass(slots=True)
class Books:
    """What was found at the end. `emails`: message id -> how many rows; `unfinished`: items by state that are
    neither tracked nor duplicate; `differing`: address -> what is wrong with it."""

    emails: dict[str, int] = field(default_factory=dict)
    unfinished: dict[str, int] = field(default_factory=dict)
    differing: dict[str, str] = field(default_factory=dict)
    uncounted: dict[str, str] = field(default_factory=dict)
    recount_differences: int = 0
    out_of_service: dict[str, str] = field(default_factory=dict)
    leases_broken: int = 0
    cycles: int = 0


@dataclass(slots=True)
class Record:
    seed: int
    seconds: float
    mailboxes: dict[str, int]
    rate: float
    calm: bool = False
    deliveries: list[Delivery] = field(default_factory=list)
    windows: list[Window] = field(default_factory=list)
    kills: list[tuple[Kill, int]] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)
    workers: list[Worker] = field(default_factory=list)
    struck: dict[str, int] = field(default_factory=dict)
    books: Books = field(default_factory=Books)
    first_contact_seconds: float = 0.0
    settled_seconds: float = 0.0
    cycles_in_traffic: int = 0


def figures(samples: Sequence[Sample], pid: int, start: float, end: float) -> list[float]:
    return [each.megabytes for each in samples if each.pid == pid and start <= each.at < end]
