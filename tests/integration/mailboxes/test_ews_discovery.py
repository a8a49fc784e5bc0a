"""Finding the web service of a mailbox, and finding it again when it has moved."""

import dataclasses
from datetime import UTC, datetime, timedelta

import pytest
from django.utils import timezone

from mailboxes.connect import incoming_server, outgoing_server
from mailboxes.models import DiscoveredEndpoint, Mailbox
from mailboxes.protocols import line
from mailboxes.protocols.base import INBOX, AdapterOptions, Authentication, Bearer, Credentials
from mailboxes.protocols.errors import (
    HostNotFound,
    LocationUnknown,
    LoginRefused,
    TokenRefused,
    TransientError,
    UserUnknown,
    WrongProtocol,
)
from mailboxes.protocols.ews import discovery
from mailboxes.protocols.ews.access import ExchangeAccess
from mailboxes.protocols.ews.settings import Access, Endpoint, ExchangeSettings
from mailboxes.protocols.phases import Phase
from serversync.sandbox.certificates import load_authority, server_context
from serversync.sandbox.ews.authentication import Methods
from serversync.sandbox.ews.autodiscover import Outcome, Rule
from serversync.sandbox.ews.exchange import Exchange
from serversync.sandbox.ews.faults import http_status
from serversync.sandbox.faults import Faults
from tests.factories.mailboxes import EmailServerProfileFactory, organization, ready_mailbox

pytestmark = pytest.mark.integration

ADA, BEN = "ada@sandbox.example", "ben@other.example"
PASSWORD = "a long secret"
DOMAINS = ("sandbox.example", "other.example")
look_up = line.resolve
SVC, XML = "/autodiscover/autodiscover.svc", "/autodiscover/autodiscover.xml"


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    folder = tmp_path_factory.mktemp("authority")
    authority = load_authority(folder)
    exchange = Exchange(
        path=None,
        faults=Faults(),
        accept_mail=lambda *_: None,
        tls=server_context(authority, folder, domains=DOMAINS),
        host="localhost",
    )
    exchange.start({})
    for address in (ADA, BEN):
        exchange.add_account(address, PASSWORD)
    yield exchange, authority.pem
    exchange.stop()


class World:
    """The server, and the names that lead to it."""

    def __init__(self, exchange, pem):
        self.exchange, self.pem = exchange, pem
        self.tls, self.plain = exchange.site.ports["ews"], exchange.site.ports["ews-plain"]
        self.hosts = {"localhost": "127.0.0.1"}
        self.services = {}
        self.asked = []

    def serve(self, *names):
        for name in names:
            self.hosts[name] = f"127.0.0.1:{self.tls}"

    def resolve(self, host, port, timeout):
        self.asked.append(host)
        target = self.hosts.get(f"{host}:{port}") or self.hosts.get(host)
        if target is None:
            raise HostNotFound(f"the host {host} does not exist")
        address, _, at = target.partition(":")
        return look_up(address, int(at or port), timeout)

    def find_service(self, name, timeout):
        return self.services.get(name, [])

    def access(self, watcher=None, **more):
        settings = ExchangeSettings(
            **{
                "address": ADA,
                "access": Access.OWN,
                "authentication": Authentication.BASIC,
                "credentials": Credentials(ADA, PASSWORD),
                "ca_pem": self.pem,
                "timeout_seconds": 5.0,
            }
            | more
        )
        return ExchangeAccess(
            settings,
            AdapterOptions(watcher=watcher),
            resolve=self.resolve,
            find_service=self.find_service,
        )

    def operations(self):
        return [request.operation for request in self.exchange.requests]


@pytest.fixture
def world(running):
    exchange, pem = running
    exchange.autodiscover.clear()
    exchange.faults.clear()
    exchange.requests.clear()
    exchange.gate.methods = Methods()
    return World(exchange, pem)


