"""Signing in: brakes, the second factor, sessions, and what the audit trail says of it."""

from datetime import timedelta

import pyotp
import pytest
from cryptography.fernet import Fernet
from django.contrib.auth.models import Permission
from django.core.management import call_command
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from mailboxes.choices import Reach, SecondFactor
from mailboxes.models import GroupReach, Organization
from serversync.models import AuditEntry, Authenticator, RecoveryCode, SignInBrake
from serversync.people import audit, roles, throttling
from serversync.people.choices import AuditKind
from tests.factories.clients import signed_in
from tests.factories.mailboxes import SuperuserFactory, SystemUserFactory, group_of, organization

pytestmark = [pytest.mark.integration, pytest.mark.database("sqlite"), pytest.mark.django_db]

PASSWORD = "right-Password-1"
LOGIN, FACTOR, SETUP = "/login/", "/second-factor/", "/second-factor/setup/"


@pytest.fixture
def ada():
    return person("ada")


def person(name: str, factory=SystemUserFactory):
    user = factory(domain_name=name)
    user.set_password(PASSWORD)
    user.save(update_fields=["password"])
    return user


def enter(name: str, password: str = PASSWORD, address: str = "192.0.2.1", client=None):
    client = client or Client(SERVER_NAME="127.0.0.1")
    data = {"username": name, "password": password}
    answer = client.post(LOGIN, data, REMOTE_ADDR=address)
    return answer, client


def kinds() -> list[str]:
    return list(AuditEntry.objects.order_by("pk").values_list("kind", flat=True))


def code_of(user, ahead: int = 0) -> str:
    """The code of a step that wasn't used."""
    key = Authenticator.objects.get(user=user).key.reveal()
    return pyotp.TOTP(key).at(timezone.now() + timedelta(seconds=30 * ahead))


# -- brakes


def fail(name: str, times: int, address: str = "192.0.2.1") -> list[str]:
    said = []
    for _ in range(times):
        answer, _client = enter(name, "wrong", address)
        said.append(str(answer.context["form"].non_field_errors()))
    return said


def test_after_five_failures_even_the_right_password_waits_and_a_stranger_is_told_the_same(ada):
    for name in ("ada", "nobody-here"):
        said = fail(name, 6)
        assert all("enter the correct" in words for words in said[:5]), said
        assert "Too many attempts failed. Try again in 5 seconds." in said[5], said
    assert enter("ada")[0].status_code == 200
    assert AuditEntry.objects.filter(kind=AuditKind.THROTTLED, about_user=ada).count() == 1
    assert not AuditEntry.objects.filter(actor_name__contains="nobody-here").exists()


def test_who_guesses_elsewhere_keeps_nobody_out(ada):
    assert enter("ada", address="198.51.100.1")[0].status_code == 302
    for last in range(8):
        fail("ada", 5, f"203.0.113.{last}")
    held, _client = enter("ada", address="203.0.113.99")
    assert "Too many" in str(held.context["form"].non_field_errors())
    assert enter("ada", address="198.51.100.1")[0].status_code == 302


def test_a_success_clears_and_time_does(ada):
    fail("ada", 4)
    assert enter("ada")[0].status_code == 302
    assert all("correct" in words for words in fail("ada", 5))
    SignInBrake.objects.update(last_on=timezone.now() - timedelta(minutes=1))
    assert enter("ada")[0].status_code == 302


def test_what_holds_nobody_is_forgotten(ada):
    fail("nobody-here", 2)
    assert throttling.forget(timezone.now()) == 0
    assert throttling.forget(timezone.now() + throttling.QUIET * 2) == 3


def test_made_up_names_fill_no_table_once_their_address_waits(ada):
    key = throttling.of_sign_in("x", "192.0.2.1").others[1].key
    SignInBrake.objects.create(key=key, failures=50, last_on=timezone.now())
    for number in range(3):
        assert "Too many" in fail(f"nobody-{number}", 1)[0]
    assert SignInBrake.objects.count() == 1


