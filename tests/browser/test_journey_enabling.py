"""From a new mailbox to one that runs: approved by who may, tested against a server that fails, and one that is well."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from django.urls import reverse
from playwright.sync_api import expect

from mailboxes import services
from mailboxes.choices import AccessApproval, Operation
from mailboxes.models import Mailbox
from serversync.sandbox.faults import Fault, Kind
from tests.browser.journeys import LANGUAGES, Visit, World, posted

pytestmark = pytest.mark.browser

NO_LOGIN, NO_SENDING = "NO [AUTHENTICATIONFAILED] Not you", "550 5.7.60 Not as this sender"
REFUSES = (
    Fault(kind=Kind.REPLY, protocol="imap", command="LOGIN", argument=NO_LOGIN),
    Fault(kind=Kind.REPLY, protocol="smtp", command="MAIL", argument=NO_SENDING),
)
#: Step, cause, cure, and the words of the server.
FAILS = (
    (
        "Log in",
        "The server refuses user name or password.",
        "Check both by logging in to the same account elsewhere; then enter them again.",
        "[AUTHENTICATIONFAILED] Not you",
    ),
    (
        "Send a test message",
        "The account may not send as the address of this mailbox.",
        "Have the right to send as it granted, or correct the address or the user name.",
        NO_SENDING,
    ),
)


@pytest.fixture(params=LANGUAGES)
def language(request) -> str:
    return request.param


@dataclass
class AtTheMailbox(Visit):
    """Somebody at the page of Ben's mailbox."""

    world: World
    screenshot: Callable[[str], Path]

    @property
    def mailbox(self) -> Mailbox:
        return self.world.mailbox("ben")

    def open(self) -> None:
        self.page.goto(reverse("admin:mailboxes_mailbox_change", args=[self.mailbox.pk]))

    def test(self) -> None:
        """Asks for it, and comes back once a worker has done it."""
        self.button("Test & Enable").click()
        expect(self.page.locator("#what-happens")).to_contain_text("Ben Example")
        self.button("Test & Enable").click()
        expect(self.page.locator("#workloads")).to_contain_text(self.words("A test is scheduled."))
        self.world.work()
        self.page.reload()

    def tests_until_it_runs(self, who: str) -> None:
        workloads, runs = self.page.locator("#workloads"), self.words("Runs")
        self.world.sandbox.faults.add(*REFUSES)
        self.test()
        self.screenshot(f"journey-enabling-failed-{who}-{self.words.language}")
        for step, *told in FAILS:
            failed = workloads.locator("table.steps tr", has_text="✗")
            for words in told:
                expect(failed.filter(has_text=self.words(step))).to_contain_text(self.words(words))
        expect(workloads.locator(".badge", has_text=runs)).to_have_count(0)

        self.world.sandbox.faults.clear()
        self.test()
        self.screenshot(f"journey-enabling-runs-{who}-{self.words.language}")
        for operation in (Operation.INCOMING, Operation.OUTGOING):
            expect(workloads.locator(f".workload-{operation.value}")).to_contain_text(runs)
        assert self.mailbox.workloads.filter(enabled=True).count() == 2


@pytest.fixture
def visit(page, world, words, screenshot) -> AtTheMailbox:
    return AtTheMailbox(page, words, world, screenshot)


@pytest.mark.rule("R2.4", "R2.13", "R2.17")
def test_an_administrator_approves_and_tests_until_it_runs(visit, sign_in):
    sign_in(visit.world.administrator)
    visit.open()
    visit.button("Approve").click()
    said = visit.words("Approved %(count)d address.", count=1)
    expect(visit.told()).to_contain_text(said)
    assert visit.mailbox.email_router_access_approval == AccessApproval.APPROVED

    visit.tests_until_it_runs("administrator")


@pytest.mark.rule("R2.4", "R2.13", "R2.17")
def test_a_user_can_not_approve_but_test_the_own_mailbox_until_it_runs(visit, sign_in, problems):
    sign_in(visit.world.user("ben"))
    visit.open()
    expect(visit.button("Test & Enable")).to_be_visible()
    expect(visit.button("Approve")).to_have_count(0)
    visit.page.goto(reverse("admin:mailboxes_mailbox_changelist"))
    expect(visit.page.locator("select[name=action] option[value=test_and_enable]")).to_have_count(1)
    expect(visit.page.locator("select[name=action] option[value=approve]")).to_have_count(0)
    posted(visit.page, reverse("admin:mailboxes_mailbox_do", args=[visit.mailbox.pk, "approve"]))
    visit.open()
    expect(visit.told()).to_contain_text("mailboxes.approve_mailbox")
    visit.screenshot(f"journey-approving-refused-{visit.words.language}")
    assert visit.mailbox.email_router_access_approval == AccessApproval.PENDING

    approved = Mailbox.objects.filter(pk=visit.mailbox.pk)
    services.approve(mailboxes=approved, now=visit.world.now, actor=visit.world.administrator)
    visit.tests_until_it_runs("user")
