"""Files of accounts: the dry run, what applying does, and a second import of the same file."""

import json
from datetime import timedelta
from unittest.mock import Mock

import pytest
from django.contrib.admin.models import LogEntry
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import CommandError, call_command
from django.urls import reverse
from django.utils import timezone, translation
from django_q.models import OrmQ

from mailboxes.choices import AccessApproval, IncomingDeliveryMethod, Reach
from mailboxes.models import ConfigurationChange, EmailServerProfile, Mailbox, Queue, SystemUser
from serversync import jobs
from serversync.choices import ImportKind, ImportState, Verdict
from serversync.importing import held
from serversync.importing.columns import COLUMNS
from serversync.models import AuditEntry, Import
from serversync.people import roles
from serversync.people.choices import AuditKind
from tests.factories.clients import signed_in
from tests.factories.mailboxes import (
    EmailServerProfileFactory,
    ForwardMailboxFactory,
    QueueFactory,
    SuperuserFactory,
    SystemUserFactory,
    group_of,
    organization,
)
from tests.statements import counting

pytestmark = [pytest.mark.integration, pytest.mark.django_db]

PASSWORD = "Kanarienvogel-7"
USERS, QUEUES, PROFILES, MAILBOXES = ImportKind


def begun(kind, text, actor, **more) -> Import:
    content = text.encode() if isinstance(text, str) else text
    return held.begin(
        kind=kind,
        content=content,
        file_name="accounts.csv",
        encoding="",
        actor=actor,
        now=timezone.now(),
        **more,
    )


def applied(row: Import) -> Import:
    """All batches, as a worker goes through them."""
    Import.objects.filter(pk=row.pk).update(state=ImportState.APPLYING)
    while held.apply_batch(row.pk, timezone.now()):
        pass
    row.refresh_from_db()
    return row


def imported(kind, text, actor, **more) -> Import:
    return applied(begun(kind, text, actor, **more))


def verdicts(row: Import) -> list[str]:
    return [held.outcome_of(line) for line in row.rows]


def reasons(row: Import) -> str:
    return " ".join(words for line in row.rows for _label, words in line["reasons"])


@pytest.fixture
def admin() -> SystemUser:
    return SuperuserFactory()


# -- users


@pytest.mark.rule("R1.2", "R1.30")
def test_new_users_get_what_users_of_the_form_get(admin):
    profile = EmailServerProfileFactory()
    organization(default_email_server_profile=profile)
    text = "sign-in name,First Name,primary email,manager\nada,Ada,ada@example.com,\nben,Ben,ben@example.com,ada\n"

    planned = begun(USERS, text, admin)
    assert verdicts(planned) == [Verdict.CREATE, Verdict.CREATE]
    assert not SystemUser.objects.filter(domain_name="ada").exists()

    assert verdicts(applied(planned)) == [Verdict.CREATE, Verdict.CREATE]
    ben = SystemUser.objects.get(domain_name="ben")
    assert (ben.first_name, ben.parent_system_user.domain_name) == ("Ben", "ada")
    assert not ben.has_usable_password()
    assert ben.default_mailbox.email_server_profile == profile
    assert ben.default_mailbox.email_router_access_approval == AccessApproval.PENDING
    assert ben.created_by_id == admin.pk
    assert LogEntry.objects.filter(object_id=str(ben.pk)).count() == 1
    assert AuditEntry.objects.filter(subject_id=str(ben.pk)).exists()

    assert verdicts(begun(USERS, text, admin)) == [Verdict.UNCHANGED, Verdict.UNCHANGED]


@pytest.mark.database("sqlite")
def test_an_update_changes_the_columns_of_the_file_and_no_empty_cell_erases(admin):
    ada = SystemUserFactory(domain_name="ada", last_name="Example", job_title="Clerk")
    text = "Sign-In Name;Last Name;Job Title;Nickname\nADA;Sample;;(empty)\n"

    row = imported(USERS, text, admin)

    assert [line["changes"] for line in row.rows] == [
        [["last_name", "Last name", "Example", "Sample", False]]
    ]
    ada.refresh_from_db()
    assert (ada.domain_name, ada.last_name, ada.job_title) == ("ada", "Sample", "Clerk")
    noted = ConfigurationChange.objects.get(object_id=str(ada.pk), field="last_name")
    assert (noted.after, noted.changed_by_id) == ("Sample", admin.pk)

    emptied = imported(USERS, "domainname,job title\nada,(empty)\n", admin)
    assert emptied.rows[0]["changes"] == [["job_title", "Job title", "Clerk", "", False]]
    ada.refresh_from_db()
    assert ada.job_title == ""


