"""What docs/email-enabled-models.md shows works as it stands there: the model, the setting, the rows."""

import re
import sys
from pathlib import Path
from types import ModuleType

import pytest
from django.apps import AppConfig, apps
from django.contrib.contenttypes.models import ContentType
from django.core.checks import run_checks
from django.core.management import call_command
from django.db import connection, models
from django.db.models.signals import post_delete, post_save
from django.utils import timezone

from mailboxes import access, search
from mailboxes.choices import FilteringMethod
from mailboxes.models import EmailSearch
from serversync.explain import explain
from tests.factories.mailboxes import QueueFactory

pytestmark = [
    pytest.mark.integration,
    pytest.mark.database("sqlite"),
    pytest.mark.django_db,
]

PAGE = Path(__file__).resolve().parents[3] / "docs" / "email-enabled-models.md"
BLOCKS = [
    re.sub(rf"(?m)^{indent}", "", block)
    for indent, block in re.findall(r"(?ms)^( *)```python\n(.*?)^ *```$", PAGE.read_text())
]
MODEL, SETTING, ROWS = BLOCKS
MAIL = b"""\
From: Nuts and Bolts <sales@nuts.example>
To: support@example.com
Message-ID: <1@nuts.example>
Date: Mon, 05 Jan 2026 09:00:00 +0000
Subject: Our offer

Hello.
"""


def told(block: str, **names):
    """The page's own words."""
    exec(compile(block, str(PAGE), "exec"), names)
    return names


@pytest.fixture
def supplier(monkeypatch):
    """An application `purchasing` with the model of the page, and its table. All of it goes again."""
    module = ModuleType("purchasing")
    monkeypatch.setitem(sys.modules, "purchasing", module)
    module.__path__ = [str(PAGE.parent)]
    config = AppConfig("purchasing", module)
    config.apps, config.models = apps, apps.all_models["purchasing"]
    apps.app_configs["purchasing"] = config
    try:
        model = told(MODEL, __name__="purchasing.models", models=models)["Supplier"]
        columns = ", ".join(
            f"{field.column} {field.db_type(connection)}" for field in model._meta.local_fields[1:]
        )
        with connection.cursor() as cursor:
            table = model._meta.db_table
            cursor.execute(f"CREATE TABLE {table} (id integer PRIMARY KEY, {columns})")
        yield model
    finally:
        del apps.app_configs["purchasing"], apps.all_models["purchasing"]
        apps.clear_cache()
        ContentType.objects.clear_cache()


@pytest.fixture
def enabled(settings, supplier):
    """The setting of the page, as it acts when a site starts with it."""
    settings.EMAIL_ENABLED_MODELS = told(SETTING)["EMAIL_ENABLED_MODELS"]
    search.connect()
    yield
    for signal, word in ((post_save, "save"), (post_delete, "delete")):
        dispatch_uid = f"emailsearch-{word}-{supplier._meta.label}"
        assert signal.disconnect(sender=supplier, dispatch_uid=dispatch_uid)


def decision():
    queue = QueueFactory.create(
        email_address="support@example.com",
        incoming_email_filtering_method=FilteringMethod.EMAIL_ENABLED,
    )
    (explained,) = explain(MAIL, queue.default_mailbox, timezone.now(), timezone.now())
    return explained.data


@pytest.mark.rule("R3.24")
def test_mail_from_a_record_of_the_pages_model_is_accepted(supplier, enabled):
    supplier.objects.create(name="Nuts and Bolts", email="Sales@nuts.example")

    assert decision()["reason"] == "SenderMatch"
    assert {one.id for one in run_checks()}.isdisjoint({"serversync.E007", "serversync.E008"})


def test_records_from_before_are_indexed_by_the_command_of_the_page(supplier, request):
    made = supplier.objects.create(name="Nuts and Bolts", email="sales@nuts.example")
    request.getfixturevalue("enabled")
    (command,) = re.findall(r"manage\.py (reindex_addresses \S+)", PAGE.read_text())

    call_command(*command.split())

    assert EmailSearch.objects.filter(parent_id=str(made.pk)).count() == 1


def test_the_page_says_who_sees_its_names(supplier, monkeypatch):
    monkeypatch.setattr(access, "_RULES", dict(access._RULES))

    told(ROWS, Supplier=supplier)

    assert access._RULES[supplier] is access.by_owner
