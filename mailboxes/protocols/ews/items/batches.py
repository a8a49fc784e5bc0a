"""Requests that write several things, so that each thing's outcome is known, whatever becomes of the others.

jobs that share a request, 100 at most ──> one request ──answers──> an outcome each
             │                                 └─ refused as a whole: nothing was done ──> again in halves
             └─ whose write tells somebody: one request each
once a line failed, what is left isn't sent any more
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from exchangelib import errors as codes

from mailboxes.protocols.errors import MessageError, ServerError
from mailboxes.protocols.ews.conversation import IDS_PER_REQUEST, NOT_LOOKED_AT, Conversation
from mailboxes.protocols.ews.items import outcomes
from mailboxes.protocols.ews.items.requests import DeleteItem, Once, UpdateItem
from mailboxes.protocols.ews.operations import Answer, Element, M, refusal_in
from mailboxes.protocols.items import WrittenItem
from mailboxes.protocols.phases import Phase

MOST_REFUSED_ALONE = 5  # in a row, as a whole: then it is not the items


class NotOurs(Exception):
    """The answer is about another item than the one that was asked for."""


@dataclass(frozen=True, slots=True)
class Kind:
    """What jobs share that go together. `place`: the folder of what is new; `alone`: somebody is told. Equal if
    they may share a request."""

    operation: type[Once]
    attributes: tuple[tuple[str, str], ...]
    place: str = ""
    alone: bool = False

    def wrap(self, talk: Conversation, payloads: Sequence[Element]) -> list[Element]:
        if self.operation is UpdateItem:
            return [M.ItemChanges(*payloads)]
        if self.operation is DeleteItem:
            return [M.ItemIds(*payloads)]
        place = [M.SavedItemFolderId(talk.folder(self.place))] if self.place else []
        return [*place, M.Items(*payloads)]


@dataclass(frozen=True, slots=True)
class Job:
    """One thing to write. `number`: its place in what was ordered. `payload`: made anew for each try, for an
    element has one parent. `read`: the outcome of a success; raises NotOurs."""

    number: int
    kind: Kind
    payload: Callable[[], Element]
    read: Callable[[Element], WrittenItem]


class Batches:
    """All that one order comes to. `found`: outcomes by number."""

    def __init__(self, talk: Conversation) -> None:
        self.found: dict[int, WrittenItem] = {}
        self._talk = talk
        self._wrote = False  # perhaps
        self._stopped: ServerError | None = None
        self._refused_alone = 0

    def run(self, jobs: Iterable[Job]) -> None:
        """Raises what stops the first request, if nothing was done by it."""
        for batch in self._batches(list(jobs)):
            self._try(batch)

    @contextmanager
    def asking(self, numbers: Iterable[int]) -> Iterator[None]:
        """Around questions between two writes: what stops them must not hide what was written before."""
        try:
            yield
        except ServerError as error:
            if not self._wrote:
                raise
            self._stopped = error
            self.note(numbers, outcomes.refused(error))

    def note(self, numbers: Iterable[int], outcome: WrittenItem) -> None:
        self.found |= dict.fromkeys(numbers, outcome)

    def in_order(self, count: int) -> list[WrittenItem]:
        return [self.found[number] for number in range(count)]

    def _batches(self, jobs: Sequence[Job]) -> Iterator[Sequence[Job]]:
        for kind in dict.fromkeys(job.kind for job in jobs):
            alike = [job for job in jobs if job.kind == kind]
            size = 1 if kind.alone else IDS_PER_REQUEST
            for start in range(0, len(alike), size):
                yield alike[start : start + size]

    def _try(self, batch: Sequence[Job]) -> None:
        if self._stopped is not None:
            self._note(batch, outcomes.refused(self._stopped))
            return
        try:
            answers = self._ask(batch)
        except ServerError as error:
            self._failed(batch, error)
            return
        self._wrote, self._refused_alone = True, 0
        left = self._read(batch, answers)
        if left and len(left) < len(batch):
            self._try(left)
        elif left:
            self._note(left, self._of(NOT_LOOKED_AT("nothing was looked at")))

    def _ask(self, batch: Sequence[Job]) -> list[Answer]:
        kind = batch[0].kind
        service = kind.operation(account=self._talk.access.open())
        children = kind.wrap(self._talk, [job.payload() for job in batch])
        with self._talk.access.calling(Phase.APPLY, retry=False):
            answers = service.ask(*children, **dict(kind.attributes))
        if len(answers) != len(batch):
            detail = f"{len(answers)} answers came to {len(batch)} orders"
            raise self._talk.out_of_step(Phase.APPLY, detail)
        return answers

    # -- what came of it

    def _read(self, batch: Sequence[Job], answers: Sequence[Answer]) -> list[Job]:
        """Returns those that the server didn't look at, because something before them stopped it."""
        left = []
        for job, answer in zip(batch, answers, strict=True):
            if isinstance(answer, NOT_LOOKED_AT):
                left.append(job)
            else:
                self.found[job.number] = self._outcome(job, answer)
        return left

    def _outcome(self, job: Job, answer: Answer) -> WrittenItem:
        if isinstance(answer, codes.EWSError):
            return self._of(answer)
        try:
            return job.read(answer)
        except NotOurs:
            error = self._talk.out_of_step(Phase.APPLY, "the server answers about another item")
            return outcomes.unknown(error)

    def _failed(self, batch: Sequence[Job], error: ServerError) -> None:
        if not outcomes.nothing_was_done(error):
            self._wrote, self._stopped = True, error
            self._note(batch, outcomes.unknown(error))
        elif not _is_about_items(error):
            self._stop(batch, error)
        elif len(batch) > 1:
            middle = len(batch) // 2
            self._try(batch[:middle])
            self._try(batch[middle:])
        else:
            self._refused(batch, error)

    def _stop(self, batch: Sequence[Job], error: ServerError) -> None:
        """By the line, the login or the whole mailbox."""
        if not self._wrote:
            raise error
        self._stopped = error
        self._note(batch, outcomes.refused(error))

    def _refused(self, batch: Sequence[Job], error: ServerError) -> None:
        refusal = refusal_in(error)
        known = outcomes.refused(error) if refusal is None else self._of(refusal)
        self._note(batch, known)
        self._refused_alone += 1
        if self._refused_alone >= MOST_REFUSED_ALONE:
            self._stopped = error

    def _of(self, refusal: Exception) -> WrittenItem:
        return outcomes.of_refusal(self._talk, refusal)

    def _note(self, batch: Sequence[Job], outcome: WrittenItem) -> None:
        self.note((job.number for job in batch), outcome)


def _is_about_items(error: ServerError) -> bool:
    """Some of them, or all together: a request of that size, say."""
    return isinstance(error, MessageError) or refusal_in(error) is not None
