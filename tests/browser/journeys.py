"""What the journeys share: a small site on the sandbox's own servers, its people in the shipped roles, a worker
that runs when it is called, and the console's words in the language of the browser.

    robin  mail administrator; has no mail
    ada    user; IMAP and SMTP, approved and tested
    ben    user; IMAP and SMTP, neither approved nor tested
    fay    user; Exchange, with appointments, contacts and tasks
    gil    user; the same
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from typing import Any

from django.db import transaction
from django.utils import timezone
from django.utils.module_loading import import_string
from django.utils.translation import gettext, ngettext, override
from django_q.models import OrmQ
from django_q.signing import SignedPackage
from playwright.sync_api import Locator, Page, expect

from activities.models import Account, Contact
from mailboxes.choices import (
    AccessApproval,
    ActDeliveryMethod,
    FilteringMethod,
    Operation,
    ServerType,
    TestStatus,
    TlsMode,
)
from mailboxes.models import EmailServerProfile, Mailbox, Organization, SystemUser, UserSettings
from serversync import waking
from serversync.people import roles
from serversync.sandbox.servers import Sandbox
from tests.factories.mailboxes import EmailServerProfileFactory, SystemUserFactory, ready_mailbox

LANGUAGES = ("en", "ja")
PASSWORD = "quite a secret"
IMAP_USERS, EXCHANGE_USERS = ("ada", "ben"), ("fay", "gil")
RITA, NEWS = "rita@customer.example", "news@shop.example"
MOST_JOBS = 20  # of one round; a job that always makes another must end a test


def address_of(name: str) -> str:
    return f"{name}@sandbox.example"


class Words:
    """The console's texts in one language, by the msgid that stands in the code."""

    def __init__(self, language: str) -> None:
        self.language = language

    def __call__(self, msgid: str, **values: object) -> str:
        with override(self.language):
            words = gettext(msgid)
        return words % values if values else words

    def label(self, msgid: str) -> str:
        """Of a field of a form."""
        return self(msgid) + self(":")

    def many(self, one: str, many: str, number: int, **values: object) -> str:
        with override(self.language):
            return ngettext(one, many, number) % ({"count": number, "counter": number} | values)


@dataclass
class World:
    """`now` is when it was made; what runs later asks the clock."""

    sandbox: Sandbox
    now: datetime
    administrator: SystemUser
    people: dict[str, SystemUser]
    company: Account
    rita: Contact

    def user(self, name: str) -> SystemUser:
        return self.people[name]

    def mailbox(self, name: str) -> Mailbox:
        """As it is in the database now."""
        return Mailbox.objects.get(regarding_user=self.people[name])

    def enable(self, name: str) -> None:
        mailbox = self.mailbox(name)
        Mailbox.objects.filter(pk=mailbox.pk).update(
            email_router_access_approval=AccessApproval.APPROVED
        )
        mailbox.workloads.update(enabled=True, test_status=TestStatus.SUCCESS)

    def deliver(self, name: str, subject: str, sender: str = RITA, folder: str = "INBOX") -> None:
        written = EmailMessage(policy=SMTP)
        written["From"], written["To"], written["Subject"] = sender, address_of(name), subject
        written["Date"] = format_datetime(self.now - timedelta(hours=1))
        written["Message-ID"] = f"<{subject.lower().replace(' ', '-')}@{sender.partition('@')[2]}>"
        written.set_content("Good day,\n\nplease have a look.\n")
        self.sandbox.store.deliver(address_of(name), bytes(written), folder=folder)

    def run(self, *names: str) -> None:
        """All cycles of these mailboxes, as if somebody had pressed the button."""
        mailboxes = [self.mailbox(name).pk for name in names]
        for operation in Operation:
            waking.wake(mailboxes, operation, by_hand=True)
        self.work()

    def work(self) -> None:
        """What a worker does with all that is queued and due, here and now."""
        for _job in range(MOST_JOBS):
            if not _run_next():
                return
        raise AssertionError("The queue never empties.")


def _run_next() -> bool:
    with transaction.atomic():
        row = OrmQ.objects.filter(lock__lte=timezone.now()).order_by("pk").first()
        if row is None:
            return False
        task = SignedPackage.loads(row.payload)
        row.delete()
    import_string(task["func"])(*task.get("args", ()), **task.get("kwargs", {}))
    return True


POST = """async url => {
    const token = document.querySelector("input[name=csrfmiddlewaretoken]").value;
    const answer = await fetch(url, {method: "POST", redirect: "manual", headers: {"X-CSRFToken": token}});
    return answer.type;
}"""


def posted(page: Page, url: str) -> None:
    """What a page doesn't offer, asked for all the same, from the page that is open."""
    page.evaluate(POST, url)


# -- the site


