"""The approval of the mail tenant's administrator: kept as it was imported, and asked for by nothing."""

from dataclasses import fields

import pytest
from django.urls import reverse
from django.utils import timezone

from mailboxes import eligibility, services
from mailboxes.choices import AccessApproval, IncomingDeliveryMethod, Operation
from mailboxes.eligibility import WorkloadFacts, eligible, facts_of
from mailboxes.models import Mailbox, Organization, SystemUser
from tests.factories.clients import signed_in
from tests.factories.mailboxes import ready_mailbox
from tests.factories.posting import form_data

pytestmark = [pytest.mark.integration, pytest.mark.django_db]

FLAG = "is_email_address_approved_by_o365_admin"


def imported(mailbox: Mailbox, value: bool = True) -> Mailbox:
    """As an import of rows writes it."""
    Mailbox.objects.filter(pk=mailbox.pk).update(**{FLAG: value})
    return Mailbox.objects.get(pk=mailbox.pk)


@pytest.mark.rule("R2.2")
def test_what_was_imported_stays_whatever_is_saved_besides():
    mailbox = imported(ready_mailbox())
    mailbox.incoming_email_delivery_method = IncomingDeliveryMethod.NONE

    services.save_mailbox(
        mailbox=mailbox, changed_fields=["incoming_email_delivery_method"], now=timezone.now()
    )
    chosen = Mailbox.objects.filter(pk=mailbox.pk)
    services.reject(mailboxes=chosen, now=timezone.now())
    services.approve(mailboxes=chosen, now=timezone.now())

    assert getattr(Mailbox.objects.get(pk=mailbox.pk), FLAG) is True


@pytest.mark.rule("R2.2")
def test_it_is_shown_and_can_not_be_changed():
    assert not Mailbox._meta.get_field(FLAG).editable
    client = signed_in(SystemUser.objects.create_superuser("admin"))
    mailbox = imported(ready_mailbox())
    url = reverse("admin:mailboxes_mailbox_change", args=[mailbox.pk])
    page = client.get(url)
    form = page.context["adminform"].form
    assert FLAG not in form.fields
    assert f"field-{FLAG}" in page.content.decode()

    assert client.post(url, {**form_data(client, url), FLAG: ""}).status_code == 302
    assert getattr(Mailbox.objects.get(pk=mailbox.pk), FLAG) is True


@pytest.mark.rule("R2.2", "R2.3")
@pytest.mark.parametrize("flag", [True, False])
@pytest.mark.parametrize("approved", [True, False])
def test_only_the_approval_here_decides(flag, approved):
    approval = AccessApproval.APPROVED if approved else AccessApproval.PENDING
    mailbox = imported(ready_mailbox(email_router_access_approval=approval), flag)
    organization = Organization.objects.current()
    row = mailbox.workloads.get(operation=Operation.INCOMING)
    facts = facts_of(mailbox, row, organization)

    assert eligible(facts, timezone.now()).ok is eligibility.testable(facts).ok is approved
    assert not any("o365" in field.name for field in fields(WorkloadFacts))


@pytest.mark.rule("R2.1")
def test_approval_has_the_four_values_of_the_original():
    assert {choice.name: choice.value for choice in AccessApproval} == {
        "EMPTY": 0,
        "APPROVED": 1,
        "PENDING": 2,
        "REJECTED": 3,
    }
