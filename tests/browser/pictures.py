"""The pictures of the administrator's guide: which page, as whom, what is done before."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from django.urls import reverse
from playwright.sync_api import Page

from serversync.choices import ItemState
from serversync.models import ExchangeSyncIdMapping, ParkedBatch, Replay, SyncRevision
from serversync.people.roles import ADMINISTRATOR, group_of
from tests.factories.console import Site
from tracking.models import ConvertRule, MailboxTrackingFolder

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "images"
#: What one picture may cost whoever reads the guide.
LARGEST = 100_000
WINDOW = "body"
MARGIN = 16
#: One who is here as it says, one who isn't yet, one with another name, one with an address that is taken.
COLLEAGUES = """\
Sign-in name,First name,Last name,Primary email
ada,Ada,Example,ada@example.com
gil,Gil,Example,gil@example.com
ben,Ben,Sample,ben@example.com
hana,Hana,Example,support@example.com
"""


def nothing(page: Page) -> None:
    """For a page as it opens."""


@dataclass(frozen=True)
class Picture:
    """`where`: the address on a site in use. `who`: an attribute of that site. `act`: what is pressed first.
    `part`: what is shown of the page, no more than `height`; without, all but title line and navigation."""

    name: str
    where: Callable[[Site], str]
    who: str = "administrator"
    act: Callable[[Page], None] = nothing
    part: str = "#content"
    width: int = 1100
    height: int = 640
    dark: bool = False
    language: str = "en-US"

    @property
    def path(self) -> Path:
        return FOLDER / f"{self.name}.png"


def at(name: str, query: str = "") -> Callable[[Site], str]:
    return lambda site: reverse(f"admin:{name}") + query


def of(name: str, key: Callable[[Site], object]) -> Callable[[Site], str]:
    return lambda site: reverse(f"admin:{name}", args=[key(site)])


def mailbox(name: str) -> Callable[[Site], object]:
    return lambda site: site.mailboxes[name].pk


def tested(site: Site) -> str:
    return f"{reverse('admin:test_and_enable')}?mailbox={site.mailboxes['untested'].pk}"


def old_profile(site: Site) -> object:
    return site.mailboxes["failing"].email_server_profile_id


def question(site: Site) -> object:
    return ExchangeSyncIdMapping.objects.exclude(question="").get().pk


def choose_the_waiting(page: Page) -> None:
    page.locator("tr", has_text="cara@example.com").locator("input.action-select").check()
    page.locator("select[name=action]").select_option("approve")


def choose_a_file(page: Page) -> None:
    file = {"name": "colleagues.csv", "mimeType": "text/csv", "buffer": COLLEAGUES.encode()}
    page.locator("#id_file").set_input_files(files=[file])
    page.get_by_role("button", name="Show what it would do").click()


def accept_everything(page: Page) -> None:
    """Ada's mail, as if her filter took all of it."""
    page.locator("#id_mailbox").select_option(label="Ada Example")
    page.locator(".form-row", has_text="Ada Example:").locator("select").select_option(
        label="All email messages"
    )
    page.get_by_role("button", name="Decide again").click()


def search(words: str) -> Callable[[Page], None]:
    def act(page: Page) -> None:
        page.locator("#content input[name=q]").fill(words)
        page.locator("#content input[name=q]").press("Enter")

    return act


PICTURES = (
    Picture("overview", at("index"), part=WINDOW, height=860),
    Picture("wizard", of("wizard_people", lambda site: site.profile.pk)),
    Picture("import", at("import"), act=choose_a_file, height=760),
    Picture("charts", at("index"), part="#charts"),
    Picture(
        "profile",
        of("mailboxes_emailserverprofile_change", lambda site: site.profile.pk),
        part="fieldset:has(#id_incoming_server_location)",
    ),
    Picture("test-connection", of("test_connection", old_profile)),
    Picture("mailboxes", at("mailboxes_mailbox_changelist"), act=choose_the_waiting, width=1280),
    Picture("test-and-enable", tested),
    Picture("failed-test", of("mailboxes_mailbox_change", mailbox("failing")), height=820),
    Picture(
        "user-filter",
        of("mailboxes_systemuser_change", lambda site: site.ada.pk),
        part="#settings-group",
    ),
    Picture(
        "queue", of("mailboxes_queue_change", lambda site: site.support.pk), part="#queue_form"
    ),
    Picture(
        "folder-rule",
        of(
            "tracking_mailboxtrackingfolder_change",
            lambda _: MailboxTrackingFolder.objects.get().pk,
        ),
    ),
    Picture(
        "creation-rule", of("tracking_convertrule_change", lambda _: ConvertRule.objects.get().pk)
    ),
    Picture("alerts", at("alert_groups")),
    Picture("not-synchronized", at("monitor")),
    Picture("quarantine", at("quarantine")),
    Picture("why", of("serversync_syncitem_change", lambda s: s.items[ItemState.REJECTED].pk)),
    Picture("what-if", at("what_if"), act=accept_everything),
    Picture("replay", of("serversync_replay_change", lambda _: Replay.objects.get().pk)),
    Picture("balance", at("balance"), width=1280),
    Picture(
        "guard",
        of("serversync_parkedbatch_change", lambda _: ParkedBatch.objects.get().pk),
        who="ada",
        height=820,
    ),
    Picture("decision", of("act_question", question), who="ada"),
    Picture(
        "undo",
        of("serversync_syncrevision_change", lambda _: SyncRevision.objects.get().pk),
        who="ada",
    ),
    Picture("settings", at("settings"), act=search("automatic answers")),
    Picture("changes", at("mailboxes_configurationchange_changelist"), width=1280),
    Picture("role", of("auth_group_change", lambda _: group_of(ADMINISTRATOR.key).pk)),
    Picture("second-factor", at("second_factor_setup")),
    Picture("audit-trail", at("serversync_auditentry_changelist"), width=1280),
    Picture("my-mailbox", at("my_mailbox"), who="ada", dark=True),
    Picture("overview-ja", at("index"), part=WINDOW, language="ja-JP"),
)
