"""An address that nothing resolved gets its record by hand (R3.39a)."""

import pytest
from django.contrib.messages import get_messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.urls import reverse

from activities.choices import ParticipationType
from activities.models import ActivityParty, Contact, Email, StoredBytes
from activities.resolving import resolve_party
from mailboxes.models import EmailSearch
from tests.factories.activities import (
    AccountFactory,
    ActivityPartyFactory,
    ActivityPointerFactory,
    ContactFactory,
    EmailFactory,
)
from tests.factories.clients import signed_in
from tests.factories.mailboxes import SystemUserFactory, group_of
from tests.integration.serversync.cycles import NOW, organization
from tracking.records import value_of

pytestmark = [pytest.mark.integration, pytest.mark.django_db]

HAL = "Hal@unknown.example"


@pytest.fixture
def ada():
    user = SystemUserFactory()
    group_of(user, "view_email", "change_email", "view_contact", "view_account")
    return user


def email_of(user, address: str = HAL, role: ParticipationType = ParticipationType.TO, **columns):
    """A received email of this user with one more unresolved party, and that party."""
    email = EmailFactory(
        received=True, activity=ActivityPointerFactory(owning_user=user), **columns
    )
    party = ActivityPartyFactory(
        activity=email.activity, address_used=address, participation_type_mask=role
    )
    return email, party


def stands_for(party) -> str:
    party.refresh_from_db()
    return party.party_id


@pytest.mark.rule("R3.39a")
def test_one_address_resolved_by_hand_resolves_all_equal_ones(ada):
    _, party = email_of(ada)
    _, other = email_of(ada, "hal@UNKNOWN.example")
    _, another = email_of(ada, "hal@elsewhere.example")
    hal = ContactFactory(owning_user=ada, do_not_email=True)

    resolved = resolve_party(party=party, record=hal, now=NOW, actor=ada)

    assert (resolved.parties, resolved.emails) == (2, 2)
    assert stands_for(party) == stands_for(other) == str(hal.pk)
    assert stands_for(another) == ""
    assert (party.party_type.model, party.do_not_email) == ("contact", True)


@pytest.mark.rule("R3.39a")
def test_only_this_one_where_the_organization_wants_it_so(ada):
    organization(resolve_similar_unresolved_email_address=False)
    _, party = email_of(ada)
    _, other = email_of(ada)
    hal = ContactFactory(owning_user=ada)
    assert resolve_party(party=party, record=hal, now=NOW, actor=ada).parties == 1
    assert (stands_for(party), stands_for(other)) == (str(hal.pk), "")


@pytest.mark.rule("R3.39a")
def test_emails_of_others_and_resolved_parties_stay_as_they_are(ada):
    _, party = email_of(ada)
    _, of_ben = email_of(SystemUserFactory())
    _, known = email_of(ada)
    resolve_party(party=known, record=(first := ContactFactory(owning_user=ada)), now=NOW)
    _, party = email_of(ada)
    resolve_party(party=party, record=ContactFactory(owning_user=ada), now=NOW, actor=ada)
    assert stands_for(of_ben) == str(first.pk)  # the first call asked for nobody
    _, of_ben = email_of(SystemUserFactory())
    _, party = email_of(ada)
    resolve_party(party=party, record=ContactFactory(owning_user=ada), now=NOW, actor=ada)
    assert stands_for(of_ben) == ""
    assert stands_for(known) == str(first.pk)


@pytest.mark.rule("R3.39a")
def test_the_sender_of_an_email_is_known_from_then_on(ada):
    role = ParticipationType.SENDER
    email, party = email_of(ada, role=role, is_duplicate_sender_unresolved=True)
    account = AccountFactory(owning_user=ada)
    resolve_party(party=party, record=account, now=NOW, actor=ada)
    email.refresh_from_db()
    assert (email.email_sender_id, email.senders_account) == (str(account.pk), account)
    assert not email.is_duplicate_sender_unresolved
    email.activity.refresh_from_db()
    assert email.activity.modified_by == ada


