"""/healthz and /metrics: what they say, to whom, and what asking costs."""

import json
import logging
from datetime import timedelta
from uuid import uuid4

import pytest
from django.db import OperationalError, connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from django_q.models import OrmQ
from prometheus_client.parser import text_string_to_metric_families

from mailboxes import alerts
from mailboxes.choices import Operation
from mailboxes.protocols.errors import LoginRefused
from serversync import clusters, logs
from serversync.leases import claim
from serversync.models import MailboxStatistics, SyncItem, Workload
from serversync.monitoring import checks, metrics, views
from serversync.runs import run_claim
from tests.factories.mailboxes import (
    EmailServerProfileFactory,
    SystemUserFactory,
    ready_mailbox,
)

pytestmark = [pytest.mark.integration, pytest.mark.django_db]
one_database = pytest.mark.database("sqlite")
TOKEN = "a-token-of-some-length"
BEARER = {"Authorization": f"Bearer {TOKEN}"}


@pytest.fixture(autouse=True)
def anew(monkeypatch) -> None:
    """Each question is asked of the database, unless the test is about that."""
    monkeypatch.setattr(views, "RECENT", checks.Recently(seconds=0))


@pytest.fixture
def token(settings) -> str:
    settings.METRICS_TOKEN = TOKEN
    return TOKEN


@pytest.fixture
def mailbox():
    box = ready_mailbox(SystemUserFactory(), email_server_profile=EmailServerProfileFactory())
    box.workloads.update(enabled=True, test_status=1, next_run_at=timezone.now())
    return box


def cluster() -> None:
    now = timezone.now()
    clusters.write("machine:1", now, now)


def asked(path: str = "/healthz", **headers):
    return Client(headers=headers).get(path)


# -- healthz


def test_a_site_that_is_well_says_so_to_anybody_and_no_more(mailbox):
    cluster()
    answer = asked()
    assert answer.status_code == 200
    assert answer.json() == {
        "ok": True,
        "checks": dict.fromkeys(("database", "cluster", "queue", "overdue"), "ok"),
    }
    assert "no-store" in answer["Cache-Control"]


def test_with_the_token_it_says_what_it_saw(mailbox, token):
    cluster()
    told = asked(**BEARER).json()["checks"]
    assert told["cluster"]["says"].startswith("1 alive, last sign ")
    assert told["overdue"] == {"ok": True, "says": "0 of 2 workloads are overdue"}
    assert asked(Authorization="Bearer wrong-token-of-it").json()["checks"]["cluster"] == "ok"


def test_each_trouble_is_a_503_that_names_the_check(mailbox):
    now = timezone.now()
    assert asked().json()["checks"]["cluster"] == "not ok"
    clusters.write("machine:1", now, now - clusters.LATE)
    assert asked().status_code == 503
    cluster()
    Workload.objects.update(next_run_at=now - timedelta(minutes=16))
    assert asked().json()["checks"]["overdue"] == "not ok"
    Workload.objects.update(next_run_at=now)
    OrmQ.objects.create(key="serversync", payload="x", lock=now - timedelta(minutes=11))
    answer = asked()
    assert (answer.status_code, answer.json()["checks"]["queue"]) == (503, "not ok")


@one_database
def test_a_flood_of_questions_costs_one(mailbox, monkeypatch, token):
    monkeypatch.setattr(views, "RECENT", checks.Recently(seconds=3600))
    cluster()
    first = asked()
    with CaptureQueriesContext(connection) as statements:
        answers = [asked() for _ in range(5)]
        told = asked(**BEARER)
    assert not statements
    assert {answer.content for answer in answers} == {first.content}
    assert told.json()["checks"]["cluster"]["says"].startswith("1 alive")


@one_database
def test_what_restarts_a_web_process_asks_for_the_database_alone(mailbox):
    answer = asked("/healthz?check=database")
    assert (answer.status_code, answer.json()["checks"]) == (200, {"database": "ok"})


@one_database
def test_without_a_database_nothing_else_is_asked(monkeypatch):
    def cursor():
        raise OperationalError("could not connect as secretuser")

    monkeypatch.setattr(connection, "cursor", cursor)
    found = checks.run(timezone.now())
    assert [(check.name, check.ok, check.says) for check in found] == [
        ("database", False, "OperationalError")
    ]


@one_database
def test_only_reading_is_answered(token):
    for path in ("/healthz", "/metrics"):
        assert Client().post(path).status_code == 405


@one_database
def test_a_probe_without_tls_is_not_sent_elsewhere_but_a_scrape_is(settings, token):
    cluster()
    settings.SECURE_SSL_REDIRECT = True
    assert asked().status_code == 200
    assert asked("/metrics").status_code == 301


# -- metrics


@one_database
def test_without_a_token_in_the_environment_there_are_no_metrics(settings):
    settings.METRICS_TOKEN = ""
    assert asked("/metrics", Authorization="Bearer ").status_code == 404


