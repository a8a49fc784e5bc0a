"""Who gets to see credentials that open more than one mailbox, while the web service is discovered."""

from datetime import UTC, datetime
from email.message import Message

import pytest

from mailboxes.protocols.base import ConnectionSettings, Credentials, Security
from mailboxes.protocols.errors import HostNotFound, LocationUnknown
from mailboxes.protocols.ews.authentication import Anonymous, Basic, WhenAsked
from mailboxes.protocols.ews.discovery import POX_PATH, SOAP_PATH, Discovery
from mailboxes.protocols.ews.transport import Answer, Place

ACCOUNT = "service@contoso.example"
HOME = ("contoso.example",)
CEO = "ceo@contoso.example"
MALLORY = "mallory@evil.example"
OWN = f"https://autodiscover.contoso.example{SOAP_PATH}"
EVIL = f"https://evil.example{SOAP_PATH}"
EWS, EVIL_EWS = "https://mail.contoso.example/EWS", "https://evil.example/EWS"
OFFICE = f"https://autodiscover-s.outlook.com{SOAP_PATH}"

PAGE = '<E xmlns="x"><UserResponse>{}</UserResponse></E>'


def tells(url, address=""):
    pairs = {"ExternalEwsUrl": url, "AutoDiscoverSMTPAddress": address}
    told = (
        f"<UserSetting><Name>{name}</Name><Value>{value}</Value></UserSetting>"
        for name, value in pairs.items()
        if value
    )
    return 200, {}, PAGE.format("".join(told))


def sends_to(code, target):
    return (
        200,
        {},
        PAGE.format(f"<ErrorCode>{code}</ErrorCode><RedirectTarget>{target}</RedirectTarget>"),
    )


def moves(target):
    return 302, {"Location": target}, ""


class Web(Discovery):
    """`pages`: URL -> what it answers; `asks`: those that want to know who asks first."""

    def _exchange(self, url, proof, request, plain=False):
        place = Place.of(url)
        if url not in self.pages:
            raise HostNotFound(f"the host {place.host} does not exist")
        if isinstance(proof, WhenAsked):
            assert isinstance(proof._proof, Basic)
            self.shown |= {place.host} if url in self.asks else set()
        else:
            assert isinstance(proof, Anonymous)
            if url in self.asks:
                return Answer(401, "", Message(), b"", place)
        status, headers, body = self.pages[url]
        message = Message()
        for name, value in headers.items():
            message[name] = value
        return Answer(status, "", message, body.encode(), place)


def web(pages, asks=(), homes=HOME, opens_others=True, services=()):
    found = Web(
        ConnectionSettings(
            host="", port=0, security=Security.IMPLICIT_TLS, credentials=None, allow_plain=False
        ),
        proof=lambda: Basic(Credentials(ACCOUNT, "secret")),
        now=lambda: datetime(2026, 1, 1, tzinfo=UTC),
        homes=homes,
        opens_others=opens_others,
        find_service=lambda name, _: list(services) if name.endswith("evil.example") else [],
    )
    found.pages, found.asks, found.shown = pages, set(asks), set()
    return found


@pytest.mark.rule("R1.22")
def test_the_domain_of_an_address_doesnt_get_the_service_accounts_password():
    search = web({EVIL: tells(EVIL_EWS)}, asks=[EVIL])

    with pytest.raises(LocationUnknown) as failed:
        search.find(MALLORY)

    assert search.shown == set()
    assert "isn't told" in failed.value.detail


@pytest.mark.rule("R1.22")
def test_nor_does_it_name_the_web_service_that_gets_it():
    """Nobody is asked for credentials on the way, but the web service would."""
    with pytest.raises(LocationUnknown) as failed:
        web({EVIL: tells(EVIL_EWS)}).find(MALLORY)

    assert "evil.example may not see the credentials" in failed.value.detail


@pytest.mark.rule("R1.22")
@pytest.mark.parametrize(
    "answer",
    [moves(f"https://next.evil.example{SOAP_PATH}"), sends_to("RedirectUrl", f"https://next.evil.example{SOAP_PATH}")],
)  # fmt: skip
def test_nor_whoever_it_leads_to(answer):
    there = f"https://next.evil.example{SOAP_PATH}"
    search = web({EVIL: answer, there: tells(EVIL_EWS)}, asks=[there])

    with pytest.raises(LocationUnknown):
        search.find(MALLORY)

    assert search.shown == set()


@pytest.mark.rule("R1.22")
@pytest.mark.parametrize(
    "name", ["contoso.example.evil.example", "notcontoso.example", "outlook.com.evil.example"]
)
def test_names_that_look_like_home_are_none(name):
    there = f"https://{name}{SOAP_PATH}"
    search = web({EVIL: moves(there), there: tells(EVIL_EWS)}, asks=[there])

    with pytest.raises(LocationUnknown):
        search.find(MALLORY)

    assert search.shown == set()