def test_the_record_does_not_get_the_address_but_its_column_is_known(ada):
    _, party = email_of(ada)
    hal = ContactFactory(owning_user=ada, email_address2="hal@unknown.example")
    before = set(EmailSearch.objects.values_list("email_address", "parent_id"))
    resolve_party(party=party, record=hal, now=NOW, actor=ada)
    party.refresh_from_db()
    assert party.address_used_email_column_number == 2
    assert set(EmailSearch.objects.values_list("email_address", "parent_id")) == before


def test_names_without_address_have_nothing_in_common(ada):
    _, party = email_of(ada, "")
    _, other = email_of(ada, "")
    resolve_party(party=party, record=ContactFactory(owning_user=ada), now=NOW, actor=ada)
    assert stands_for(party)
    assert not stands_for(other)


def test_what_may_not_be_resolved_is_refused(ada):
    _, party = email_of(ada)
    hal = ContactFactory(owning_user=ada)
    with pytest.raises(PermissionDenied):
        resolve_party(party=party, record=hal, now=NOW, actor=SystemUserFactory())
    with pytest.raises(PermissionDenied):
        resolve_party(party=party, record=ContactFactory(), now=NOW, actor=ada)
    with pytest.raises(ValidationError):
        bytes_ = StoredBytes.objects.create(sha256="0" * 64, size=0)
        resolve_party(party=party, record=bytes_, now=NOW)
    resolve_party(party=party, record=hal, now=NOW, actor=ada)
    with pytest.raises(ValidationError):
        resolve_party(party=party, record=ContactFactory(owning_user=ada), now=NOW, actor=ada)
    assert stands_for(party) == str(hal.pk)


# -- the page


def page_of(party: ActivityParty) -> str:
    return reverse("admin:activities_email_resolve", args=[party.activity_id, party.pk])


def change_page(email: Email) -> str:
    return reverse("admin:activities_email_change", args=[email.pk])


@pytest.mark.rule("R3.39a")
def test_an_address_is_resolved_on_the_page_of_its_email(ada):
    email, party = email_of(ada)
    hal = ContactFactory(first_name="Hal", last_name="Example", owning_user=ada)
    client = signed_in(ada)
    assert page_of(party) in client.get(change_page(email)).content.decode()

    page = client.get(page_of(party))
    assert [one.name for one in page.context["offered"]] == ["Hal Example"]  # "hal" is searched
    found = client.post(page_of(party), {"record_words": "nobody", "_find": ""})
    assert found.context["offered"] == []
    none = client.post(page_of(party), {"record": ""})
    assert "Choose the record" in none.content.decode()

    response = client.post(page_of(party), {"record": value_of(hal)})
    assert response.url == change_page(email)
    (told,) = get_messages(response.wsgi_request)
    assert str(told) == "Hal@unknown.example stands for “Hal Example” in 1 email."
    text = client.get(change_page(email)).content.decode()
    assert "Hal Example" in text
    assert page_of(party) not in text
    again = client.post(page_of(party), {"record": value_of(hal)})
    assert "resolved already" in again.content.decode()


def test_who_may_only_look_is_offered_nothing_and_strangers_find_no_page(ada):
    email, party = email_of(ada)
    other = email_of(ada)[0]
    reader = SystemUserFactory()
    group_of(reader, "view_email", reach=3)
    looking = signed_in(reader)
    assert page_of(party) not in looking.get(change_page(email)).content.decode()
    assert looking.get(page_of(party)).status_code == 403
    stranger = SystemUserFactory()
    group_of(stranger, "view_email", "change_email")
    assert signed_in(stranger).get(page_of(party)).status_code == 404
    elsewhere = reverse("admin:activities_email_resolve", args=[other.pk, party.pk])
    assert signed_in(ada).get(elsewhere).status_code == 404


def test_records_out_of_sight_are_not_taken(ada):
    _, party = email_of(ada)
    hidden = Contact.objects.create(last_name="Hidden", owning_user=SystemUserFactory())
    response = signed_in(ada).post(page_of(party), {"record": value_of(hidden)})
    assert response.status_code == 200
    assert stands_for(party) == ""
