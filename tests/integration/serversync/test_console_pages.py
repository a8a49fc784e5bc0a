"""Every screen of the console, opened once with data, by who may see all and by who may see little."""

import pytest
from django.test import Client
from django.urls import reverse

from mailboxes.models import Team
from serversync.console.registry import SCREENS
from serversync.models import (
    ServerAction,
    Submission,
)
from tests.factories.console import Site, build_site

pytestmark = pytest.mark.integration


@pytest.fixture
def site(db) -> Site:
    return build_site()


def signed_in(user) -> Client:
    client = Client()
    client.force_login(user)
    return client


def names(model) -> str:
    return f"{model._meta.app_label}_{model._meta.model_name}"


@pytest.mark.parametrize("model", SCREENS, ids=names)
def test_every_list_opens(site, model):
    client = signed_in(site.administrator)
    response = client.get(reverse(f"admin:{names(model)}_changelist"), follow=True)
    assert response.status_code == 200
    searched = client.get(reverse(f"admin:{names(model)}_changelist"), {"q": "ada"}, follow=True)
    assert searched.status_code == 200


@pytest.mark.parametrize("model", SCREENS, ids=names)
def test_every_page_opens(site, model):
    record = model._default_manager.first()
    if record is None:
        assert model in (Team, ServerAction, Submission), f"no {model.__name__} on the test site"
        return
    client = signed_in(site.administrator)
    response = client.get(reverse(f"admin:{names(model)}_change", args=[record.pk]))
    assert response.status_code == 200