def test_the_accounts_own_domain_is_asked_about_another_domain_of_its_server():
    """One Exchange may serve many domains, and knows all of their addresses."""
    search = web({OWN: tells(EWS)}, asks=[OWN])

    assert search.find("ada@fabrikam.example").url == EWS
    assert search.shown == {"autodiscover.contoso.example"}


def test_another_domain_may_lead_home():
    search = web({EVIL: moves(OWN), OWN: tells(EWS)}, asks=[OWN])

    assert search.find(MALLORY).url == EWS
    assert search.shown == {"autodiscover.contoso.example"}


def test_where_home_leads_is_as_good_as_home():
    hoster = f"https://autodiscover.hoster.example{SOAP_PATH}"
    search = web(
        {OWN: moves(hoster), hoster: tells("https://ews.hoster.example/EWS")}, asks=[hoster]
    )

    assert search.find(CEO).url == "https://ews.hoster.example/EWS"
    assert search.shown == {"autodiscover.hoster.example"}


def test_a_host_that_was_asked_without_is_asked_again_once_home_leads_to_it():
    hoster = f"https://fabrikam.example{SOAP_PATH}"
    search = web({OWN: moves(hoster), hoster: tells(EWS)}, asks=[hoster])

    assert search.find("ada@fabrikam.example").url == EWS
    assert search.shown == {"fabrikam.example"}


def test_a_microsoft_token_is_shown_to_microsoft_alone():
    search = web({EVIL: tells(EVIL_EWS)}, asks=[EVIL], homes=("outlook.office365.com",))
    with pytest.raises(LocationUnknown):
        search.find(MALLORY)
    assert search.shown == set()

    office = f"https://outlook.office365.com{SOAP_PATH}"
    there = "https://outlook.office365.com/EWS/Exchange.asmx"
    search = web({office: tells(there)}, asks=[office], homes=("outlook.office365.com",))
    assert search.find("ada@fabrikam.example").url == there
    assert search.shown == {"outlook.office365.com"}


# -- whose mailbox is meant


@pytest.mark.rule("R1.22")
@pytest.mark.parametrize("homes", [HOME, None])
def test_a_domain_doesnt_have_somebody_elses_mailbox_opened(homes):
    """With impersonation, Mallory would read the mail of whoever his domain names."""
    assert web({EVIL: tells(EWS, CEO)}, homes=homes).find(MALLORY).address == MALLORY

    search = web({EVIL: sends_to("RedirectAddress", CEO), OWN: tells(EWS)}, homes=homes)
    try:
        assert search.find(MALLORY).address == MALLORY
    except LocationUnknown as error:
        assert f"may not say that {CEO} is meant" in error.detail


@pytest.mark.rule("R1.22")
def test_nor_by_way_of_a_service_that_everybody_can_have():
    search = web(
        {EVIL: moves(OFFICE), OFFICE: tells("https://outlook.office365.com/EWS", CEO)},
        homes=("outlook.office365.com",),
    )
    assert search.find(MALLORY).address == MALLORY


def test_home_and_the_own_domain_say_what_the_primary_address_is():
    assert web({OWN: tells(EWS, CEO)}).find("chief@fabrikam.example").address == CEO
    fabrikam = f"https://fabrikam.example{SOAP_PATH}"
    primary = "ada.lovelace@fabrikam.example"
    assert web({fabrikam: tells(EWS, primary)}).find("ada@fabrikam.example").address == primary


def test_credentials_of_the_mailbox_itself_follow_its_own_domain():
    search = web({EVIL: tells(EVIL_EWS, CEO)}, asks=[EVIL], homes=None, opens_others=False)
    found = search.find(MALLORY)
    assert (found.url, found.address) == (EVIL_EWS, CEO)


@pytest.mark.parametrize(
    "told", ["no address", "a@b@", "ceo@contoso.example\r\nX-Evil: 1", "two words@contoso.example", f"{'a' * 300}@contoso.example", "\u202eada@contoso.example", "\x1b@x.example"]
)  # fmt: skip
def test_what_is_no_address_is_not_taken_for_one(told):
    """It would go into a header."""
    pages = {OWN: tells(EWS, told.replace("\x1b", "&#27;").replace("\r\n", "&#13;&#10;"))}
    assert web(pages, opens_others=False).find(CEO).address == CEO


def test_an_address_that_nobody_could_keep_is_no_web_service():
    with pytest.raises(LocationUnknown, match="more than 2000 characters"):
        web({OWN: tells(f"https://mail.contoso.example/{'x' * 3000}")}).find(CEO)


def test_the_older_language_is_held_to_the_same():
    pox = f"https://evil.example{POX_PATH}"
    action = "<Response><Action>redirectAddr</Action><RedirectAddr>{}</RedirectAddr></Response>"
    search = web({EVIL: (404, {}, ""), pox: (200, {}, action.format(CEO)), OWN: tells(EWS)})
    assert search.find(MALLORY).address == MALLORY