def read(access):
    access.account.__dict__.pop("root", None)
    with access.calling(Phase.LIST):
        return access.account.root


def found_by(access):
    """What is remembered of an opening that succeeds."""
    kept = []
    access.settings = dataclasses.replace(access.settings, remember=kept.append)
    with access:
        read(access)
    return kept[0]


# -- where it is looked for


@pytest.mark.rule("R1.22")
@pytest.mark.parametrize("host", ["sandbox.example", "autodiscover.sandbox.example"])
def test_the_domain_and_its_autodiscover_host_are_asked(world, host):
    world.serve(host)

    found = found_by(world.access())

    assert found.url == world.exchange.url
    assert found.address == ADA
    assert world.operations()[0:3] == ["sign-in", "autodiscover", "GetFolder"]


def test_each_step_can_be_told(world):
    world.serve("autodiscover.sandbox.example")
    access = world.access()

    found_by(access)

    assert [(step.where, step.outcome) for step in access.steps] == [
        (f"https://sandbox.example{SVC}", "the host sandbox.example does not exist"),
        (f"https://autodiscover.sandbox.example{SVC}", f"found {world.exchange.url}"),
    ]


@pytest.mark.parametrize("way", [Authentication.BASIC, Authentication.NTLM, Authentication.AUTO])
def test_every_way_to_log_in_serves_discovery(world, way):
    world.serve("sandbox.example")

    assert found_by(world.access(authentication=way)).url == world.exchange.url


def test_a_host_that_speaks_only_the_older_language(world):
    world.serve("sandbox.example")
    world.exchange.autodiscover.append(Rule(outcome=Outcome.ABSENT, language="soap"))
    access = world.access()

    assert found_by(access).url == world.exchange.url
    assert access.steps[-1].where == f"https://sandbox.example{XML}"


def test_plain_http_may_point_to_a_host_of_the_own_domain(world):
    world.hosts["autodiscover.sandbox.example:80"] = f"127.0.0.1:{world.plain}"
    world.hosts[f"autodiscover.sandbox.example:{world.tls}"] = f"127.0.0.1:{world.tls}"
    access = world.access()

    assert found_by(access).url == world.exchange.url
    assert any("redirects to https://autodiscover" in step.outcome for step in access.steps)


def test_a_service_record_may_name_a_host_of_the_own_domain(world):
    world.hosts[f"autodiscover.sandbox.example:{world.tls}"] = f"127.0.0.1:{world.tls}"
    world.services["_autodiscover._tcp.sandbox.example"] = [
        ("autodiscover.sandbox.example", world.tls)
    ]

    assert found_by(world.access()).url == world.exchange.url


def test_what_names_a_host_changes_nothing_about_its_certificate(world):
    world.hosts["hidden.sandbox.example"] = f"127.0.0.1:{world.tls}"
    world.services["_autodiscover._tcp.sandbox.example"] = [("hidden.sandbox.example", world.tls)]

    with pytest.raises(LocationUnknown) as failed:
        world.access().open()

    assert "the certificate is not for hidden.sandbox.example" in failed.value.detail
    assert world.operations() == []


# -- where one is sent


def sent(outcome, target, **more):
    return Rule(outcome=outcome, target=target, host="sandbox.example", **more)


@pytest.mark.parametrize(
    ("outcome", "target"),
    [
        (Outcome.REDIRECT_URL, f"https://autodiscover.other.example{SVC}"),
        (Outcome.MOVED, f"https://autodiscover.other.example{SVC}"),
        (Outcome.MOVED, f"https://autodiscover.other.example{XML}"),
    ],
)
@pytest.mark.parametrize("language", ["soap", "pox"])
def test_another_host_may_be_named_by_a_protected_answer(world, outcome, target, language):
    world.serve("sandbox.example", "autodiscover.other.example")
    if language == "pox":
        world.exchange.autodiscover.append(
            Rule(outcome=Outcome.ABSENT, host="sandbox.example", language="soap")
        )
    world.exchange.autodiscover.append(sent(outcome, target, language=language))

    assert found_by(world.access()).url == world.exchange.url