@pytest.mark.database("sqlite")
@pytest.mark.rule("R1.5")
def test_addresses_that_are_taken_and_rows_that_are_there_twice_are_named(admin):
    SystemUserFactory(domain_name="ada", internal_email_address="ada@example.com")
    text = (
        "domain_name,internal_email_address\n"
        "ben,ADA@example.com\n"
        "cleo,cleo@example.com\n"
        "cleo,other@example.com\n"
        "dora,cleo@example.com\n"
        "emil,not an address\n"
        ",\n"
        "ada,\n"
        ",ada@example.com\n"
    )

    row = imported(USERS, text, admin)

    assert verdicts(row) == [
        "refused",
        "create",
        "refused",
        "refused",
        "refused",
        "unchanged",
        "refused",
    ]
    told = [line["reasons"] for line in row.rows]
    assert "R1.5" in told[0][0][1]
    assert told[2] == [["Sign-in name", "Row 3 is about the same. Keep one of the two."]]
    assert told[3] == [["Primary email", "Row 3 is about the same. Keep one of the two."]]
    assert told[4][0][0] == "Primary email"
    assert [line["row"] for line in row.rows] == [2, 3, 4, 5, 6, 8, 9]


def test_what_somebody_changed_meanwhile_is_held_back_and_told(admin):
    ada = SystemUserFactory(domain_name="ada", last_name="Example")
    ben = SystemUserFactory(domain_name="ben", last_name="Example")
    row = begun(USERS, "sign-in name,last name\nada,Sample\nben,Sample\n", admin)
    ada.last_name = "Other"
    ada.save()
    ben.last_name = "Sample"
    ben.save()

    applied(row)

    assert verdicts(row) == [Verdict.HELD_BACK, Verdict.UNCHANGED]
    assert row.rows[0]["instead"] == [["last_name", "Last name", "Other", "Sample", False]]
    ada.refresh_from_db()
    assert ada.last_name == "Other"
    page = signed_in(admin).get(reverse("admin:import_look", args=[row.pk])).content.decode()
    assert "The data changed since the dry run" in page


# -- queues and profiles


def test_queues_with_owner_and_members(admin):
    ada, ben = SystemUserFactory(domain_name="ada"), SystemUserFactory(domain_name="ben")
    text = (
        "name,incoming email,type,owner,members\n"
        f"Sales,sales@example.com,Private,ada,ben; {ada.internal_email_address}\n"
        "Support,support@example.com,,,nobody\n"
    )

    row = imported(QUEUES, text, admin)

    assert verdicts(row) == [Verdict.CREATE, Verdict.REFUSED]
    assert "There is no “nobody”" in reasons(row)
    sales = Queue.objects.get(name="Sales")
    assert sales.owning_user == ada
    assert set(sales.members.all()) == {ada, ben}
    assert sales.default_mailbox.email_address == "sales@example.com"
    assert verdicts(begun(QUEUES, text, admin)) == [Verdict.UNCHANGED, Verdict.REFUSED]


@pytest.mark.database("sqlite")
def test_profiles_fulfil_what_the_form_asks(admin):
    text = (
        "name;server type;incoming server;outgoing server;incoming password\n"
        "Main;IMAP/SMTP;imap.example.com;smtp.example.com;\n"
        "None;IMAP/SMTP;;;\n"
        "Exchange;Exchange Server (Self-Hosted);mail.example.com;mail.example.com;\n"
        "Odd;Carrier pigeon;a.example.com;b.example.com;\n"
    )

    row = imported(PROFILES, text, admin)

    by_name = {line["name"]: held.outcome_of(line) for line in row.rows}
    assert by_name["Main"] == Verdict.CREATE, row.rows
    assert by_name["None"] == by_name["Odd"] == Verdict.REFUSED
    assert "“Carrier pigeon” is none of:" in reasons(row)
    main = EmailServerProfile.objects.get(name="Main")
    assert main.owning_user_id == admin.pk


