"""Test & Enable of appointments, contacts and tasks: folders, the organization's mark, and taking over."""

from datetime import timedelta

import pytest
from django_q.models import OrmQ

from mailboxes import choices
from mailboxes.choices import IncomingDeliveryMethod, Operation, OutgoingDeliveryMethod
from mailboxes.models import Mailbox, Organization, TraceLog
from mailboxes.protocols.base import AdapterOptions
from mailboxes.protocols.errors import ConnectionLost, FolderMissing, LoginRefused
from mailboxes.protocols.items import Marker
from mailboxes.protocols.phases import Phase
from serversync import testing
from serversync.act.marker import OtherOrganization
from serversync.choices import WorkloadState
from serversync.console.mailboxes.steps import STEPS
from serversync.models import ActState
from tests.factories.act import NOW, act_mailbox
from tests.fakeitems import FakeItemsAccount, FakeItemsServer

pytestmark = [pytest.mark.integration, pytest.mark.django_db]

OTHERS = Marker("another", "Other Ltd")
SUCCESS, FAILURE = choices.TestStatus.SUCCESS, choices.TestStatus.FAILURE


class Bench:
    """An untested mailbox that synchronizes nothing else, and its account."""

    def __init__(self) -> None:
        self.mailbox = act_mailbox(
            incoming_email_delivery_method=IncomingDeliveryMethod.NONE,
            outgoing_email_delivery_method=OutgoingDeliveryMethod.NONE,
        )
        self.mailbox.workloads.update(enabled=False, test_status=0)
        self.account = FakeItemsAccount(self.mailbox.email_address)
        self.errors: dict[str, Exception] = {}

    def connect(self, mailbox, organization, watcher):
        server = FakeItemsServer(self.account)
        for method, error in self.errors.items():
            server.fail(method, error)
        return server

    def run(self, at=NOW, **options) -> testing.TestReport:
        return testing.test_mailbox(
            self.mailbox, clock=lambda: at, connect_items=self.connect, **options
        )

    @property
    def row(self):
        return self.mailbox.workloads.get(operation=Operation.ACT)

    def alerts(self) -> set[str]:
        rows = TraceLog.objects.filter(subject_key=str(self.mailbox.pk), closed_on__isnull=True)
        return {row.code for row in rows}


@pytest.fixture
def bench() -> Bench:
    return Bench()


@pytest.mark.rule("R2.15", "R2.16")
def test_success_opens_the_folders_writes_our_mark_and_enables(bench):
    assert bench.run().ok
    steps = bench.row.test_steps
    assert [step["step"] for step in steps] == ["calendar", "contacts", "tasks", "marker"]
    assert all(step["ok"] and step["ms"] >= 0 for step in steps)
    assert (bench.row.enabled, bench.row.test_status) == (True, SUCCESS)
    assert bench.account.marker.organization == str(Organization.objects.current().pk)
    assert bench.alerts() == {"TestAndEnableSucceeded"}


@pytest.mark.rule("R6.60")
def test_the_mailbox_knows_whose_mark_the_account_bears(bench):
    assert not bench.mailbox.is_act_sync_org_flag_set
    bench.run()
    found = Mailbox.objects.get(pk=bench.mailbox.pk)
    assert found.is_act_sync_org_flag_set and found.org_marked_as_primary_for_exchange_sync
    ActState.objects.update(marker_organization="another")
    assert not Mailbox.objects.get(pk=bench.mailbox.pk).is_act_sync_org_flag_set


@pytest.mark.rule("R6.61", "R2.17")
def test_another_organizations_account_is_left_alone(bench):
    bench.account.marker = OTHERS
    report = bench.run()
    assert not report.ok and bench.account.marker == OTHERS
    row = bench.row
    assert (row.enabled, row.state, row.state_code) == (
        False, WorkloadState.DISABLED, "ConfiguredWithOtherOrganization",
    )  # fmt: skip
    assert row.test_steps[-1]["step"] == "marker" and "Other Ltd" in row.test_steps[-1]["text"]
    assert row.test_postponed_until is None  # for good: no retry
    assert "ConfiguredWithOtherOrganization" in bench.alerts()


@pytest.mark.rule("R6.61", "R2.20")
def test_the_override_takes_over_and_the_other_one_stops(bench):
    bench.account.marker = OTHERS
    bench.run()
    assert bench.run(NOW + timedelta(minutes=1), take_over=True).ok
    assert bench.row.enabled and "Other Ltd" in bench.row.test_steps[-1]["text"]
    assert bench.alerts() == {"TestAndEnableSucceeded"}
    other = Organization(name="Other Ltd")
    with pytest.raises(OtherOrganization, match=Organization.objects.current().name or "."):
        testing.marker.require_ours(FakeItemsServer(bench.account).open(), other)


@pytest.mark.rule("R2.15", "R2.17")
@pytest.mark.parametrize(
    ("method", "error", "step"),
    [
        ("open", LoginRefused("401"), "settings"),
        ("changes", FolderMissing("no calendar"), "calendar"),
    ],
)
def test_a_failing_step_is_named_and_diagnosed(bench, method, error, step):
    bench.errors[method] = error
    assert not bench.run().ok
    failed = bench.row.test_steps[-1]
    assert (failed["step"], failed["ok"], failed["code"]) == (step, False, error.code)
    assert failed["cause"] and failed["cure"]
    assert not bench.row.enabled and bench.row.test_status == FAILURE


@pytest.mark.rule("R2.15")
def test_an_account_that_may_not_be_written_fails(bench):
    bench.account.may_mark = False
    assert not bench.run().ok
    assert bench.row.test_steps[-1]["step"] == "marker"
    assert bench.account.marker is None


@pytest.mark.rule("R2.18")
def test_a_passing_fault_is_tried_again(bench):
    bench.errors["changes"] = ConnectionLost("gone")
    bench.run()
    assert bench.row.test_postponed_until == NOW + timedelta(minutes=1)
    bench.errors.clear()
    assert bench.run(NOW + timedelta(minutes=1)).ok


@pytest.mark.rule("R2.18", "R2.20")
def test_taking_over_is_not_forgotten_over_a_passing_fault(bench):
    bench.account.marker = OTHERS
    bench.errors["changes"] = ConnectionLost("gone")
    bench.run(take_over=True)
    job = OrmQ.objects.get()
    assert job.task["args"] == (str(bench.mailbox.pk), None, True)
    assert job.lock >= NOW + timedelta(minutes=1)


def test_requests_inside_a_step_are_no_steps_of_their_own():
    watcher = testing.StepWatcher()
    opening = testing.Opening(watcher)
    for phase in (Phase.RESOLVE, Phase.LOGIN, Phase.LIST, Phase.APPLY):
        opening.begin(phase)
        opening.end(phase, None)
    assert [step["step"] for step in watcher.steps] == ["resolve", "login"]
    assert set(Phase) <= set(STEPS)
    assert AdapterOptions(watcher=opening).watcher is opening