def test_another_address_is_asked_for_where_its_own_domain_says(world):
    world.serve("sandbox.example", "autodiscover.other.example")
    world.exchange.autodiscover.append(
        Rule(outcome=Outcome.REDIRECT_ADDRESS, target=BEN, who="@sandbox.example")
    )
    access = world.access(credentials=Credentials(BEN, PASSWORD))

    found = found_by(access)

    assert (found.url, found.address) == (world.exchange.url, BEN)
    assert access.open().primary_smtp_address == BEN
    access.close()


@pytest.mark.parametrize(
    ("target", "why"),
    [
        (f"http://autodiscover.other.example{SVC}", "no https"),
        ("ftp://autodiscover.other.example/", "must be a URL"),
        ("", "must be a URL"),
    ],
)
def test_only_https_is_followed(world, target, why):
    world.serve("sandbox.example", "autodiscover.other.example")
    world.exchange.autodiscover.append(sent(Outcome.MOVED, target))

    with pytest.raises(LocationUnknown) as failed:
        world.access().open()

    assert why in failed.value.detail
    assert "autodiscover.other.example" not in world.asked


@pytest.mark.parametrize("outcome", [Outcome.MOVED, Outcome.REDIRECT_URL])
def test_a_circle_of_redirects_ends(world, outcome):
    world.serve("sandbox.example", "autodiscover.other.example")
    there, back = f"https://autodiscover.other.example{SVC}", f"https://sandbox.example{SVC}"
    world.exchange.autodiscover.extend(
        [
            Rule(outcome=outcome, target=there, host="sandbox.example"),
            Rule(outcome=outcome, target=back, host="autodiscover.other.example"),
        ]
    )

    with pytest.raises(LocationUnknown):
        world.access().open()

    assert len(world.asked) < 12


def test_a_circle_of_addresses_ends(world):
    world.serve("sandbox.example", "other.example")
    world.exchange.autodiscover.extend(
        [
            Rule(outcome=Outcome.REDIRECT_ADDRESS, target=BEN, who=ADA),
            Rule(outcome=Outcome.REDIRECT_ADDRESS, target=ADA, who=BEN),
        ]
    )

    with pytest.raises(LocationUnknown):
        world.access().open()


def test_denied_networks_hold_for_where_one_is_sent(world):
    world.serve("sandbox.example")
    world.hosts["autodiscover.other.example"] = "127.0.0.9"
    world.exchange.autodiscover.append(
        sent(Outcome.MOVED, f"https://autodiscover.other.example{SVC}")
    )

    with pytest.raises(LocationUnknown) as failed:
        world.access(denied_networks=("127.0.0.9/32",)).open()

    assert "127.0.0.9, which lies in the denied network" in failed.value.detail


# -- what goes wrong


@pytest.mark.rule("R1.24")
def test_nobody_knows(world):
    steps = []

    class Watcher:
        def begin(self, phase):
            pass

        def end(self, phase, error):
            steps.append((phase, error))

    with pytest.raises(LocationUnknown) as failed:
        world.access(Watcher()).open()

    assert failed.value.permanent
    assert failed.value.code == "MailboxLocationNotDetermined"
    assert failed.value.phase == "discover"
    assert steps == [(Phase.DISCOVER, failed.value)]
    assert len(failed.value.steps) == 4


@pytest.mark.rule("R1.24")
def test_an_address_that_its_own_server_does_not_know(world):
    world.serve("autodiscover.sandbox.example")

    with pytest.raises(UserUnknown) as failed:
        world.access(address="nobody@sandbox.example").open()

    assert failed.value.code == "NoUserFound"