def make_world(sandbox: Sandbox) -> World:
    now = timezone.now()
    sandbox.faults.clear()
    roles.setup_groups()
    Organization.objects.filter(pk=Organization.objects.current().pk).update(
        name="Example Ltd",
        promotion_attempts=1,
        allow_folder_tracking_for_imap=True,
        undo_send_seconds=60,
        allow_unresolved_parties_on_email_send=True,
    )
    administrator = _person("robin", "mail_administrator", "Robin")
    people = {name: _person(name, "user") for name in (*IMAP_USERS, *EXCHANGE_USERS)}
    UserSettings.objects.filter(system_user__in=people.values()).update(
        incoming_email_filtering_method=FilteringMethod.LEADS_CONTACTS_ACCOUNTS
    )
    for profile, names in (
        (_imap(sandbox, administrator, now), IMAP_USERS),
        (_exchange(sandbox, administrator, now), EXCHANGE_USERS),
    ):
        for name in names:
            ready_mailbox(people[name], email_server_profile=profile, password=PASSWORD)
    _begin_anew(people["ben"])
    Mailbox.objects.filter(regarding_user__domain_name__in=EXCHANGE_USERS).update(
        act_delivery_method=ActDeliveryMethod.SERVER_SIDE_SYNC
    )
    for name in IMAP_USERS:
        sandbox.store.add_account(address_of(name), PASSWORD)
    for name in EXCHANGE_USERS:
        sandbox.exchange.add_account(address_of(name), PASSWORD)
    company = Account.objects.create(
        name="Customer Ltd", email_address1="office@customer.example", owning_user=people["ada"]
    )
    rita = Contact.objects.create(
        first_name="Rita", last_name="Example", email_address1=RITA, parent_account=company,
        owning_user=people["ada"],
    )  # fmt: skip
    return World(sandbox, now, administrator, people, company, rita)


def _person(name: str, role: str, first_name: str = "") -> SystemUser:
    user: Any = SystemUserFactory(
        domain_name=name,
        first_name=first_name or name.title(),
        last_name="Example",
        internal_email_address=address_of(name),
    )
    user.groups.add(roles.group_of(role))
    return user


def _imap(sandbox: Sandbox, owner: SystemUser, now: datetime) -> EmailServerProfile:
    return EmailServerProfileFactory(
        name="Mail server",
        owning_user=owner,
        incoming_server_location="localhost",
        incoming_port_number=sandbox.ports["imaps"],
        incoming_tls_mode=TlsMode.IMPLICIT,
        outgoing_server_location="localhost",
        outgoing_port_number=sandbox.ports["smtps"],
        outgoing_tls_mode=TlsMode.IMPLICIT,
        ca_certificate=sandbox.ca_pem,
        process_emails_received_after=now - timedelta(days=7),
    )


def _exchange(sandbox: Sandbox, owner: SystemUser, now: datetime) -> EmailServerProfile:
    return EmailServerProfileFactory(
        name="Exchange",
        owning_user=owner,
        server_type=ServerType.EXCHANGE_SERVER,
        incoming_server_location=sandbox.exchange.url,
        outgoing_server_location=sandbox.exchange.url,
        ca_certificate=sandbox.ca_pem,
        process_emails_received_after=now - timedelta(days=7),
    )


def _begin_anew(user: SystemUser) -> None:
    mailbox = Mailbox.objects.get(regarding_user=user)
    Mailbox.objects.filter(pk=mailbox.pk).update(
        email_router_access_approval=AccessApproval.PENDING
    )
    mailbox.workloads.update(enabled=False, test_status=TestStatus.NOT_RUN)


# -- people in front of a page


@dataclass
class Visit:
    """A page whose parts are found by their words in its language."""

    page: Page
    words: Words

    def button(self, msgid: str) -> Locator:
        return self.page.get_by_role("button", name=self.words(msgid), exact=True)

    def link(self, msgid: str) -> Locator:
        return self.page.get_by_role("link", name=self.words(msgid), exact=True)

    def told(self) -> Locator:
        """What the console says about what was just done."""
        return self.page.locator(".messagelist")

    def is_kept_from(self, url: str, text: str) -> None:
        """Refused, or led elsewhere: in any case nothing is told of it."""
        self.page.goto(url)
        expect(self.page.locator("body")).not_to_contain_text(text)


class Keyboard:
    """Tab, arrows, Enter and letters, from wherever the focus is."""

    MOST = 150  # stops of one page

    def __init__(self, page: Page) -> None:
        self.page = page

    def to(self, wanted: Locator) -> None:
        expect(wanted).to_have_count(1)
        for _stop in range(self.MOST):
            if wanted.evaluate("element => element === document.activeElement"):
                return
            self.page.keyboard.press("Tab")
        raise AssertionError(f"{wanted} is not reached by Tab")

    def to_content(self) -> None:
        """Past the navigation, by the first link of every page."""
        self.to(self.page.locator(".skip-to-content-link"))
        self.page.keyboard.press("Enter")
        expect(self.page.locator("#content-start")).to_be_focused()

    def write(self, label: str, text: str) -> None:
        self.to(self.page.get_by_label(label, exact=True))
        self.page.keyboard.type(text)

    def choose(self, label: str, option: str) -> None:
        """The letters of an option choose it, as in every list of choices."""
        box = self.page.get_by_label(label, exact=True)
        self.to(box)
        self.page.keyboard.type(option)
        expect(box.locator("option:checked")).to_have_text(option)

    def press_button(self, name: str) -> None:
        self._press(self.page.get_by_role("button", name=name, exact=True))

    def press_link(self, name: str) -> None:
        self._press(self.page.get_by_role("link", name=name, exact=True))

    def _press(self, wanted: Locator) -> None:
        self.to(wanted)
        with self.page.expect_navigation():
            self.page.keyboard.press("Enter")
        self.to_content()