@pytest.mark.parametrize(("behind", "address"), [(True, "203.0.113.9"), (False, "192.0.2.1")])
def test_a_forwarded_address_counts_only_behind_a_proxy(ada, settings, behind, address):
    settings.BEHIND_PROXY = behind
    client = Client(SERVER_NAME="127.0.0.1", HTTP_X_FORWARDED_FOR="10.1.1.1, 203.0.113.9")
    enter("ada", client=client)
    assert AuditEntry.objects.get(kind=AuditKind.SIGNED_IN).address == address


# -- the second factor


def equipped(user) -> tuple[Client, list[str]]:
    client = signed_in(user)
    page = client.get(SETUP)
    key = page.context["key"].replace(" ", "")
    code = pyotp.TOTP(key).at(timezone.now() - timedelta(seconds=30))
    done = client.post(SETUP, {"password": PASSWORD, "code": code})
    return client, done.context["codes"]


def test_it_is_set_up_with_the_password_and_asked_for_from_then_on(ada):
    other = signed_in(ada)
    client, codes = equipped(ada)
    assert len(codes) == 10
    assert client.get("/").status_code == 200
    assert other.get("/").url.startswith("/login/")  # other sessions end

    answer, again = enter("ada")
    assert answer.status_code == 302
    for place in ("/", reverse("admin:mailboxes_mailbox_changelist"), SETUP):
        assert again.get(place).url.startswith(FACTOR)
    wrong = again.post(FACTOR, {"code": "000000"})
    assert "code" in wrong.context["form"].errors
    assert again.post(FACTOR, {"code": code_of(ada)}).url == "/"
    assert again.get("/").status_code == 200
    stored = Authenticator.objects.values_list("key", flat=True).get()
    assert "JBSW" not in str(stored) and stored.token.startswith("gAAA")


def test_a_code_and_a_recovery_code_are_good_once(ada):
    _client, codes = equipped(ada)
    code = code_of(ada)
    assert enter("ada")[1].post(FACTOR, {"code": code}).status_code == 302
    assert enter("ada")[1].post(FACTOR, {"code": code}).status_code == 200
    assert enter("ada")[1].post(FACTOR, {"code": codes[3].upper()}).status_code == 302
    assert enter("ada")[1].post(FACTOR, {"code": codes[3]}).status_code == 200
    assert RecoveryCode.objects.filter(used_on__isnull=True).count() == 9
    assert codes[3].replace("-", "") not in str(list(RecoveryCode.objects.values()))


def test_a_recovery_code_opens_where_the_key_can_not_be_read_any_more(ada, settings):
    _client, codes = equipped(ada)
    code = code_of(ada)
    settings.FIELD_ENCRYPTION_KEYS = [Fernet.generate_key().decode()]
    _answer, again = enter("ada")
    assert "code" in again.post(FACTOR, {"code": code}).context["form"].errors
    assert again.post(FACTOR, {"code": codes[0]}).status_code == 302
    assert again.get("/").status_code == 200


def test_guessing_codes_waits(ada):
    equipped(ada)
    client = enter("ada")[1]
    for _ in range(5):
        client.post(FACTOR, {"code": "000000"})
    held = client.post(FACTOR, {"code": code_of(ada)})
    assert "Too many attempts" in str(held.context["form"].errors)


def test_who_has_the_password_alone_keeps_nobody_out_with_wrong_codes(ada):
    equipped(ada)
    for last in range(4):
        elsewhere = f"203.0.113.{last}"
        thief = enter("ada", address=elsewhere)[1]
        for _ in range(5):
            answer = thief.post(FACTOR, {"code": "000000"}, REMOTE_ADDR=elsewhere)
    assert "Too many" in str(answer.context["form"].errors)
    thief = enter("ada", address="203.0.113.99")[1]
    held = thief.post(FACTOR, {"code": "000000"}, REMOTE_ADDR="203.0.113.99")
    assert "Too many" in str(held.context["form"].errors)  # from anywhere new
    assert enter("ada")[1].post(FACTOR, {"code": code_of(ada)}).status_code == 302


