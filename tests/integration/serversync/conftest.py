"""What tests of the console share."""

from collections.abc import Iterator
from copy import deepcopy

import pytest
from django.db import transaction

from tests.factories.console import Site, build_site


@pytest.fixture(scope="module")
def site_of_module(django_db_setup, django_db_blocker) -> Iterator[Site]:
    with django_db_blocker.unblock(), transaction.atomic():
        yield build_site()
        transaction.set_rollback(True)


@pytest.fixture
def site(site_of_module: Site, db: None) -> Site:
    """A site in use, built once a module; what a test does to it is undone."""
    return deepcopy(site_of_module)
