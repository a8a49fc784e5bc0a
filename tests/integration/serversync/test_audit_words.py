"""The audit trail stores names as the code has them, and tells them in the reader's language."""

import pytest
from django.urls import reverse
from django.utils import timezone, translation

from serversync.models import AuditEntry
from serversync.people.choices import AuditKind
from tests.factories.clients import signed_in
from tests.factories.mailboxes import SuperuserFactory, SystemUserFactory, ready_mailbox

pytestmark = [
    pytest.mark.integration,
    pytest.mark.django_db,
    pytest.mark.database("sqlite"),  # words of a page
]

STORED = {
    (AuditKind.ACTION, "test_and_enable"): "テストして有効化",
    (AuditKind.ACTION, "delete_selected"): "選択したメールボックスを削除",
    (AuditKind.ACTION, "gone_since"): "gone_since",
    (AuditKind.SECRET_SET, "password"): "パスワード",
    (AuditKind.CHANGED, "Username, Email address"): "ユーザー名, 電子メール アドレス",
    (AuditKind.THROTTLED, "8 s"): "8 s",
}


def entry(kind, detail, subject):
    return AuditEntry.objects.create(
        at=timezone.now(),
        kind=kind,
        detail=detail,
        subject_type="mailboxes.mailbox",
        subject_id=str(subject.pk),
    )


def test_details_are_told_in_the_language_of_the_reader():
    mailbox = ready_mailbox(SystemUserFactory())
    expected = {entry(*stored, mailbox).pk: words for stored, words in STORED.items()}
    client = signed_in(SuperuserFactory())
    url = reverse("admin:serversync_auditentry_changelist")
    page = client.get(url, headers={"accept-language": "ja"})
    listed = page.context["cl"]
    with translation.override("ja"):
        told = {row.pk: listed.model_admin.details(row) for row in listed.result_list}
    assert {key: told[key] for key in expected} == expected
    assert all(words in page.content.decode() for words in expected.values())
