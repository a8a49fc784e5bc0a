"""What a hostile or an unlucky importer meets: rights, odd files, two clicks at once, secrets and their places."""

import csv
import io
import re
import zipfile
from datetime import timedelta

import pytest
from django.core.exceptions import ValidationError
from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import reverse
from django.utils import timezone
from django_q.models import OrmQ

from mailboxes.choices import CredentialRetrieval, Reach
from mailboxes.models import EmailServerProfile, Mailbox, Queue, SystemUser
from mailboxes.places import is_kept_back
from serversync import jobs
from serversync.choices import ImportKind, ImportState
from serversync.importing import applying, files, held
from serversync.importing.reading import Unreadable, read
from serversync.models import AuditEntry, Import
from serversync.people import roles
from serversync.people.choices import AuditKind
from tests.factories.clients import signed_in
from tests.factories.mailboxes import (
    EmailServerProfileFactory,
    QueueFactory,
    SuperuserFactory,
    SystemUserFactory,
    group_of,
)

pytestmark = [pytest.mark.integration, pytest.mark.django_db]
ONE_DATABASE = pytest.mark.database("sqlite")

PASSWORD = "Kanarienvogel-7"
USERS, QUEUES, PROFILES, MAILBOXES = ImportKind


def begun(kind, text, actor) -> Import:
    return held.begin(
        kind=kind,
        content=text.encode(),
        file_name="accounts.csv",
        encoding="",
        actor=actor,
        now=timezone.now(),
    )


def applied(row: Import) -> Import:
    """As a worker does it: no request is being answered."""
    Import.objects.filter(pk=row.pk).update(state=ImportState.APPLYING)
    assert jobs.apply_import(str(row.pk)) == "applied"
    row.refresh_from_db()
    return row


def verdicts(row: Import) -> list[str]:
    return [held.outcome_of(line) for line in row.rows]


def reasons(row: Import) -> str:
    return " ".join(words for line in row.rows for _label, words in line["reasons"])


def again(user: SystemUser) -> SystemUser:
    return SystemUser.objects.get(pk=user.pk)


@pytest.fixture
def admin() -> SystemUser:
    return SuperuserFactory()


@pytest.fixture
def failing(monkeypatch):
    """Have the writing of one user fail."""

    def arrange(name: str, error: Exception) -> None:
        write = applying._WRITE[USERS]

        def deed(decision, actor, now) -> None:
            if decision.record.domain_name == name:
                raise error
            write(decision, actor, now)

        monkeypatch.setitem(applying._WRITE, USERS, deed)

    return arrange


# -- rights


@ONE_DATABASE
def test_rights_and_sign_in_passwords_are_no_columns(admin):
    SystemUserFactory(domain_name="ada")
    header = "domain_name,first_name,is_superuser,groups,user_permissions,password,last_login"
    rows = "ada,New,yes,mail administrator,x,pw,2026-01-01\nben,Ben,yes,x,x,pw,2026-01-01\n"

    row = applied(begun(USERS, f"{header}\n{rows}", admin))

    assert verdicts(row) == ["update", "create"]
    assert len(row.read_as["unknown"]) == 5
    for user in SystemUser.objects.filter(domain_name__in=["ada", "ben"]):
        assert not (user.is_superuser or user.groups.exists() or user.user_permissions.exists())
        assert user.last_login is None
    assert not SystemUser.objects.get(domain_name="ben").has_usable_password()


@ONE_DATABASE
def test_nobody_disables_himself_and_who_is_disabled_meanwhile_writes_nothing(admin):
    own = f"domain_name,is_disabled\n{admin.domain_name},yes\n"
    assert verdicts(begun(USERS, own, admin)) == ["refused"]
    row = begun(USERS, "domain_name\nben\n", admin)
    SystemUser.objects.filter(pk=admin.pk).update(is_disabled=True)

    assert verdicts(applied(row)) == ["refused"]
    assert not SystemUser.objects.filter(domain_name="ben").exists()