@pytest.mark.database("sqlite")
@pytest.mark.rule("R1.9")
def test_secrets_of_a_profile_do_not_follow_it_to_another_server(admin):
    EmailServerProfileFactory(name="Main", own_credentials=True)
    text = "name,incoming server\nMain,evil.example.com\n"

    row = imported(PROFILES, text, admin)

    assert verdicts(row) == [Verdict.REFUSED]
    assert "R1.9" in reasons(row)


# -- mailboxes


def test_mailboxes_by_user_queue_and_address(admin):
    profile = EmailServerProfileFactory(name="Main")
    ada = SystemUserFactory(domain_name="ada", internal_email_address="ada@example.com")
    sales = QueueFactory(name="Sales")
    text = (
        "user,queue,email address,server profile,forward mailbox,incoming email,user name,password\n"
        f"ada,,,Main,,,ada-login,{PASSWORD}\n"
        f",Sales,,Main,,None,sales,{PASSWORD}\n"
        f",,in@example.com,Main,yes,,in,{PASSWORD}\n"
        ",,nobody@example.com,Main,,,,\n"
    )

    row = imported(MAILBOXES, text, admin)

    assert verdicts(row) == ["update", "update", "create", "refused"], reasons(row)
    box = Mailbox.objects.get(regarding_user=ada)
    assert (box.email_server_profile, box.user_name) == (profile, "ada-login")
    assert box.password.reveal() == PASSWORD
    queue_box = Mailbox.objects.get(regarding_queue=sales)
    assert queue_box.incoming_email_delivery_method == IncomingDeliveryMethod.NONE
    forward = Mailbox.objects.get(email_address="in@example.com")
    assert forward.is_forward_mailbox and forward.owning_user_id == admin.pk
    assert forward.email_router_access_approval == AccessApproval.PENDING
    again = begun(MAILBOXES, text, admin)
    assert verdicts(again) == ["unchanged", "unchanged", "unchanged", "refused"]


@pytest.mark.database("sqlite")
@pytest.mark.rule("R2.4", "R2.6")
def test_only_who_may_approve_approves_by_an_import(admin):
    box = ForwardMailboxFactory(email_address="in@example.com")
    clerk = SystemUserFactory()
    group_of(clerk, "view_mailbox", "change_mailbox", "add_mailbox", reach=Reach.ALL)
    text = "email address,email address approval\nin@example.com,Approved\n"

    refused = imported(MAILBOXES, text, clerk)
    assert verdicts(refused) == [Verdict.REFUSED]
    assert "approve_mailbox" in reasons(refused)

    assert verdicts(imported(MAILBOXES, text, admin)) == [Verdict.UPDATE]
    box.refresh_from_db()
    assert box.email_router_access_approval == AccessApproval.APPROVED
    assert box.email_address_approved_by_id == admin.pk
    assert verdicts(begun(MAILBOXES, text, admin)) == [Verdict.UNCHANGED]


@pytest.mark.database("sqlite")
def test_passwords_are_nowhere_but_encrypted(admin, caplog):
    ForwardMailboxFactory(email_address="in@example.com")
    client = signed_in(admin)
    file = SimpleUploadedFile(
        "boxes.csv", f"email address,password\nin@example.com,{PASSWORD}\n".encode()
    )

    answer = client.post(reverse("admin:import"), {"kind": "mailboxes", "file": file})
    row = Import.objects.get()
    page = client.get(answer.url).content.decode()
    client.post(answer.url, {"apply": "1"})
    result = client.get(answer.url).content.decode()
    export = client.get(reverse("admin:import_csv", args=[row.pk])).content.decode()
    row_after = Import.objects.values().get()

    assert "entered" in page
    assert AuditEntry.objects.filter(kind=AuditKind.SECRET_SET, detail="password").count() == 1
    assert Mailbox.objects.get(email_address="in@example.com").password.reveal() == PASSWORD
    stored = [str(each) for each in (row.rows, row.read_as, row.content.token, row_after)]
    for model in (AuditEntry, LogEntry, ConfigurationChange):
        stored += [str(each) for each in model.objects.values()]
    for text in (page, result, export, caplog.text, str(client.session.items()), *stored):
        assert PASSWORD not in text
    assert not row_after["content"]


