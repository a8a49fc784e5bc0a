"""Who may open what: every address and every action of the console as each role, compared with the table in
permissions.txt; and no word of somebody else's mail in any answer.

The table says of each address: "yes" or "no"; of one that names a record "all", "own" or "no": whether the
record is reached by somebody who owns nothing, only by its owner (asked of roles that reach own rows), or by
neither; "sign-in": led there.
"""

import difflib
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from django.apps import apps
from django.contrib import admin
from django.contrib.auth.models import AnonymousUser, Group
from django.contrib.messages import ERROR, get_messages
from django.contrib.messages.storage.cookie import CookieStorage
from django.contrib.sessions.backends.signed_cookies import SessionStore
from django.db import connection, transaction
from django.http import HttpRequest, HttpResponse
from django.template.response import SimpleTemplateResponse
from django.test import Client, RequestFactory
from django.urls import reverse

from activities.models import Email, EmailSignature, Template
from mailboxes.choices import Reach
from mailboxes.models import Mailbox
from serversync.console import navigation
from serversync.console.site import ConsoleSite
from serversync.models import ExchangeSyncIdMapping, ParkedChange, SyncItem, SyncRevision
from serversync.people import roles
from tests.factories.clients import signed_in
from tests.factories.console import Site
from tests.factories.mailboxes import SystemUserFactory
from tests.integration.serversync.walking import Address, addresses, own_everything

pytestmark = [pytest.mark.integration, pytest.mark.database("sqlite")]

TABLE = Path(__file__).with_name("permissions.txt")
ROLES = ("nobody", *roles.ROLES)
COLUMNS = ("anonymous", "nobody", "user", "support", "mail_administrator", "superuser")
#: Ends the session of whoever opens it.
LEFT_OUT = {"logout"}


class World:
    """Ada owns everything; Zoe owns nothing, and may do the same."""

    def __init__(self, site: Site) -> None:
        roles.setup_groups()
        self.site, self.owner = site, site.ada
        self.stranger = SystemUserFactory(domain_name="zoe", internal_email_address="")
        site.support.members.clear()
        own_everything(site, self.owner)
        self.addresses = [each for each in addresses(site, self.owner) if each.name not in LEFT_OUT]
        self.superuser = site.administrator

    def be(self, role: str) -> None:
        group: Group | None = roles.group_of(role) if role != "nobody" else None
        for user in (self.owner, self.stranger):
            user.groups.set([group] if group else [])
            user.__dict__.pop("_reach_cache", None)
            for name in ("_perm_cache", "_user_perm_cache", "_group_perm_cache"):
                user.__dict__.pop(name, None)


@pytest.fixture
def world(site) -> World:
    return World(site)


class AsSomebody:
    """In place of sessions and their rows: whoever asks is told with the request."""

    def __init__(self, get_response) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        request.user = request.META["somebody"]
        request.session = SessionStore()
        request._messages = CookieStorage(request)
        return self.get_response(request)


@pytest.fixture
def unrendered(monkeypatch, settings) -> None:
    """What is opened matters, not how it looks."""
    settings.MIDDLEWARE = [f"{__name__}.AsSomebody"]

    def render(self: SimpleTemplateResponse) -> SimpleTemplateResponse:
        self.content = b""
        return self

    monkeypatch.setattr(SimpleTemplateResponse, "render", render)
    monkeypatch.setattr(ConsoleSite, "each_context", lambda self, request: {})


# -- the table


def test_every_address_opens_for_whom_the_table_says(world, unrendered, tmp_path):
    found = walked(world)
    present = "\n".join(lines_of(found)) + "\n"
    (tmp_path / "permissions.txt").write_text(present)
    stored = TABLE.read_text() if TABLE.exists() else ""
    body = "\n".join(line for line in stored.splitlines() if not line.startswith("#")) + "\n"
    difference = "\n".join(
        difflib.unified_diff(body.splitlines(), present.splitlines(), "table", "site", "", "", 0)
    )
    if body != present:
        pytest.fail(f"{difference}\nAs it is now: {tmp_path / 'permissions.txt'}", pytrace=False)


def walked(world: World) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {each.name: {} for each in world.addresses}
    for each in world.addresses:
        found[each.name]["anonymous"] = asked(world, "anonymous", each)
        found[each.name]["superuser"] = cell(asked(world, "superuser", each), each)
    for role in ROLES:
        world.be(role)
        for each in world.addresses:
            found[each.name][role] = reached(world, each, role)
    return found


def reached(world: World, address: Address, role: str) -> str:
    """Roles that reach everything are asked once."""
    answer = cell(asked(world, "stranger", address), address)
    reaches_own = role not in roles.ROLES or roles.ROLES[role].reach == Reach.OWN
    if (
        answer == "no"
        and address.object
        and reaches_own
        and asked(world, "owner", address) == "yes"
    ):
        return "own"
    return answer


def cell(answer: str, address: Address) -> str:
    return "all" if answer == "yes" and address.object else answer


def asked(world: World, who: str, address: Address) -> str:
    """What is done by asking is undone."""
    with transaction.atomic():
        user = AnonymousUser() if who == "anonymous" else getattr(world, who)
        answer = opened(Client(SERVER_NAME="127.0.0.1", somebody=user), address)
        transaction.set_rollback(True)
    return outcome(answer)


def opened(client: Client, address: Address) -> HttpResponse:
    if address.post:
        return client.post(address.url, address.data)
    answer = client.get(address.url, address.data)
    return client.post(address.url, address.data) if answer.status_code == 405 else answer


def outcome(answer: HttpResponse) -> str:
    if answer.status_code == 302:
        if "/login/" in answer.url:
            return "sign-in"
        return "no" if answer.url == "/" and is_missing(answer) else refused(answer)
    if answer.status_code in (403, 404):
        return "no"
    assert answer.status_code in (200, 301, 400, 503), (answer, answer.wsgi_request.path)
    return "yes"