@ONE_DATABASE
@pytest.mark.parametrize(("deed", "expected"), [("add", [0, 1]), ("change", [1, 0])])
def test_adding_is_not_changing(admin, deed, expected):
    QueueFactory(name="Support", email_address="support@example.com", owning_user=admin)
    person = SystemUserFactory()
    group_of(person, f"{deed}_queue", "view_queue", reach=Reach.ALL)
    text = "name,email_address,description\nSupport,support@example.com,x\nSales,s@example.com,x\n"

    row = applied(begun(QUEUES, text, again(person)))

    assert [verdict != "refused" for verdict in verdicts(row)] == list(map(bool, expected))
    assert f"mailboxes.{'change' if deed == 'add' else 'add'}_queue" in reasons(row)


@ONE_DATABASE
def test_own_reach_ends_at_own_records(admin):
    person = SystemUserFactory()
    deeds = [f"{deed}_{model}" for deed in ("change", "view") for model in ("queue", "mailbox")]
    group_of(person, *deeds, reach=Reach.OWN)
    for name, owner in (("Own", person), ("Foreign", admin)):
        QueueFactory(name=name, email_address=f"{name}@example.com", owning_user=owner)
    person = again(person)

    row = applied(begun(QUEUES, "name,description\nOwn,x\nForeign,x\n", person))
    assert verdicts(row) == ["update", "refused"]
    assert Queue.objects.get(name="Foreign").description == ""

    boxes = "email_address,name\nown@example.com,x\nforeign@example.com,x\n"
    row = applied(begun(MAILBOXES, boxes, person))
    assert verdicts(row) == ["update", "refused"]
    assert Mailbox.objects.get(email_address="Foreign@example.com").name != "x"


@ONE_DATABASE
def test_support_and_users_find_no_import(admin):
    roles.setup_groups()
    for role in (roles.SUPPORT, roles.USER):
        person = SystemUserFactory()
        person.groups.add(roles.group_of(role.key))
        client = signed_in(again(person))
        for name in ("import", "import_template"):
            assert client.get(reverse(f"admin:{name}")).status_code == 403
        file = SimpleUploadedFile("u.csv", b"domain_name\nben\n")
        sent = {"kind": "users", "file": file}
        assert client.post(reverse("admin:import"), sent).status_code == 403
    assert not Import.objects.exists()


@ONE_DATABASE
def test_an_import_of_somebody_else_is_neither_seen_nor_applied(admin):
    person = SystemUserFactory()
    group_of(person, "add_queue", "view_queue", reach=Reach.ALL)
    row = begun(QUEUES, "name\nSales\n", admin)
    theirs = begun(QUEUES, "name\nSales\n", again(person))
    client = signed_in(again(person))
    look, export = (
        reverse(f"admin:{each}", args=[row.pk]) for each in ("import_look", "import_csv")
    )

    assert {client.get(url).status_code for url in (look, export)} == {404}
    assert client.post(look, {"apply": ""}).status_code == 404
    # Who sees everything doesn't say yes in the name of somebody else.
    answer = signed_in(admin).post(reverse("admin:import_look", args=[theirs.pk]), {"apply": ""})
    assert answer.status_code == 403
    assert set(Import.objects.values_list("state", flat=True)) == {ImportState.PLANNED}


# -- two at once, and what comes between


@ONE_DATABASE
def test_a_button_that_is_pressed_twice_says_nothing_untrue(admin):
    client = signed_in(admin)
    row = begun(USERS, "domain_name\nben\n", admin)
    url = reverse("admin:import_look", args=[row.pk])
    client.post(url, {"apply": ""})

    for button in ("apply", "discard"):
        answer = client.post(url, {button: ""}, follow=True)
        assert answer.redirect_chain == [(url, 302)]
        assert not list(answer.context["messages"])

    assert SystemUser.objects.filter(domain_name="ben").count() == 1
    assert Import.objects.get().state == ImportState.APPLIED


@ONE_DATABASE
def test_a_dry_run_that_is_gone_is_not_discarded_as_if_it_had_been_applied(admin):
    row = begun(USERS, "domain_name\nben\n", admin)
    assert held.discard(row)
    assert held.discard(row)
    with pytest.raises(held.NotNow):
        held.start(row, timezone.now())
    assert not held.apply_batch(row.pk, timezone.now())


