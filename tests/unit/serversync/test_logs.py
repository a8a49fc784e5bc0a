"""The log as JSON: each line parses, and what nobody may read in a log isn't in it."""

import json
import logging
from types import SimpleNamespace

import pytest

from mailboxes.choices import Operation
from mailboxes.protocols.errors import LoginRefused
from serversync import logs

SECRET = "correct-horse-canary"


def lines_of(write) -> list[str]:
    """What a logger writes while `write` runs with it."""
    written: list[str] = []

    class Kept(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            written.append(self.format(record))

    handler = Kept()
    handler.setFormatter(logs.JsonLines())
    logger = logging.Logger("serversync.test")
    logger.addHandler(handler)
    write(logger)
    return written


def line_of(write) -> dict:
    (written,) = lines_of(write)
    assert "\n" not in written
    return json.loads(written)


def test_a_line_has_time_level_logger_and_message():
    line = line_of(lambda log: log.warning("%d of %s", 3, "mailboxes"))
    assert line["message"] == "3 of mailboxes"
    assert (line["level"], line["logger"]) == ("WARNING", "serversync.test")
    assert line["time"].endswith("+00:00")


@pytest.mark.parametrize(
    "words",
    ["two\nlines\r\n", '"quoted" \\ \x00 \x1b[31m', "\udce4 lone", "\u2028", "日本語", "x" * 9_000],
)
def test_whatever_is_in_it_a_line_is_one_line_that_parses(words):
    line = line_of(lambda log: log.info("got %s", words))
    assert line["message"] == f"got {words}"[: logs.LONGEST]


def test_words_that_do_not_fit_their_arguments_are_written_as_they_are():
    assert line_of(lambda log: log.info("100 %", 1))["message"] == "100 %"


def test_what_exceptions_say_is_left_out_wherever_they_are():
    def fail() -> None:
        try:
            raise KeyError(SECRET)
        except KeyError as error:
            raise ValueError(f"Subject: {SECRET}\nBody {SECRET}") from error

    def write(log: logging.Logger) -> None:
        try:
            fail()
        except ValueError as error:
            log.exception("mailbox %s: page failed: %r / %s", 7, error, error)
            log.warning("named: %(error)s", {"error": error})

    for written in lines_of(write):
        assert SECRET not in written
    line = json.loads(lines_of(write)[0])
    assert line["message"] == "mailbox 7: page failed: ValueError / ValueError"
    assert line["error"] == "ValueError"
    assert line["where"][0] == "(KeyError)"
    assert line["where"][-1].endswith(" fail")


def test_a_server_s_error_is_told_by_its_code():
    error = LoginRefused(f"535 {SECRET}")
    line = line_of(lambda log: log.warning("mailbox %s: %s", 7, error))
    assert line["code"] == error.code
    assert line["message"] == f"mailbox 7: {error.code}"


@pytest.mark.parametrize(
    ("logger", "level", "words", "left"),
    [
        (
            "django.server",
            logging.INFO,
            f"GET /connect/back/?code={SECRET}&state=1 HTTP/1.1",
            "GET",
        ),
        ("django-q", logging.ERROR, f"Failed 'work' (x) - ValueError: {SECRET}\n  File", "Failed"),
    ],
)
def test_texts_of_others_are_cut_where_secrets_would_be(logger, level, words, left):
    record = logging.LogRecord(logger, level, __file__, 1, words, None, None)
    written = logs.JsonLines().format(record)
    assert SECRET not in written
    assert json.loads(written)["message"].startswith(left)


def test_lines_of_a_cycle_name_its_mailbox_workload_and_job():
    claim = SimpleNamespace(mailbox_id="0190", operation=Operation.INCOMING)
    seen: list[dict] = []

    @logs.names_claim
    def run(claim, *, more):
        seen.append(line_of(lambda log: log.info("in it", extra={"code": "SocketTimedOut"})))
        return more

    logs.begin_job("job-1")
    try:
        assert run(claim, more=3) == 3
        after = line_of(lambda log: log.info("behind it"))
    finally:
        logs.begin_job("")
    (line,) = seen
    assert {name: line[name] for name in logs.FIELDS} == {
        "mailbox": "0190",
        "workload": "incoming",
        "job": "job-1",
        "code": "SocketTimedOut",
    }
    assert "mailbox" not in after
    assert after["job"] == "job-1"


def test_a_failing_cycle_leaves_no_name_behind():
    @logs.names_claim
    def run(claim):
        raise ValueError

    with pytest.raises(ValueError):
        run(SimpleNamespace(mailbox_id="0190", operation=Operation.ACT))
    assert "mailbox" not in line_of(lambda log: log.info("behind it"))
