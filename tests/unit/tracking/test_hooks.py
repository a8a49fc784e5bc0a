"""A site's own code on receipt: what it may answer, its time, and what becomes of one that overruns."""

from threading import Event
from uuid import UUID

import pytest

from mailboxes import checks
from tracking import hooks
from tracking.hooks import Answer, Hooks, call
from tracking.receipts import Person, Receipt, Record, Refuse, Result

RECEIPT = Receipt(
    key=UUID(int=1),
    mailbox="Ada",
    mailbox_address="ada@example.com",
    kind="ordinary",
    message_id="one@customer.example",
    subject="Hello",
    sender=Person("cleo@customer.example", "Cleo"),
    text="very long text",
    read_raw=lambda: b"Subject: Hello\r\n",
)
CONTACT = Record("activities.contact", "7")
go_on = Event()
heard: list[Receipt] = []


def silent(receipt):
    heard.append(receipt)


def files(receipt):
    return Result(CONTACT)


def refuses(receipt):
    raise Refuse("no order number")


def breaks(receipt):
    raise ZeroDivisionError("division by zero")


def exits(receipt):
    raise SystemExit(3)


def odd(receipt):
    return "activities.contact"


def slow(receipt):
    go_on.wait(10)
    return Result(CONTACT)


def path(hook) -> str:
    return f"{__name__}.{hook.__name__}"


@pytest.fixture(autouse=True)
def no_strays():
    """Whoever waits is let go, and is gone before the next test."""
    go_on.clear()
    heard.clear()
    yield
    go_on.set()
    for thread in hooks.strays._threads:
        thread.join(10)
    assert hooks.strays.count == 0


@pytest.fixture
def configure(settings):
    def configure(*which, seconds: float = 5.0) -> Hooks:
        settings.RECEIPT_HOOKS = [path(hook) for hook in which]
        settings.RECEIPT_HOOK_SECONDS = seconds
        return Hooks()

    return configure


@pytest.mark.rule("R3.52a")
@pytest.mark.parametrize(
    ("hook", "answer"),
    [
        (silent, Answer()),
        (files, Answer(regarding=CONTACT)),
        (refuses, Answer(error=f"{path(refuses)}: no order number", refused=True)),
        (breaks, Answer(error=f"{path(breaks)}: ZeroDivisionError: division by zero")),
        (exits, Answer(error=f"{path(exits)}: SystemExit: 3")),
        (odd, Answer(error=f"{path(odd)}: it returned str, not None or a Result")),
    ],
)
def test_a_hook_answers_files_refuses_or_breaks(hook, answer):
    assert call(path(hook), RECEIPT, 5) == answer


@pytest.mark.rule("R3.52a")
def test_a_hook_that_is_not_there_fails():
    assert call("nowhere.at_all", RECEIPT, 5).error.startswith(
        "nowhere.at_all: ModuleNotFoundError"
    )


@pytest.mark.rule("R9.11")
def test_five_seconds_for_each_message_and_thirty_for_all_of_a_cycle():
    assert (hooks.Hooks().seconds, hooks.Hooks().left) == (5, 30)


@pytest.mark.rule("R9.11")
def test_one_that_overruns_is_not_waited_for():
    assert call(path(slow), RECEIPT, 0.01) == hooks.LATE
    assert hooks.strays.count == 1


def test_threads_that_overran_are_few(monkeypatch):
    monkeypatch.setattr(hooks, "MOST_STRAYS", 2)
    for _number in range(5):
        assert call(path(slow), RECEIPT, 0.01).late
    assert hooks.strays.count == 2
    assert call(path(silent), RECEIPT, 5).late  # nobody is begun while they run
    assert heard == []


@pytest.mark.rule("R9.11")
def test_one_that_overran_is_deferred_for_the_rest_of_the_cycle(configure):
    cycle = configure(slow, silent, seconds=0.3)

    first, second = cycle.hear(RECEIPT), cycle.hear(RECEIPT)

    assert first.late == second.late == (path(slow),)
    assert hooks.strays.count == 1  # it was begun once
    assert len(heard) == 2  # the other one heard of both
    assert configure(silent).deferred == set()  # another cycle tries again


@pytest.mark.rule("R9.11")
def test_all_run_later_when_their_time_in_a_cycle_is_used_up(configure):
    configure(silent)
    times = iter(range(0, 1000, 11))
    cycle = Hooks(clock=lambda: next(times))

    late = [cycle.hear(RECEIPT).late for _number in range(5)]

    assert late == [(), (), (), (path(silent),), (path(silent),)]


@pytest.mark.rule("R3.52a")
def test_the_first_failure_is_the_message_s_and_those_behind_are_not_asked(configure):
    told = configure(refuses, silent).hear(RECEIPT)

    assert told.error == f"{path(refuses)}: no order number"
    assert heard == []


@pytest.mark.rule("R3.52a")
def test_a_later_hook_sees_what_an_earlier_one_named(configure, monkeypatch):
    record = object()
    monkeypatch.setattr(hooks, "record_of", lambda told: record)

    told = configure(files, silent, files).hear(RECEIPT)

    assert (told.regarding, told.filed_by) == (record, path(files))
    assert heard[0].regarding == CONTACT


@pytest.mark.rule("R3.52a")
def test_a_record_that_is_not_there_fails_the_message(configure, monkeypatch):
    monkeypatch.setattr(hooks, "record_of", lambda told: None)

    assert "there is no activities.contact 7" in configure(files).hear(RECEIPT).error


def test_without_hooks_there_is_nothing_to_do(settings):
    settings.RECEIPT_HOOKS = []
    assert not Hooks()


def test_a_receipt_can_not_be_changed_and_prints_no_text():
    with pytest.raises(AttributeError):
        RECEIPT.subject = "other"
    assert "very long text" not in repr(RECEIPT)
    assert RECEIPT.raw == b"Subject: Hello\r\n"


# -- the settings


@pytest.mark.parametrize(
    ("names", "seconds", "ids"),
    [
        ([], 5.0, []),
        ([path(silent)], 5.0, []),
        (["nowhere.at_all", "plain", f"{__name__}.missing"], 5.0, ["serversync.E009"] * 3),
        ([f"{__name__}.RECEIPT"], 5.0, ["serversync.E009"]),
        ([path(silent)], 0.0, ["serversync.E010"]),
        ([], 0.0, []),
    ],
)
def test_hooks_that_can_not_work_are_found_by_check(settings, names, seconds, ids):
    settings.RECEIPT_HOOKS, settings.RECEIPT_HOOK_SECONDS = names, seconds

    assert [found.id for found in checks.receipt_hooks(None)] == ids
