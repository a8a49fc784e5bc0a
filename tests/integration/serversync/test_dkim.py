"""Signatures of a profile: who gets one, what happens without a key, what the console shows."""

from datetime import timedelta

import dkim
import pytest
from django.urls import reverse

from activities.choices import EmailStatus
from activities.mime.message import Address
from activities.models import Email
from mailboxes.choices import Operation, ServerType
from mailboxes.choices import TestStatus as Outcome
from mailboxes.dkim import KeyKind, new_key, read_key, record_name, record_of, write_key
from mailboxes.models import EmailServerProfile, TraceLog
from mailboxes.protocols import txt
from mailboxes.secrets import Secret
from serversync import dkim_record, engine, outbox, testing
from serversync.choices import WorkloadState
from serversync.models import Submission, Workload
from tests.factories.clients import signed_in
from tests.factories.mailboxes import (
    EmailServerProfileFactory,
    ForwardMailboxFactory,
    SuperuserFactory,
)
from tests.integration.serversync.cycles import NOW, Account, organization, user_mailbox
from tests.integration.serversync.test_console_profiles import change, errors, fresh, send, told
from tests.integration.serversync.test_testing import Bench

pytestmark = [pytest.mark.integration, pytest.mark.django_db]

KEY = new_key(KeyKind.RSA)
SIGNS = {
    "dkim_sign": True,
    "dkim_domain": "example.com",
    "dkim_selector": "s1",
    "dkim_private_key": Secret.conceal(write_key(KEY)),
}


@pytest.fixture
def ada() -> Account:
    organization(allow_unresolved_parties_on_email_send=True)
    account = Account(user_mailbox("ada"))
    EmailServerProfile.objects.update(**SIGNS)
    return account


def submitted(account: Account) -> Email:
    user = account.mailbox.regarding_user
    draft = outbox.Draft(sender=user, to=(Address("cleo@customer.example"),), body="<p>Grüße</p>")
    email = outbox.create_draft(draft, actor=user, now=account.now)
    return outbox.submit(email, actor=user, now=account.now).email


def is_true(mime: bytes) -> bool:
    return dkim.verify(mime, dnsfunc=lambda name, timeout=5: record_of(KEY).encode())


def test_mail_of_the_profile_leaves_signed(ada: Account) -> None:
    submitted(ada)

    ada.send()

    (envelope,) = ada.outgoing.sent
    assert envelope.mime.startswith(b"DKIM-Signature: ")
    assert is_true(envelope.mime)


def test_what_is_redirected_is_signed_as_it_leaves(ada: Account, settings) -> None:
    settings.REDIRECT_ALL_MAIL_TO = "staging@example.net"
    submitted(ada)

    ada.send()

    (envelope,) = ada.outgoing.sent
    assert b"X-Intended-To" in envelope.mime
    assert is_true(envelope.mime)


@pytest.mark.parametrize("exchange", [True, False])
def test_exchange_signs_itself_and_a_profile_that_does_not_sign_does_not(
    ada: Account, exchange: bool
) -> None:
    kind = ServerType.EXCHANGE_SERVER if exchange else ServerType.IMAP_SMTP
    EmailServerProfile.objects.update(server_type=kind, dkim_sign=exchange)
    submitted(ada)

    ada.send()

    assert b"DKIM-Signature" not in ada.outgoing.sent[0].mime


@pytest.mark.rule("R5.13")
@pytest.mark.parametrize(
    "key", [Secret.conceal("no key"), Secret("not from here"), Secret("")], ids=str
)
def test_without_a_usable_key_mail_waits_and_none_leaves(ada: Account, key: Secret) -> None:
    email = submitted(ada)
    EmailServerProfile.objects.update(dkim_private_key=key)

    engine.run_one(
        ada.mailbox, Operation.OUTGOING, force=True, clock=lambda: NOW + timedelta(minutes=1)
    )

    workload = Workload.objects.get(mailbox=ada.mailbox, operation=Operation.OUTGOING)
    assert (workload.state, workload.state_code) == (WorkloadState.DISABLED, "DkimKeyUnusable")
    email.refresh_from_db()
    assert email.status_code == EmailStatus.PENDING_SEND
    assert email.delivery_attempts == 0
    assert not Submission.objects.filter(handed_over_at__isnull=False).exists()
    assert TraceLog.objects.filter(code="DkimKeyUnusable").exists()


# -- Test & Enable -------------------------------------------------------------------------------


@pytest.fixture
def dns(monkeypatch) -> dict[str, tuple[str, ...] | None]:
    """What name servers say; of what isn't here, that there is no such name."""
    said: dict[str, tuple[str, ...] | None] = {}
    monkeypatch.setattr(dkim_record, "look_up", lambda name: said.get(name, ()))
    return said


def outgoing(bench: Bench) -> testing.Result:
    report = bench.run()
    return next(one for one in report.results if one.operation == Operation.OUTGOING)


@pytest.mark.parametrize("texts", [(record_of(KEY),), None])
def test_the_test_looks_the_record_up_and_sends_a_signed_message(dns, texts) -> None:
    bench = Bench()
    EmailServerProfile.objects.update(**SIGNS)
    dns[record_name("s1", "example.com")] = texts

    result = outgoing(bench)

    assert result.status == Outcome.SUCCESS
    step = next(step for step in result.steps if step["step"] == "sign")
    assert ("holds the right key" if texts else "No name server answered") in step["text"]
    assert is_true(bench.sent[-1].sent[0].mime)