def is_missing(answer: HttpResponse) -> bool:
    return any("doesn’t exist" in str(each) for each in get_messages(answer.wsgi_request))


def refused(answer: HttpResponse) -> str:
    said = [each for each in get_messages(answer.wsgi_request) if each.level == ERROR]
    return "no" if any("permission" in str(each) for each in said) else "yes"


def lines_of(found: dict[str, dict[str, str]]) -> Iterator[str]:
    width = max(map(len, found))
    yield "  ".join([f"{'address':{width}}", *COLUMNS]).rstrip()
    for name in sorted(found):
        cells = [f"{found[name][column]:{len(column)}}" for column in COLUMNS]
        yield "  ".join([f"{name:{width}}", *cells]).rstrip()


# -- what a stranger changes, and reads

#: Written by whoever looks or tries, about themselves.
OWN_TABLES = (
    "django_session",
    "serversync_auditentry",
    "django_admin_log",
    "activities_changecounter",
)


@pytest.fixture
def written() -> Iterator[list[str]]:
    """The tables that are written to meanwhile."""
    tables: list[str] = []

    def note(execute, sql, params, many, context) -> Any:
        verb = re.match(r'(?:INSERT(?: OR \w+)? INTO|UPDATE|DELETE FROM) "(\w+)"', sql)
        if verb and verb[1] not in OWN_TABLES:
            tables.append(verb[1])
        return execute(sql, params, many, context)

    with connection.execute_wrapper(note):
        yield tables


def test_a_stranger_changes_nothing_of_others_by_any_address_or_action(world, unrendered, written):
    world.be("user")
    client = Client(SERVER_NAME="127.0.0.1", somebody=world.stranger)
    done = {}
    for name, url, data in (*posts(world), *presses(world)):
        written.clear()
        with transaction.atomic():
            client.post(url, data)
            transaction.set_rollback(True)
        if written:
            done[name] = set(written)
    assert done == {}


def posts(world: World) -> Iterator[tuple[str, str, dict[str, str]]]:
    """Every record's addresses, as if confirmed."""
    for each in world.addresses:
        if each.object:
            yield each.name, each.url, {**each.data, "post": "yes", "_save": "1"}


def presses(world: World) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Every action of every list, with keys of somebody else's rows."""
    factory = RequestFactory(SERVER_NAME="127.0.0.1")
    for model, screen in admin.site._registry.items():
        meta = model._meta
        request = factory.get("/")
        request.user = world.superuser
        url = reverse(f"admin:{meta.app_label}_{meta.model_name}_changelist")
        others = model._default_manager.exclude(pk=world.stranger.pk)
        chosen = [str(key) for key in others.values_list("pk", flat=True)[:20]]
        for name in screen.get_actions(request):
            data = {"action": name, "_selected_action": chosen, "post": "yes"}
            yield f"{meta.label} {name}", url, data


@pytest.mark.rule("R8.30")
@pytest.mark.parametrize("role", ["user", "mail_administrator"])
def test_no_answer_to_a_stranger_has_a_word_of_anybodys_mail(world, role, monkeypatch):
    monkeypatch.setattr(navigation, "sections", lambda site, request: [])
    plant(world)
    world.be(role)
    client = signed_in(world.stranger)
    leaks, policies = {}, set()
    for each in asked_for_words(world):
        answer = client.get(each.url, each.data)
        if CANARY in text_of(answer):
            leaks[f"{each.name} {each.data}"] = answer.status_code
        policies.add(answer.get("Content-Security-Policy", "none"))
    assert leaks == {}
    assert "none" not in policies
    assert not any("unsafe" in policy for policy in policies)


CANARY = "Kanarienvogel"
#: Columns of records with what people wrote.
WORDS = {
    "subject", "description", "location", "title", "last_name", "company_name", "name", "file_name",
    "unresolved_party_name", "sender", "to_recipients", "body",
}  # fmt: skip
PART = "Kanarien"  # asked for: an answer may repeat the question


def plant(world: World) -> None:
    """Words of Ada's mail, appointments and passwords, wherever they are stored."""
    for model in apps.get_app_config("activities").get_models():
        columns = {column.name for column in model._meta.concrete_fields} & WORDS
        if columns and model not in (Template, EmailSignature):  # configuration
            model._default_manager.update(**dict.fromkeys(columns, CANARY))
    SyncItem.objects.update(subject=CANARY)
    SyncRevision.objects.update(before={"subject": CANARY}, after={"subject": CANARY})
    ExchangeSyncIdMapping.objects.update(base={"subject": CANARY, "surname": CANARY})
    ParkedChange.objects.update(to_store={"subject": CANARY}, to_server={"subject": CANARY})
    for mailbox in Mailbox.objects.all():
        mailbox.password = CANARY
        mailbox.save(update_fields=["password"])
    email = world.site.html
    screen = admin.site._registry[Email]
    request = RequestFactory().get("/")
    request.user = world.owner
    email.refresh_from_db()
    for told in (screen.log_addition, screen.log_change):
        told(request, email, [{"changed": {"fields": ["Subject"]}}])
    screen.log_deletions(request, Email.objects.filter(pk=email.pk))


def asked_for_words(world: World) -> Iterator[Address]:
    for each in world.addresses:
        if each.post or each.name in ("sign_in_back", "login", "jsi18n", "favicon"):
            continue
        if each.name.startswith("autocomplete"):
            yield replace(each, data={**each.data, "term": PART})
        else:
            yield each


def text_of(answer: HttpResponse) -> str:
    body = b"".join(answer.streaming_content) if answer.streaming else answer.content
    return body.decode(errors="replace")