def test_a_refused_login_is_told_as_such_and_tried_once_at_each_host(world):
    world.serve("sandbox.example", "autodiscover.sandbox.example")

    with pytest.raises(LoginRefused) as refused:
        world.access(credentials=Credentials(ADA, "wrong")).open()

    assert refused.value.phase == "discover"
    assert world.operations() == ["sign-in"] * 4  # asked, and answered, at two hosts


def test_a_refused_token_is_told_as_such(world):
    world.exchange.gate.methods = Methods(basic=False, ntlm=False, bearer=True)
    world.serve("autodiscover.sandbox.example")

    with pytest.raises(TokenRefused):
        world.access(credentials=Bearer(ADA, lambda refused: "unknown")).open()


def test_the_web_server_of_a_domain_that_is_none_of_exchange_is_passed_over(world):
    world.serve("sandbox.example", "autodiscover.sandbox.example")
    world.exchange.autodiscover.append(Rule(outcome=Outcome.ABSENT, host="sandbox.example"))

    assert found_by(world.access()).url == world.exchange.url


def test_a_server_in_trouble_may_be_asked_later(world):
    world.serve("autodiscover.sandbox.example")
    world.exchange.autodiscover.append(Rule(outcome=Outcome.ERROR, language="pox"))
    world.exchange.autodiscover.append(Rule(outcome=Outcome.ABSENT, language="soap"))

    with pytest.raises(TransientError) as failed:
        world.access().open()

    assert not failed.value.permanent


def test_credentials_are_not_shown_to_a_server_that_nobody_vouches_for(world):
    world.serve("sandbox.example", "autodiscover.sandbox.example")

    with pytest.raises(LocationUnknown) as failed:
        world.access(ca_pem="").open()

    assert failed.value.detail.count("certificate") == 2
    assert world.operations() == []


# -- found again


def remembered(world, url, **more):
    return Endpoint(url, datetime.now(UTC), version="Exchange2016", address=ADA, **more)


@pytest.mark.rule("R1.23")
@pytest.mark.parametrize("status", [301, 302, 307, 401, 404])
def test_an_answer_that_says_it_moved_leads_to_one_discovery_in_the_same_cycle(world, status):
    world.serve("autodiscover.sandbox.example")
    former = f"https://127.0.0.1:{world.tls}/EWS/Exchange.asmx"
    world.hosts["127.0.0.1"] = "127.0.0.1"
    kept = []
    access = world.access(found=remembered(world, former), remember=kept.append)

    with access:
        world.exchange.faults.add(http_status(status, "GetFolder"))
        read(access)

    assert [one and one.url for one in kept] == [None, world.exchange.url]
    assert world.operations().count("autodiscover") == 1
    assert world.operations().count("GetFolder") == 2


@pytest.mark.rule("R1.23")
def test_a_host_that_is_gone_has_moved(world):
    world.serve("autodiscover.sandbox.example")
    kept = []
    former = remembered(world, "https://former.example/EWS/Exchange.asmx")

    with world.access(found=former, remember=kept.append) as access:
        read(access)

    assert kept[0] is None
    assert {one.url for one in kept[1:]} == {world.exchange.url}
    assert kept[-1].version == "Exchange2016"


@pytest.mark.rule("R1.23", "R1.24")
def test_what_was_just_found_is_not_looked_for_again(world):
    world.serve("autodiscover.sandbox.example")

    with pytest.raises(WrongProtocol), world.access() as access:
        world.exchange.faults.add(http_status(404, "GetFolder", times=None))
        read(access)

    assert world.operations().count("autodiscover") == 1


@pytest.mark.rule("R1.23")
def test_the_same_place_is_not_asked_again(world):
    world.serve("autodiscover.sandbox.example")
    former = remembered(world, world.exchange.url)

    with pytest.raises(WrongProtocol), world.access(found=former) as access:
        world.exchange.faults.add(http_status(404, "GetFolder", times=None))
        read(access)

    assert world.operations().count("GetFolder") == 1