@pytest.mark.parametrize(
    ("texts", "words"),
    [
        ((), "has no DKIM record"),
        (("v=DKIM1; p=",), "revoked"),
        ((record_of(new_key(KeyKind.ED25519)),), "holds another key"),
        ((record_of(KEY), record_of(KEY)), "several DKIM records"),
    ],
)
def test_the_test_fails_before_anything_leaves_if_the_record_is_wrong(dns, texts, words) -> None:
    bench = Bench()
    EmailServerProfile.objects.update(**SIGNS)
    dns[record_name("s1", "example.com")] = texts

    result = outgoing(bench)

    assert (result.status, result.code) == (Outcome.FAILURE, "DkimRecordWrong")
    assert words in result.text
    assert all(server.sent == [] for server in bench.sent)


def test_names_that_nobody_answers_for_are_told_apart(monkeypatch) -> None:
    import dns.resolver

    for error, expected in (
        (dns.resolver.NXDOMAIN(), ()),
        (dns.resolver.NoAnswer(response=_Answer()), ()),
        (dns.resolver.LifetimeTimeout(timeout=1, errors=[]), None),
    ):

        def resolve(*_args, error=error, **_options):
            raise error

        monkeypatch.setattr(txt.dns.resolver, "resolve", resolve)
        assert txt.look_up("s1._domainkey.example.com") == expected


class _Answer:
    question = ()


# -- the console ---------------------------------------------------------------------------------


@pytest.fixture
def client():
    return signed_in(SuperuserFactory())


def do(client, profile: EmailServerProfile, name: str):
    url = reverse("admin:mailboxes_emailserverprofile_do", args=[profile.pk, name])
    return client.post(url)


def test_a_key_is_made_and_its_record_shown_but_never_the_key(client, dns) -> None:
    profile = EmailServerProfileFactory(dkim_domain="example.com", dkim_selector="s1")

    assert "The key was made" in told(do(client, profile, "make_rsa_key"))
    first = fresh(profile).dkim_private_key.reveal()
    assert record_of(read_key(first)).startswith("v=DKIM1; k=rsa; p=MII")
    assert "The key was made" in told(do(client, profile, "make_ed25519_key"))

    stored = fresh(profile).dkim_private_key.reveal()
    page = client.get(change(profile)).content.decode()
    assert stored != first
    assert record_of(read_key(stored)) in page
    assert "k=ed25519" in page
    assert "s1._domainkey.example.com" in page
    assert "PRIVATE KEY" not in page
    assert stored.splitlines()[1] not in page

    assert "has no DKIM record" in told(do(client, profile, "check_dkim"))
    dns["s1._domainkey.example.com"] = (record_of(read_key(stored)),)
    assert "holds the right key" in told(do(client, profile, "check_dkim"))


def test_a_key_in_use_is_not_replaced(client) -> None:
    profile = EmailServerProfileFactory(**SIGNS)

    assert do(client, profile, "make_rsa_key").status_code == 404
    assert fresh(profile).dkim_private_key == SIGNS["dkim_private_key"]


def test_signing_needs_all_three(client) -> None:
    profile = EmailServerProfileFactory(dkim_domain="example.com")

    refused = send(client, change(profile), dkim_sign="on", dkim_selector="s1")
    assert list(errors(refused)) == ["dkim_sign"]
    kept = send(client, change(profile), dkim_domain="not a domain", dkim_selector="a;b")
    assert set(errors(kept)) == {"dkim_domain", "dkim_selector"}

    send(
        client,
        change(profile),
        dkim_sign="on",
        dkim_selector="s1",
        dkim_private_key=write_key(KEY).replace("\n", " "),
    )

    assert fresh(profile).dkim_sign
    assert fresh(profile).dkim_private_key.reveal() == write_key(KEY)


def test_what_is_no_key_is_refused_and_not_shown_again(client) -> None:
    profile = EmailServerProfileFactory(dkim_domain="example.com", dkim_selector="s1")
    text = write_key(new_key(KeyKind.ED25519))[:60]

    answer = send(client, change(profile), dkim_private_key=text)

    assert "no private key" in str(errors(answer)["dkim_private_key"])
    assert text not in answer.content.decode()
    assert not fresh(profile).dkim_private_key


def test_mail_of_other_domains_is_told(client) -> None:
    profile = EmailServerProfileFactory(**SIGNS)
    for address in ("ada@example.com", "ben@mail.example.com", "cleo@example.net"):
        ForwardMailboxFactory(email_address=address, email_server_profile=profile)

    page = client.get(change(profile)).content.decode()

    assert "Mail from example.net bears" in page


@pytest.mark.rule("R1.9")
def test_a_key_does_not_follow_to_another_domain(client) -> None:
    profile = EmailServerProfileFactory(**SIGNS)

    answer = send(client, change(profile), dkim_domain="other.example")

    assert "dkim_private_key" in errors(answer)
    assert fresh(profile).dkim_domain == "example.com"


def test_exchange_is_told_that_it_signs_itself(client) -> None:
    profile = EmailServerProfileFactory(exchange=True, **SIGNS)

    page = client.get(change(profile)).content.decode()

    assert "signs them itself" in page
