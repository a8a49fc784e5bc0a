"""What every answer of the site carries: policies, cookies, and how it behaves behind a proxy."""

import os
import subprocess
import sys

import pytest
from django.conf import settings
from django.test import Client
from django.urls import reverse

from tests.factories.clients import signed_in

pytestmark = pytest.mark.integration


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


def test_every_answer_carries_the_policies_also_where_it_refuses(site, monkeypatch):
    client = signed_in(site.administrator)
    stranger = Client(SERVER_NAME="127.0.0.1", raise_request_exception=False)
    strict = Client(SERVER_NAME="127.0.0.1", enforce_csrf_checks=True)
    answers = {
        "front": client.get(reverse("admin:index")),
        "login": stranger.get(reverse("admin:login")),
        "not there": client.get("/nothing/here/"),
        "forbidden": client.get(reverse("admin:serversync_syncitem_add")),
        "wrong host": client.get("/", SERVER_NAME="elsewhere.example"),
        "no token": strict.post(reverse("admin:login"), {"username": "x"}),
    }
    monkeypatch.setattr("serversync.urls.static", lambda name: 1 / 0)
    answers["failed"] = stranger.get("/favicon.ico")
    codes = {name: answer.status_code for name, answer in answers.items()}
    assert codes == {
        "front": 200, "login": 200, "not there": 404, "forbidden": 403, "wrong host": 400,
        "no token": 403, "failed": 500,
    }  # fmt: skip
    for name, answer in answers.items():
        policy = answer["Content-Security-Policy"]
        assert "default-src 'self'" in policy and "unsafe" not in policy, name
        assert "frame-ancestors 'self'" in policy and "object-src 'none'" in policy, name
        assert answer["X-Content-Type-Options"] == "nosniff", name
        assert answer["Referrer-Policy"] == "same-origin", name
        assert "Traceback" not in answer.content.decode(), name


def test_cookies_are_for_https_and_not_for_scripts_where_the_site_is_secure(site, settings):
    settings.SECURE_SSL_REDIRECT = settings.SESSION_COOKIE_SECURE = True
    settings.CSRF_COOKIE_SECURE, settings.SECURE_HSTS_SECONDS = True, 60
    settings.SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    site.ada.set_password("right-Password-1")
    site.ada.save(update_fields=["password"])
    client = Client(SERVER_NAME="127.0.0.1")
    login = reverse("admin:login")
    plain = client.get(login)
    assert (plain.status_code, plain.url) == (301, f"https://127.0.0.1{login}")
    data = {"username": "ada", "password": "right-Password-1"}
    answer = client.post(login, data, headers={"x-forwarded-proto": "https"})
    assert answer.status_code == 302
    session, token = answer.cookies["sessionid"], answer.cookies["csrftoken"]
    assert session["secure"] and session["httponly"] and session["samesite"] == "Lax"
    assert token["secure"] and token["samesite"] == "Lax"
    assert answer["Strict-Transport-Security"] == "max-age=60"
