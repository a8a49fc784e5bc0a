"""What integration tests share: the test database as another process of the site finds it."""

import os
from urllib.parse import quote, urlencode

import pytest
from django.conf import settings
from django.db import connection

from tests.servers.fixtures import authority, dovecot, kdc, postfix

__all__ = ["authority", "dovecot", "kdc", "postfix"]


@pytest.fixture
def database_url(transactional_db) -> str:
    """DATABASE_URL of the test database, for a child process."""
    values = connection.settings_dict
    if connection.vendor == "sqlite":
        return f"sqlite:///{values['NAME']}"
    host = values["HOST"] or ""
    port = f":{values['PORT']}" if values["PORT"] else ""
    user, password = quote(values["USER"] or "", safe=""), quote(values["PASSWORD"] or "", safe="")
    options = f"?{urlencode(values['OPTIONS'])}" if values["OPTIONS"] else ""
    return f"postgresql://{user}:{password}@{host}{port}/{values['NAME']}{options}"


@pytest.fixture
def site_environment(database_url: str) -> dict[str, str]:
    """The environment for `manage.py` in a child process that works on the test database."""
    return {
        **os.environ,
        "DATABASE_URL": database_url,
        "DJANGO_SETTINGS_MODULE": "tests.settings",
        "PYTHONPATH": str(settings.BASE_DIR),
    }
