"""System checks: which settings are refused, and what they advise."""

import pytest
from django.core.checks import run_checks

from mailboxes import checks

GOOD = {"timeout": 240, "retry": 300, "max_attempts": 3}


def ids(messages):
    return [message.id for message in messages]


def test_the_site_as_shipped_passes():
    assert [one for one in run_checks() if (one.id or "").startswith("serversync.")] == []


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ([], ["serversync.E001"]),
        (["not a key"], ["serversync.E002"]),
        (["dGVzdHMtb25seS10ZXN0cy1vbmx5LXRlc3RzLW9ubHk=", "short"], ["serversync.E002"]),
        (["dGVzdHMtb25seS10ZXN0cy1vbmx5LXRlc3RzLW9ubHk="], []),
    ],
)
def test_keys_that_encrypt_nothing_are_refused(settings, keys, expected):
    settings.FIELD_ENCRYPTION_KEYS = keys

    found = checks.encryption_keys(None)

    assert ids(found) == expected
    assert all(message.hint for message in found)
    assert not any(key in message.msg for key in keys for message in found)


def test_transactions_around_pages_and_pools_are_refused():
    found = checks.transaction_settings(
        {
            "default": {"ATOMIC_REQUESTS": True, "OPTIONS": {"pool": True}},
            "fine": {"ATOMIC_REQUESTS": False, "OPTIONS": {"pool": False}},
        }
    )

    assert ids(found) == ["serversync.E003", "serversync.E004"]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, []),
        ({"retry": 240}, ["serversync.E005"]),
        ({"timeout": None}, ["serversync.E005"]),
        ({"max_attempts": 0}, ["serversync.E006"]),
    ],
)
def test_a_queue_that_runs_jobs_twice_or_forever_is_refused(change, expected):
    assert ids(checks.queue_settings(GOOD | change)) == expected


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (["activities.Contact"], []),
        (["activities.Nothing"], ["serversync.E007"]),
        (["nonsense"], ["serversync.E007"]),
        (["auth.Group"], ["serversync.E008"]),
    ],
)
def test_email_enabled_models_must_exist_and_have_an_address(settings, labels, expected):
    settings.EMAIL_ENABLED_MODELS = labels

    assert ids(checks.email_enabled_models(None)) == expected


@pytest.mark.parametrize(
    ("engine", "backend", "shared", "expected"),
    [
        ("django.db.backends.postgresql", "FileSystemStorage", False, ["serversync.W001"]),
        ("django.db.backends.postgresql", "FileSystemStorage", True, []),
        ("django.db.backends.postgresql", "storages.S3Storage", False, []),
        ("django.db.backends.sqlite3", "FileSystemStorage", False, []),
    ],
)
def test_a_folder_for_several_machines_must_be_shared(engine, backend, shared, expected):
    assert ids(checks.storage_settings(engine, backend, shared)) == expected