def test_what_was_said_yes_to_has_a_job_before_its_first_row(admin, monkeypatch):
    row = begun(USERS, "domain_name\nben\n", admin)
    with monkeypatch.context() as broken:
        broken.setattr(held, "_do", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            held.start(row, timezone.now())

    assert OrmQ.objects.count() == 1
    assert jobs.apply_import(str(row.pk)) == "applied"
    row.refresh_from_db()
    assert verdicts(row) == ["create"]


def test_a_row_whose_record_is_gone_costs_itself(admin, failing):
    row = begun(USERS, "domain_name,first_name\nben,Ben\ncleo,Cleo\n", admin)
    failing("ben", Mailbox.DoesNotExist())
    assert verdicts(applied(row)) == ["refused", "create"]


@ONE_DATABASE
def test_a_row_may_name_a_record_whose_own_change_failed(admin, failing):
    SystemUserFactory(domain_name="ada")
    row = begun(USERS, "domain_name,first_name,manager\nada,New,\nben,Ben,ada\n", admin)
    failing("ada", ValidationError("No."))
    assert verdicts(applied(row)) == ["refused", "create"]


@ONE_DATABASE
def test_contents_are_gone_after_their_hour_without_anybody(admin):
    row = begun(USERS, "domain_name\nben\n", admin)
    assert jobs.tidy_imports() == "contents of 0 dry runs removed"
    Import.objects.filter(pk=row.pk).update(created_on=timezone.now() - timedelta(minutes=61))
    assert jobs.tidy_imports() == "contents of 1 dry runs removed"
    row.refresh_from_db()
    assert not row.content


# -- odd files


@ONE_DATABASE
def test_a_quote_that_nobody_closes_swallows_no_rows(admin):
    with pytest.raises(Unreadable, match="no table"):
        begun(USERS, 'domain_name,first_name\nada,"Ada\nben,Ben\n', admin)


@ONE_DATABASE
def test_a_damaged_workbook_is_told_and_no_failure_of_the_site():
    """Each of its bytes once, in steps, and each of its parts cut in two."""
    whole = files.template(QUEUES, "xlsx")
    damaged = [
        whole[:at] + bytes([whole[at] ^ 0xFF]) + whole[at + 1 :] for at in range(4, len(whole), 97)
    ]
    with zipfile.ZipFile(io.BytesIO(whole)) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    for cut in parts:
        kept = io.BytesIO()
        with zipfile.ZipFile(kept, "w") as archive:
            for name, part in parts.items():
                archive.writestr(name, part[: len(part) // 2] if name == cut else part)
        damaged.append(kept.getvalue())

    refused = 0
    for content in damaged:
        try:
            read(content, "queues.xlsx")
        except Unreadable:
            refused += 1
    assert refused > len(damaged) / 2


# -- secrets


@pytest.mark.rule("R1.9")
def test_an_import_that_moves_a_server_sends_no_mailboxs_password_along(admin):
    profile = EmailServerProfileFactory(incoming_server_location="old.example.com")
    user = SystemUserFactory(domain_name="ada", internal_email_address="ada@example.com")
    mailbox = Mailbox.objects.get(pk=user.default_mailbox.pk)
    mailbox.email_server_profile, mailbox.password = profile, PASSWORD
    mailbox.save()
    text = f"name,incoming_server_location\n{profile.name},new.example.com\n"

    assert verdicts(applied(begun(PROFILES, text, admin))) == ["update"]

    mailbox.refresh_from_db()
    assert is_kept_back(mailbox, EmailServerProfile.objects.get(pk=profile.pk))


def test_secrets_of_what_a_worker_makes_are_in_the_audit_trail(admin):
    header = "name,server_type,incoming_server_location,outgoing_server_location,incoming_password"
    row = begun(
        PROFILES, f"{header}\nNew,IMAP/SMTP,a.example.com,b.example.com,{PASSWORD}\n", admin
    )

    assert verdicts(applied(row)) == ["create"]

    entry = AuditEntry.objects.get(kind=AuditKind.SECRET_SET)
    assert (entry.detail, entry.actor_id) == ("incoming_password", admin.pk)
    stored = Import.objects.values_list("rows", "read_as", "content").get()
    assert PASSWORD not in str(stored) + files.outcome(row.rows).decode()


@ONE_DATABASE
def test_secrets_of_what_a_request_makes_are_there_once(admin):
    header = "name,server_type,incoming_server_location,outgoing_server_location,incoming_password"
    row = begun(
        PROFILES, f"{header}\nNew,IMAP/SMTP,a.example.com,b.example.com,{PASSWORD}\n", admin
    )
    page = signed_in(admin).post(reverse("admin:import_look", args=[row.pk]), {}, follow=True)
    assert AuditEntry.objects.filter(kind=AuditKind.SECRET_SET).count() == 1
    assert PASSWORD not in page.content.decode()


# -- pages and downloads


@ONE_DATABASE
def test_words_of_a_file_run_nowhere(admin):
    evil = "<script>alert(1)</script>"
    text = f'domain_name,first_name,"{evil}"\n"{evil}",x;=1+1,y\n＝1+1,Ben,y\n'
    row = begun(USERS, text, admin)
    client = signed_in(admin)

    answer = client.get(reverse("admin:import_look", args=[row.pk]) + f"?show={evil}&page=-1")
    assert evil not in answer.content.decode()
    page = client.get(reverse("admin:import_look", args=[row.pk])).content.decode()
    assert evil not in page and not re.search(
        r"<script(?![^>]*\bsrc=)(?![^>]*type=\"application/json)", page
    )

    told = client.get(reverse("admin:import_csv", args=[row.pk])).content.decode("utf-8-sig")
    cells = [cell for line in csv.reader(io.StringIO(told)) for cell in line]
    assert not [cell for cell in cells if cell.startswith(files.FORMULAS)]
    assert '""' not in told.replace(',""', "") and "\n2," not in told


# -- the same secret for another place


def test_the_same_password_frees_a_mailbox_that_is_kept_back(admin):
    profile = EmailServerProfileFactory(name="Office")
    user = SystemUserFactory()
    mailbox = user.default_mailbox
    Mailbox.objects.filter(pk=mailbox.pk).update(email_server_profile=profile)
    text = (
        f"email_address,email_server_profile,password\n{mailbox.email_address},Office,{PASSWORD}\n"
    )
    assert verdicts(applied(begun(MAILBOXES, text, admin))) == ["update"]
    assert verdicts(begun(MAILBOXES, text, admin)) == ["unchanged"]

    moved = (
        "name,incoming_server_location,outgoing_server_location\nOffice,new.example,new.example\n"
    )
    applied(begun(PROFILES, moved, admin))
    mailbox = Mailbox.objects.get(pk=mailbox.pk)
    assert is_kept_back(mailbox, mailbox.email_server_profile)
    assert verdicts(applied(begun(MAILBOXES, text, admin))) == ["update"]
    mailbox = Mailbox.objects.get(pk=mailbox.pk)
    assert not is_kept_back(mailbox, mailbox.email_server_profile)


def test_a_profile_moves_with_its_password_in_the_same_row(admin):
    EmailServerProfileFactory(
        name="Office",
        incoming_credential_retrieval=CredentialRetrieval.PROFILE,
        incoming_user_name="office",
        incoming_password=PASSWORD,
    )
    text = f"name,incoming_server_location,incoming_password\nOffice,new.example,{PASSWORD}\n"
    row = applied(begun(PROFILES, text, admin))
    assert verdicts(row) == ["update"], reasons(row)
    assert EmailServerProfile.objects.get(name="Office").incoming_password.reveal() == PASSWORD


@pytest.mark.parametrize("zone", ["Asia/Tokyo", "America/New_York"])
@pytest.mark.parametrize("moment", ["9999-12-31T23:59-12:00", "0001-01-01", "1066-10-14"])
def test_dates_at_the_ends_of_time_are_no_dates(admin, settings, zone, moment):
    settings.TIME_ZONE = zone
    with timezone.override(zone):
        row = begun(PROFILES, f"name,process_emails_received_after\nOffice,{moment}\n", admin)
    assert "is no date" in reasons(row)


@ONE_DATABASE
def test_whoever_may_only_look_at_an_import_is_offered_no_button(admin):
    row = begun(USERS, "domain_name\nada0x\n", admin)
    look = reverse("admin:import_look", args=[row.pk])
    offered = signed_in(admin).get(look).content.decode()
    assert 'name="apply"' in offered and 'name="discard"' in offered
    other = signed_in(SuperuserFactory())
    seen = other.get(look, {"show": "unchanged"})
    assert seen.status_code == 200
    assert 'name="apply"' not in seen.content.decode()
    assert 'name="discard"' not in seen.content.decode()
    assert "no rows below" not in seen.content.decode()
    assert other.post(look, {"apply": "1"}).status_code == 403