def test_without_the_password_nobody_sets_it_up(ada):
    client = signed_in(ada)
    key = client.get(SETUP).context["key"].replace(" ", "")
    data = {"password": "wrong", "code": pyotp.TOTP(key).at(timezone.now())}
    assert "password" in client.post(SETUP, data).context["form"].errors
    assert not Authenticator.objects.exists()


def test_it_is_removed_with_a_code_unless_it_is_required(ada):
    client, codes = equipped(ada)
    organization(second_factor=SecondFactor.ALL)
    assert client.post(SETUP, {"code": codes[0], "remove": ""}).status_code == 200
    assert Authenticator.objects.exists()
    organization(second_factor=SecondFactor.OPTIONAL)
    assert client.post(SETUP, {"code": codes[1], "remove": ""}).status_code == 302
    assert not Authenticator.objects.exists()
    assert client.get("/").status_code == 200


def test_whoever_must_have_one_comes_to_its_page_first(ada):
    organization(second_factor=SecondFactor.ADMINISTRATORS)
    assert enter("ada")[1].get("/").status_code == 200
    administrator = person("robin", SuperuserFactory)
    client = enter("robin")[1]
    assert client.get("/").url.startswith(SETUP)
    assert client.get(SETUP).status_code == 200
    group_of(ada, "change_mailbox", reach=Reach.ALL)
    assert enter("ada")[1].get("/").url.startswith(SETUP)
    assert administrator.second_factor_since is None


def test_a_superuser_resets_it_and_every_session_ends(ada):
    client, _codes = equipped(ada)
    url = reverse("admin:mailboxes_systemuser_do", args=[ada.pk, "reset_factor"])
    helper = SystemUserFactory()
    group_of(helper, "view_systemuser", "change_systemuser", reach=Reach.ALL)
    assert signed_in(helper).post(url).status_code == 404
    assert signed_in(person("robin", SuperuserFactory)).post(url).status_code == 302
    assert client.get("/").url.startswith("/login/")
    assert not Authenticator.objects.exists() and not RecoveryCode.objects.exists()
    assert AuditEntry.objects.get(kind=AuditKind.FACTOR_RESET).actor_name == "robin"


# -- sessions


def test_a_new_password_ends_other_sessions(ada):
    other, client = signed_in(ada), signed_in(ada)
    new = "quite-another-Word-2"
    data = {"old_password": PASSWORD, "new_password1": new, "new_password2": new}
    assert client.post(reverse("admin:password_change"), data).status_code == 302
    assert client.get("/").status_code == 200
    assert other.get("/").url.startswith("/login/")
    assert AuditKind.PASSWORD_CHANGED in kinds()


@pytest.mark.parametrize(("key", "seconds"), [("since", 12 * 3600), ("seen", 2 * 3600)])
def test_an_old_or_idle_session_ends(ada, key, seconds):
    client = signed_in(ada)
    session = client.session
    session[key] -= seconds
    session.save()
    assert client.get("/").url.startswith("/login/")


# -- roles and the trail


NO_TEST = "0b9c1a52-6f0e-4d43-9f5e-3a1f0c2d7e61"


@pytest.mark.parametrize("place", ["/live/", f"/test-connection/{NO_TEST}/state/"])
def test_what_a_page_asks_by_itself_keeps_no_session_alive(ada, place):
    client = signed_in(ada)
    session = client.session
    session["seen"] = session["since"] = seen = session["seen"] - 600
    session.save()
    client.get(place)
    assert client.session["seen"] == seen
    client.get("/")
    assert client.session["seen"] > seen


def test_the_old_password_is_not_guessed_at_a_browser_that_was_left(ada):
    client = signed_in(ada)
    new = {"new_password1": "another-Password-2", "new_password2": "another-Password-2"}
    for _ in range(5):
        client.post("/password_change/", {"old_password": "guess", **new})
    held = client.post("/password_change/", {"old_password": PASSWORD, **new})
    assert "Too many attempts" in str(held.context["form"].errors["old_password"])
    SignInBrake.objects.update(last_on=timezone.now() - timedelta(minutes=1))
    assert client.post("/password_change/", {"old_password": PASSWORD, **new}).status_code == 302
    assert client.get("/").status_code == 200  # the session goes on


