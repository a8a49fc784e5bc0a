"""What the environment makes of the settings, where more than one line follows from a variable."""

import runpy
from pathlib import Path

import pytest
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django_q.conf import Conf
from django_q.worker import rss_check

import serversync.settings

PATH = Path(serversync.settings.__file__)


@pytest.fixture
def settings_of(monkeypatch):
    def read(**variables: str):
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        return runpy.run_path(str(PATH))

    return read


def test_mail_of_the_site_goes_through_the_mailbox_that_is_named(settings_of):
    found = settings_of(
        SITE_MAIL_SENDER="desk@example.com",
        SITE_MAIL_SENDERS="Shop@example.com=orders@example.com,b@example.com = c@example.com",
        REDIRECT_ALL_MAIL_TO="staging@example.net",
    )

    assert found["EMAIL_BACKEND"] == "serversync.site_mail.MailboxBackend"
    assert found["DEFAULT_FROM_EMAIL"] == found["SERVER_EMAIL"] == "desk@example.com"
    assert found["SITE_MAIL_SENDERS"] == {
        "shop@example.com": "orders@example.com",
        "b@example.com": "c@example.com",
    }


def test_what_can_t_be_redirected_goes_nowhere(settings_of):
    assert "EMAIL_BACKEND" not in settings_of()

    found = settings_of(REDIRECT_ALL_MAIL_TO=" staging@example.net ")

    assert found["EMAIL_BACKEND"] == "django.core.mail.backends.dummy.EmailBackend"
    assert found["REDIRECT_ALL_MAIL_TO"] == "staging@example.net"


@pytest.mark.parametrize(
    "value", ["yes", "@", "staging", "@example.net", "staging@", "a@b.example, c@d.example"]
)
def test_no_address_to_redirect_to_stops_the_start(settings_of, value):
    with pytest.raises(ImproperlyConfigured, match="REDIRECT_ALL_MAIL_TO"):
        settings_of(REDIRECT_ALL_MAIL_TO=value)


def test_a_worker_that_took_more_memory_than_it_may_is_replaced(monkeypatch):
    """By the queue itself, when the job has ended; jobs hold no truth, so nothing is lost."""
    assert settings.Q_CLUSTER["max_rss"] == Conf.MAX_RSS == 512 * 1024
    for most, replaced in ((1 << 40, False), (1024, True)):
        monkeypatch.setattr(Conf, "MAX_RSS", most)
        assert rss_check() is replaced
