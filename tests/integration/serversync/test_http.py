"""What every answer of the site carries: policies, cookies, and how it behaves behind a proxy."""

import os
import subprocess
import sys

import pytest
from django.conf import settings
from django.test import Client

from tests.factories.console import Site, build_site

pytestmark = pytest.mark.integration


@pytest.fixture
def site(db) -> Site:
    return build_site()


def settings_of(**environment: str) -> list[str]:
    """What a site started with these variables has set."""
    names = (
        "SECURE_PROXY_SSL_HEADER", "SECURE_SSL_REDIRECT", "SESSION_COOKIE_SECURE",
        "CSRF_COOKIE_SECURE", "SESSION_COOKIE_HTTPONLY", "SECURE_HSTS_SECONDS",
    )  # fmt: skip
    code = f"from django.conf import settings\nfor n in {names}: print(getattr(settings, n))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "serversync.settings", **environment},
        cwd=settings.BASE_DIR,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.splitlines()


def test_a_proxys_word_counts_only_where_the_site_is_told_that_there_is_one():
    keys = {"SECRET_KEY": "k", "FIELD_ENCRYPTION_KEYS": "", "ENV_FILE": os.devnull}
    alone = settings_of(**keys, SECURE="true", BEHIND_PROXY="false")
    assert alone == ["None", "True", "True", "True", "True", "31536000"]
    behind = settings_of(**keys, SECURE="true", BEHIND_PROXY="true")
    assert behind[0] == "('HTTP_X_FORWARDED_PROTO', 'https')"


def test_the_mark_is_where_browsers_look_for_it():
    answer = Client(SERVER_NAME="127.0.0.1").get("/favicon.ico")
    assert answer.status_code == 302
    assert answer.url.startswith("/static/console/mark")