def test_groups_keep_what_a_site_changed(ada):
    call_command("setup_groups", verbosity=0)
    group = roles.group_of("user")
    taken = Permission.objects.get(codename="track_syncitem")
    group.permissions.remove(taken)
    GroupReach.objects.filter(group=group).update(reach=Reach.TEAM)
    roles.group_of("support").delete()

    assert roles.setup_groups() == dict.fromkeys(roles.ROLES, ())
    assert not group.permissions.filter(pk=taken.pk).exists()
    assert roles.group_of("support") is None
    assert roles.changes_of(group).missing == ("serversync.track_syncitem",)

    roles.reset("user")
    assert not roles.changes_of(group)
    assert roles.reset("support").name == "support"


def test_rights_secrets_and_deeds_are_noted_without_what_they_hold(ada):
    robin = person("robin", SuperuserFactory)
    client = signed_in(robin)
    mailbox = ada.default_mailbox
    group = group_of(SystemUserFactory(), "view_mailbox")
    AuditEntry.objects.all().delete()
    ada.groups.add(group)
    client.post(reverse("admin:mailboxes_mailbox_do", args=[mailbox.pk, "approve"]))
    with acting(robin):
        mailbox.refresh_from_db()
        mailbox.password = "never-told"
        mailbox.save(update_fields=["password"])
    assert kinds() == [AuditKind.GRANTED, AuditKind.ACTION, AuditKind.SECRET_SET]
    page = client.get(reverse("admin:serversync_auditentry_changelist"), {"q": "robin"})
    text = page.content.decode()
    assert "Approve" in text and "password" in text and str(mailbox) in text
    assert "never-told" not in str(list(AuditEntry.objects.values()))


class acting:
    """As if this person's request were being answered."""

    def __init__(self, user) -> None:
        self.request = type("Request", (), {"user": user, "META": {}})()

    def __enter__(self) -> None:
        self.token = audit._request.set(self.request)

    def __exit__(self, *_: object) -> None:
        audit._request.reset(self.token)


def test_the_trail_is_forgotten_after_its_days(ada):
    now = timezone.now()
    for days in (10, 400):
        audit.record(AuditKind.SIGNED_IN, about=ada, now=now - timedelta(days=days))
    assert audit.forget(now, Organization(keep_audit_days=0)) == 0
    assert audit.forget(now, Organization(keep_audit_days=365)) == 1


def test_own_entries_are_seen_and_nobody_elses(ada):
    group_of(ada, "view_auditentry")
    audit.record(AuditKind.SIGN_IN_FAILED, about=ada)
    audit.record(AuditKind.SIGN_IN_FAILED, about=SystemUserFactory())
    page = signed_in(ada).get(reverse("admin:serversync_auditentry_changelist"))
    assert {entry.about_user_id for entry in page.context["cl"].result_list} == {ada.pk}


# -- my mailbox


def test_whoever_may_not_see_all_mailboxes_lands_at_the_own_one(ada):
    assert enter("ada")[0].url == reverse("admin:my_mailbox")
    person("robin", SuperuserFactory)
    assert enter("robin")[0].url == "/"


def test_my_mailbox_shows_own_ones_and_those_of_own_queues(site):
    client, url = signed_in(site.ada), reverse("admin:my_mailbox")
    healthy, queue = site.mailboxes["healthy"], site.mailboxes["queue"]
    page = client.get(url)
    assert [box.pk for box, _health, _kind in page.context["boxes"]] == [healthy.pk, queue.pk]
    text = page.content.decode()
    assert "Newsletter" in text and "Synchronize now" in text
    assert "Printer on fire" in client.get(url, {"box": queue.pk}).content.decode()
    foreign = client.get(url, {"box": site.mailboxes["failing"].pk})
    assert foreign.context["own"].mailbox.pk == healthy.pk
    assert "ada@" not in signed_in(site.ben).get(url).content.decode()