@pytest.mark.database("sqlite")
@pytest.mark.rule("R1.9")
def test_a_guess_of_a_stored_password_is_answered_to_nobody_who_may_not_move_it(admin):
    ForwardMailboxFactory(email_address="in@example.com", password=PASSWORD)
    clerk = SystemUserFactory()
    group_of(clerk, "view_mailbox", "change_mailbox", reach=Reach.ALL)
    text = f"email address,password\nin@example.com,{PASSWORD}\n"

    assert verdicts(begun(MAILBOXES, text, clerk)) == [Verdict.UPDATE]
    assert verdicts(begun(MAILBOXES, text.replace("-7", "-8"), clerk)) == [Verdict.UPDATE]
    assert verdicts(begun(MAILBOXES, text, admin)) == [Verdict.UNCHANGED]


@pytest.mark.database("sqlite")
@pytest.mark.rule("R1.26")
def test_passwords_are_not_taken_over_plain_http(admin):
    ForwardMailboxFactory(email_address="in@example.com")
    text = f"email address,password\nin@example.com,{PASSWORD}\n"

    row = begun(MAILBOXES, text, admin, secrets_allowed=False)

    assert verdicts(row) == [Verdict.REFUSED]
    assert "R1.26" in reasons(row)


# -- who may what


@pytest.mark.database("sqlite")
def test_rows_beyond_the_importers_reach_are_refused():
    other = SystemUserFactory(domain_name="other", last_name="Hidden")
    clerk = SystemUserFactory(domain_name="clerk")
    group_of(clerk, "view_systemuser", "change_systemuser", reach=Reach.OWN)
    text = "sign-in name,last name\nclerk,Sample\nother,Sample\nnew,Sample\n"

    row = imported(USERS, text, clerk)

    assert verdicts(row) == [Verdict.UPDATE, Verdict.REFUSED, Verdict.REFUSED]
    assert "add_systemuser" in reasons(row)
    assert "Hidden" not in str(row.rows)
    other.refresh_from_db()
    assert other.last_name == "Hidden"


@pytest.mark.database("sqlite")
def test_a_superuser_is_changed_by_superusers_only(admin):
    clerk = SystemUserFactory()
    group_of(clerk, "view_systemuser", "change_systemuser", reach=Reach.ALL)
    text = f"sign-in name,last name\n{admin.domain_name},Sample\n"

    assert verdicts(begun(USERS, text, clerk)) == [Verdict.REFUSED]


# -- many


def many(count: int) -> str:
    rows = [f"user{n}x,User {n},user{n}x@example.com" for n in range(count)]
    return "sign-in name,last name,primary email\n" + "\n".join(rows) + "\n"


@pytest.mark.database("sqlite")
def test_names_that_only_differ_in_case_are_one_in_every_script(admin):
    QueueFactory(name="ÄRZTE", owning_user=admin)

    row = begun(QUEUES, "name,description\nÄrzte,Doctors\n", admin)

    assert verdicts(row) == [Verdict.UPDATE]


@pytest.mark.database("sqlite")
def test_a_mail_administrator_imports_what_the_role_reaches():
    roles.setup_groups()
    clerk = SystemUserFactory()
    clerk.groups.add(roles.group_of(roles.ADMINISTRATOR.key))
    text = "name,server type,incoming server,outgoing server\nMain,IMAP/SMTP,a.example.com,b.example.com\n"
    assert verdicts(imported(PROFILES, text, clerk)) == [Verdict.CREATE]
    assert verdicts(imported(USERS, many(2), clerk)) == [Verdict.CREATE, Verdict.CREATE]
    boxes = f"user,profile,password,approval\nuser0x,Main,{PASSWORD},Approved\n"
    assert verdicts(imported(MAILBOXES, boxes, clerk)) == [Verdict.UPDATE]
    assert verdicts(begun(MAILBOXES, boxes, clerk)) == [Verdict.UNCHANGED]