@pytest.mark.rule("R1.23")
def test_nothing_is_found_any_more(world):
    former = remembered(world, world.exchange.url)

    with pytest.raises(LocationUnknown), world.access(found=former) as access:
        world.exchange.faults.add(http_status(404, "GetFolder"))
        read(access)


def test_a_wrong_password_stays_one_whatever_discovery_says(world):
    former = remembered(world, world.exchange.url)
    access = world.access(found=former, credentials=Credentials(ADA, "wrong"))

    with pytest.raises(LoginRefused), access:
        read(access)


def test_an_entered_location_is_never_looked_for(world):
    world.serve("autodiscover.sandbox.example")
    url = world.exchange.url.replace("EWS", "nothing-here")

    with pytest.raises(WrongProtocol):
        world.access(url=url).open()

    assert set(world.asked) == {"localhost"}
    assert "autodiscover" not in world.operations()


def test_a_way_to_log_in_that_was_closed_since_is_chosen_anew(world):
    settled = remembered(world, world.exchange.url, scheme="basic")
    world.exchange.gate.methods = Methods(basic=False, ntlm=True)
    kept = []
    access = world.access(
        url=world.exchange.url,
        authentication=Authentication.AUTO,
        found=settled,
        remember=kept.append,
    )

    with access:
        read(access)

    assert kept == [None]


# -- with the rows


@pytest.fixture
def by_name(world, monkeypatch):
    """Everything in this process finds the server by the names of `world`."""
    monkeypatch.setattr(line, "resolve", world.resolve)
    monkeypatch.setattr(discovery, "find_service", world.find_service)
    world.serve("autodiscover.sandbox.example")
    return world


def discovering(world):
    profile = EmailServerProfileFactory(
        exchange=True, use_auto_discover=True, ca_certificate=world.pem
    )
    return ready_mailbox(
        email_server_profile=profile, email_address=ADA, user_name=ADA, password=PASSWORD
    )


def again(mailbox):
    return Mailbox.objects.select_related("email_server_profile").get(pk=mailbox.pk)


def one_cycle(build, mailbox):
    server = build(again(mailbox), organization())
    server.open()
    if build is incoming_server:
        server.list_new(INBOX, "", 1)
    server.close()


@pytest.mark.rule("R1.22", "R1.23")
@pytest.mark.django_db
def test_a_mailbox_is_found_once_a_day_by_both_directions(by_name):
    mailbox = discovering(by_name)
    for build in (incoming_server, incoming_server, outgoing_server):
        one_cycle(build, mailbox)
    once = by_name.operations().count("autodiscover")

    DiscoveredEndpoint.objects.update(found_on=timezone.now() - timedelta(days=1))
    one_cycle(incoming_server, mailbox)

    assert once == 1
    assert by_name.operations().count("autodiscover") == 2
    assert again(mailbox).ews_url == by_name.exchange.url
    assert timezone.now() - again(mailbox).last_autodiscovered_on < timedelta(minutes=1)


@pytest.mark.rule("R1.23")
@pytest.mark.django_db
def test_a_mailbox_whose_server_moved_is_read_in_the_same_cycle(by_name):
    mailbox = discovering(by_name)
    one_cycle(incoming_server, mailbox)
    DiscoveredEndpoint.objects.update(url="https://former.example/EWS/Exchange.asmx")

    one_cycle(incoming_server, mailbox)

    assert again(mailbox).ews_url == by_name.exchange.url


@pytest.mark.rule("R1.24")
@pytest.mark.django_db
def test_a_mailbox_that_nobody_knows_is_remembered_nowhere(by_name):
    mailbox = discovering(by_name)
    by_name.exchange.autodiscover.append(Rule(outcome=Outcome.ABSENT))

    with pytest.raises(LocationUnknown):
        one_cycle(incoming_server, mailbox)

    assert again(mailbox).ews_url == ""