@one_database
@pytest.mark.parametrize("header", [{}, {"Authorization": "Bearer no"}, {"Authorization": TOKEN}])
def test_without_the_token_nothing_is_told(token, header):
    answer = asked("/metrics", **header)
    assert (answer.status_code, answer["WWW-Authenticate"]) == (401, 'Bearer realm="metrics"')
    assert b"serversync" not in answer.content


def samples(text: bytes) -> dict:
    """By name and values of labels, which come in an order of their own."""
    return {
        (sample.name, *sorted(sample.labels.values(), reverse=True)): sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
    }


def cycle(mailbox, seconds: float, states: dict, ok: bool = True):
    now = timezone.now()
    MailboxStatistics.objects.create(
        mailbox=mailbox,
        operation_type=Operation.INCOMING,
        mailbox_process_started_on=now,
        mailbox_process_completed_on=now + timedelta(seconds=seconds),
        process_result=ok,
        items_by_state=states,
    )


def test_the_site_in_numbers(mailbox, token):
    cluster()
    cycle(mailbox, 0.2, {"tracked": 3, "rejected": 1})
    cycle(mailbox, 7, {"tracked": 2})
    cycle(mailbox, 1, {}, ok=False)
    SyncItem.objects.create(mailbox=mailbox, folder="INBOX", source_key="1", state="quarantined")
    alerts.raise_alert(mailbox, "InvalidCredentials", now=timezone.now())
    mailbox.workloads.filter(operation=Operation.OUTGOING).update(
        lease_token=uuid4(), lease_expires_at=timezone.now() + timedelta(hours=1)
    )
    answer = asked("/metrics", **BEARER)
    assert answer["Content-Type"].startswith("text/plain; version=0.0.4")
    found = samples(answer.content)
    expected = {
        ("serversync_workloads", "incoming", "runs"): 1,
        ("serversync_workloads_due", "incoming"): 1,
        ("serversync_workloads_running", "outgoing"): 1,
        ("serversync_cycles_total", "incoming", "success"): 2,
        ("serversync_cycles_total", "incoming", "failure"): 1,
        ("serversync_items_total", "incoming", "tracked"): 5,
        ("serversync_items_total", "incoming", "rejected"): 1,
        ("serversync_items_waiting", "quarantined"): 1,
        ("serversync_alerts_open", "error", "InvalidCredentials"): 1,
        ("serversync_cycle_seconds_bucket", "incoming", "0.25"): 1,
        ("serversync_cycle_seconds_bucket", "incoming", "10.0"): 3,
        ("serversync_cycle_seconds_count", "incoming"): 3,
        ("serversync_clusters",): 1,
        ("serversync_queue_jobs",): 0,
    }
    told = {key: found.get((key[0], *sorted(key[1:], reverse=True))) for key in expected}
    assert told == expected
    assert found["serversync_cycle_seconds_sum", "incoming"] == pytest.approx(8.2, abs=0.05)


@one_database
def test_a_scrape_costs_the_same_for_any_number_of_rows(mailbox):
    def cost() -> int:
        with CaptureQueriesContext(connection) as captured:
            metrics.exposition(timezone.now())
        return len(captured)

    before = cost()
    profile = mailbox.email_server_profile
    for _number in range(4):
        cycle(ready_mailbox(SystemUserFactory(), email_server_profile=profile), 1, {"tracked": 1})
    assert cost() == before
    assert before <= 12


@one_database
def test_metrics_and_logs_of_a_failing_cycle_hold_no_secret_and_no_text(mailbox, monkeypatch):
    """The canary is where only its mailbox's readers may see it, in a line of the log it is not."""
    canary = "canary-of-a-server"
    lines: list[str] = []

    class Kept(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(self.format(record))

    handler = Kept()
    handler.setFormatter(logs.JsonLines())
    logging.getLogger("serversync").addHandler(handler)
    try:
        for error in (LoginRefused(f"535 {canary}"), RuntimeError(f"Subject: {canary}\nBody")):
            mailbox.workloads.update(
                enabled=True, state="ready", postponed_until=None, next_run_at=timezone.now()
            )

            def connect(*_: object, error=error, **__: object):
                raise error

            now = timezone.now()
            (claimed, *_others) = claim(now, 1, "machine:1")
            run_claim(claimed, connect=connect)
    finally:
        logging.getLogger("serversync").removeHandler(handler)
    assert lines
    told = [json.loads(line) for line in lines]
    assert {line["mailbox"] for line in told} == {str(mailbox.pk)}
    assert LoginRefused.code in {line.get("code") for line in told}
    assert Workload.objects.filter(last_error_text__contains=canary).exists()
    assert canary not in "".join(lines)
    assert canary.encode() not in metrics.exposition(timezone.now())
