"""The page of rules in the console, made of docs/behaviour."""

import pytest
from django.conf import settings
from django.urls import reverse

from serversync.console import rules
from tests.factories.mailboxes import SuperuserFactory

pytestmark = [pytest.mark.integration, pytest.mark.django_db]


@pytest.fixture
def page(client):
    client.force_login(SuperuserFactory.create())
    return client.get(reverse("admin:rules")).content.decode()


def test_every_rule_can_be_linked_to(page):
    numbers = [r.number for c in rules.chapters() for part in c.parts for r in part.rules]

    assert numbers
    assert [number for number in numbers if page.count(f'id="{number}"') != 1] == []


def test_links_between_rules_stay_on_the_page(page):
    assert '<a href="#R3.75">R3.75</a>' in page
    assert ".md" not in page.partition('id="content-main"')[2]


def test_tables_and_states_are_shown(page):
    assert "<th>credentials come from</th>" in page
    rules_pages = (settings.BASE_DIR / "docs" / "behaviour").glob("[01]*.md")
    text = "".join(path.read_text() for path in rules_pages)
    for state in ("Not built yet.", "Partly built:"):
        assert page.count(f"<strong>{state}</strong>") == text.count(f"**{state}**")


def test_strangers_are_sent_to_the_login(client):
    assert client.get(reverse("admin:rules")).status_code == 302
