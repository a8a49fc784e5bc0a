"""The engine's settings as the rules list them: fields of the organization by these names, with these
defaults, and with these meanings."""

import re
from pathlib import Path

import pytest

from mailboxes.choices import Operation
from mailboxes.connect import Direction, settings_for
from mailboxes.models import EmailServerProfile, Mailbox, Organization
from mailboxes.protocols.base import Security
from mailboxes.protocols.errors import InsecureConnection
from mailboxes.protocols.line import refuse_insecure
from serversync.act.run import settings_of
from serversync.cadence import gaps_of, limits_of
from serversync.choices import WorkloadState
from serversync.due import Failure, after_failure, next_gap

PAGE = Path(__file__).parents[3] / "docs/behaviour/09-processing-engine.md"
INCOMING, OUTGOING, ACT = Operation.INCOMING, Operation.OUTGOING, Operation.ACT
BUSY, SILENT = Failure("ErrorServerBusy"), Failure("SocketTimedOut", timed_out=True)
LONG = 1_000_000


def in_python(name: str) -> str:
    """MailboxBackoffOnTimeoutForACT as a column: mailbox_backoff_on_timeout_for_act."""
    words = re.findall(r"[A-Z]+(?=[A-Z][a-z]|$)|[A-Z][a-z]+", name)
    return "_".join(words).lower()


def listed() -> dict[str, object]:
    """Columns and defaults of the page's table."""
    section = PAGE.read_text().partition("## 9.2 ")[2].partition("## 9.3 ")[0]
    rows = re.findall(r"(?m)^\| ((?:[A-Z]\w+|the same names).*?) \| .*? \| (.*?) \|$", section)
    found: dict[str, object] = {}
    for names, defaults in rows:
        values = re.split(r", | and ", defaults)
        if names.startswith("the same names with ForACT"):
            fields = [for_act(name) for name in found if is_of_pace(name)]
        else:
            fields = [in_python(name) for name in whole(names.split(", "))]
        if len(values) == 1:
            values *= len(fields)
        found |= dict(zip(fields, map(value_of, values), strict=True))
    return found


def whole(names: list[str]) -> list[str]:
    """…MaximumBackoff goes on where the name before it began."""
    return [
        name.replace("…Maximum", names[0].partition("Minimum")[0] + "Maximum") for name in names
    ]


def is_of_pace(name: str) -> bool:
    return "backoff" in name or "transient" in name


def for_act(name: str) -> str:
    return f"{name.replace('max_mailbox', 'maximum_mailbox')}_for_act"


def value_of(text: str) -> object:
    return int(text) if text.isdecimal() else {"on": True, "off": False}[text]


@pytest.mark.rule("R9.4")
def test_all_are_fields_of_the_organization_with_these_defaults():
    found = listed()
    assert len(found) == 18
    defaults = {name: Organization._meta.get_field(name).get_default() for name in found}
    assert defaults == found


@pytest.mark.rule("R9.4")
@pytest.mark.parametrize(
    ("setting", "value", "previous", "had_mail"),
    [
        ("active_mailbox_minimum_backoff", 130, 1, True),
        ("active_mailbox_maximum_backoff", 290, LONG, True),
        ("idle_mailbox_minimum_backoff", 310, 0, False),
        ("idle_mailbox_maximum_backoff", 710, LONG, False),
        ("active_mailbox_minimum_backoff_for_act", 310, 1, True),
        ("active_mailbox_maximum_backoff_for_act", 710, LONG, True),
        ("idle_mailbox_minimum_backoff_for_act", 730, 0, False),
        ("idle_mailbox_maximum_backoff_for_act", 890, LONG, False),
    ],
)
def test_gaps_lie_between_these_seconds(setting, value, previous, had_mail):
    organization = Organization(**{setting: value})
    for operation in (INCOMING, OUTGOING, ACT):
        gap = next_gap(previous, had_mail, gaps_of(organization, operation))
        assert (gap == value) is (setting.endswith("for_act") == (operation == ACT))


@pytest.mark.rule("R9.4")
@pytest.mark.parametrize("operation", [INCOMING, OUTGOING, ACT])
@pytest.mark.parametrize(
    ("setting", "failure"),
    [("mailbox_backoff_on_transient_error", BUSY), ("mailbox_backoff_on_timeout", SILENT)],
)
def test_the_first_pause_after_a_passing_error_or_a_time_out(operation, setting, failure):
    name = f"{setting}_for_act" if operation == ACT else setting
    limits = limits_of(Organization(**{name: 77}), operation)
    for tried, expected in ((failure, 77), (SILENT if failure is BUSY else BUSY, 300)):
        assert after_failure(tried, WorkloadState.READY, 0, limits, jitter=0.5).wait == expected


@pytest.mark.rule("R9.4")
@pytest.mark.parametrize(
    ("operation", "setting"),
    [
        (INCOMING, "max_mailbox_transient_failures"),
        (OUTGOING, "max_mailbox_transient_failures"),
        (ACT, "maximum_mailbox_transient_failures_for_act"),
    ],
)
def test_so_many_failures_in_a_row_pause_a_workload(operation, setting):
    limits = limits_of(Organization(**{setting: 4}), operation)
    states = [
        after_failure(BUSY, WorkloadState.READY, before, limits, jitter=0.5).state
        for before in (2, 3)
    ]
    assert states == [WorkloadState.READY, WorkloadState.PAUSED]


@pytest.mark.rule("R9.4")
def test_lines_without_tls_and_passwords_on_them_are_two_switches(monkeypatch):
    profile = EmailServerProfile(
        incoming_server_location="imap.example.com", incoming_uses_ssl=False
    )
    mailbox = Mailbox(
        email_server_profile=profile,
        email_address="ada@example.com",
        user_name="ada",
        password="secret",
        allow_email_connector_to_use_credentials=True,
    )
    monkeypatch.setattr("mailboxes.connect.is_kept_back", lambda *_: False)

    def settings(**switches: bool):
        made = settings_for(mailbox, Organization(**switches), Direction.INCOMING)
        assert made.security is Security.PLAIN
        assert made.credentials
        return made

    for refused in ({}, {"allow_non_ssl_email": True}):
        with pytest.raises(InsecureConnection):
            refuse_insecure(settings(**refused))
    refuse_insecure(
        settings(allow_non_ssl_email=True, allow_basic_authentication_on_non_secure_channel=True)
    )


@pytest.mark.rule("R9.4")
def test_so_many_attempts_has_an_item_of_appointments_contacts_and_tasks():
    assert settings_of(Organization(maximum_synchronization_attempts_for_act=3)).max_attempts == 3