@pytest.mark.database("sqlite")
def test_planning_takes_few_statements_however_many_the_rows(admin):
    with counting() as few:
        begun(USERS, many(3), admin)
    with counting() as lots:
        begun(USERS, many(300), admin)

    assert len(lots) == len(few), str(lots)
    assert len(lots) <= 14, str(lots)


def test_a_bad_row_costs_itself_and_batches_go_on_where_they_stopped(admin, monkeypatch):
    monkeypatch.setattr(held.applying, "BATCH", 2)
    row = begun(USERS, many(5), admin)
    SystemUserFactory(domain_name="somebody", internal_email_address="user1x@example.com")
    Import.objects.filter(pk=row.pk).update(state=ImportState.APPLYING)

    more = [held.apply_batch(row.pk, timezone.now()) for _ in range(4)]

    assert more == [True, True, False, False]
    row.refresh_from_db()
    assert verdicts(row) == ["create", "refused", "create", "create", "create"]
    assert row.state == ImportState.APPLIED and not row.content
    assert SystemUser.objects.filter(domain_name__endswith="x").count() == 4


def test_a_batch_that_breaks_off_is_done_again_as_a_whole(admin, monkeypatch):
    row = begun(USERS, many(3), admin)
    Import.objects.filter(pk=row.pk).update(state=ImportState.APPLYING)
    with monkeypatch.context() as broken:
        broken.setattr(held, "note", Mock(side_effect=[None, RuntimeError("killed")]))
        with pytest.raises(RuntimeError):
            held.apply_batch(row.pk, timezone.now())
    assert not SystemUser.objects.filter(domain_name__endswith="x").exists()

    assert verdicts(applied(row)) == ["create"] * 3
    assert SystemUser.objects.filter(domain_name__endswith="x").count() == 3


@pytest.mark.database("sqlite")
def test_what_no_worker_went_on_with_ends_and_says_so(admin, monkeypatch):
    monkeypatch.setattr(held.applying, "BATCH", 2)
    row = begun(USERS, many(3), admin)
    held.start(row, timezone.now())
    waits = signed_in(admin).get(reverse("admin:import_look", args=[row.pk])).content.decode()
    assert "2 of 3 rows are done." in waits and "No worker runs." in waits

    held.forget(timezone.now() + timedelta(hours=13))

    row.refresh_from_db()
    assert (row.state, row.content.token) == (ImportState.APPLIED, "")
    assert verdicts(row) == ["create", "create", "held_back"]
    assert "not done in time" in reasons(row)


@pytest.mark.database("sqlite")
def test_the_job_does_what_the_first_batch_left(admin, monkeypatch):
    monkeypatch.setattr(held.applying, "BATCH", 2)
    row = begun(USERS, many(7), admin)
    held.start(row, timezone.now())
    assert OrmQ.objects.count() == 1

    assert jobs.apply_import(str(row.pk)) == "applied"

    row.refresh_from_db()
    assert verdicts(row) == ["create"] * 7
    assert AuditEntry.objects.get(detail="import users: 7 create").actor_id == admin.pk


@pytest.mark.database("sqlite")
def test_histories_name_columns_in_the_language_of_the_reader(admin):
    ada = SystemUserFactory(domain_name="ada")
    with translation.override("ja"):
        row = begun(USERS, "domain_name,last name\nada,Other\n", admin)

    applied(row)

    (entry,) = LogEntry.objects.filter(object_id=str(ada.pk))
    assert json.loads(entry.change_message) == [{"changed": {"fields": ["Last name"]}}]


@pytest.mark.database("sqlite")
def test_contents_are_gone_after_an_hour(admin):
    row = begun(USERS, many(1), admin)
    later = timezone.now() + timedelta(minutes=61)

    with pytest.raises(held.NotNow):
        held.start(row, later)
    held.forget(later)

    assert not Import.objects.get(pk=row.pk).content
    held.forget(later + timedelta(days=31))
    assert not Import.objects.exists()


# -- pages


@pytest.mark.database("sqlite")
def test_the_pages_lead_from_the_file_to_the_result(admin):
    client = signed_in(admin)
    start = reverse("admin:import")
    assert "template (XLSX)" in client.get(start).content.decode()
    file = SimpleUploadedFile(
        "u.csv", "Benutzer,domain_nam,sign-in name\na,b,=ada\n".encode("cp932")
    )

    answer = client.post(start, {"kind": "users", "file": file})
    page = client.get(answer.url).content.decode()
    assert "Apply 1 row" in page
    assert "Nothing is known by “domain_nam”" in page and "Did you mean: Sign-in name" in page
    assert not SystemUser.objects.filter(domain_name="=ada").exists()

    client.post(answer.url, {"apply": "1"})
    ada = SystemUser.objects.get(domain_name="=ada")
    page = client.get(answer.url).content.decode()
    assert reverse("admin:mailboxes_systemuser_change", args=[ada.pk]) in page
    pk = Import.objects.get().pk
    export = client.get(reverse("admin:import_csv", args=[pk])).content.decode("utf-8-sig")
    assert export.splitlines()[1].startswith(
        '"2","\'=ada","created","Sign-in name: (empty) → =ada",'
    )
    other = signed_in(SystemUserFactory())
    assert other.get(answer.url).status_code == 404
    assert other.get(start).status_code == 403


@pytest.mark.database("sqlite")
def test_a_dry_run_is_discarded_with_its_contents(admin):
    row = begun(USERS, many(1), admin)

    signed_in(admin).post(reverse("admin:import_look", args=[row.pk]), {"discard": "1"})

    assert not Import.objects.exists()
    assert not SystemUser.objects.filter(domain_name="user0x").exists()


@pytest.mark.database("sqlite")
@pytest.mark.parametrize("kind", list(ImportKind))
@pytest.mark.parametrize("form", ["csv", "xlsx"])
def test_a_template_is_a_file_that_imports_nothing(admin, kind, form):
    url = reverse("admin:import_template")
    content = signed_in(admin).get(url, {"kind": kind.value, "form": form}).content

    row = begun(kind, content, admin)

    assert row.rows == []
    assert row.read_as["unknown"] == []
    assert len(row.read_as["columns"]) == len(COLUMNS[kind])


# -- the command


@pytest.mark.database("sqlite")
def test_the_command_prints_the_plan_and_applies_it(admin, tmp_path, capsys):
    file = tmp_path / "users.csv"
    file.write_text("sign-in name,last name,colour\nada,Example,red\n,,blue\n")

    call_command("import_accounts", "users", str(file))
    out, err = capsys.readouterr()
    assert "2: create ada — Sign-in name: (empty) → ada; Last name: (empty) → Example" in out
    assert "1 create, 1 refused" in out and "Nothing was written" in out
    assert "Unknown column “colour”" in err
    assert not SystemUser.objects.filter(domain_name="ada").exists()

    call_command("import_accounts", "users", str(file), "--apply", "--user", admin.domain_name)
    assert SystemUser.objects.get(domain_name="ada").created_by_id == admin.pk
    capsys.readouterr()
    call_command("import_accounts", "users", str(file), "--apply")
    assert "1 unchanged, 1 refused" in capsys.readouterr().out

    file.write_text("colour\nred\n")
    with pytest.raises(CommandError, match="No column says which record"):
        call_command("import_accounts", "users", str(file))
    with pytest.raises(CommandError, match="Nobody signs in"):
        call_command("import_accounts", "users", str(file), "--user", "nobody")


@pytest.mark.database("sqlite")
@pytest.mark.parametrize("model", ["systemuser", "queue", "emailserverprofile", "mailbox"])
def test_lists_lead_to_the_import_of_their_kind(admin, model):
    url = reverse(f"admin:mailboxes_{model}_changelist")
    reader = SystemUserFactory()
    group_of(reader, f"view_{model}", reach=Reach.ALL)

    assert "/import/?kind=" in signed_in(admin).get(url).content.decode()
    assert "/import/?kind=" not in signed_in(reader).get(url).content.decode()
