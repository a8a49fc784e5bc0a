"""Looking up a page of addresses on the database: what is found, and what it costs."""

from uuid import UUID, uuid4

import pytest
from django.contrib.auth.models import Group, Permission
from django.contrib.contenttypes.models import ContentType
from django.db import connection, models

from activities.choices import LeadStatus
from activities.models import Account, Contact, Lead
from mailboxes.choices import AccessMode, FilteringMethod, IncomingDeliveryMethod, StateCode
from mailboxes.models import EmailSearch, Mailbox, Queue, SystemUser, Team, UserSettings
from mailboxes.search import enabled_models, reindex
from tracking import addresses
from tracking.acceptance import DefaultQueue, Owner
from tracking.addresses import look_up, look_up_people
from tracking.choices import Lacks, PartyKind
from tracking.resolution import ACCOUNT, CONTACT, LEAD, QUEUE, USER

pytestmark = [pytest.mark.integration, pytest.mark.django_db]


class Customer(models.Model):
    """A site's own model: integer keys, nobody owns it, a state of its own."""

    title = models.CharField(max_length=80)
    mail = models.EmailField()
    is_active = models.BooleanField(default=True)
    notes = models.TextField()

    class Meta:
        app_label = "shop"

    def __str__(self) -> str:
        raise AssertionError("no record is loaded whole")


@pytest.fixture
def shop(monkeypatch):
    """The table of Customer, and Customer among the email-enabled models."""
    key = "bigserial" if connection.vendor == "postgresql" else "integer"
    with connection.cursor() as cursor:
        cursor.execute(
            f"CREATE TABLE shop_customer (id {key} PRIMARY KEY, title varchar(80) NOT NULL,"
            " mail varchar(254) NOT NULL, is_active bool NOT NULL, notes text NOT NULL)"
        )
    models_ = [*enabled_models(), Customer]
    monkeypatch.setattr(addresses, "enabled_models", lambda: models_)


@pytest.fixture(autouse=True)
def known_content_types(db):
    """A running site has them in its cache; the test's own goes with its transaction."""
    ContentType.objects.clear_cache()
    ContentType.objects.get_for_models(*enabled_models(), Customer)
    yield
    ContentType.objects.clear_cache()


@pytest.fixture
def owner():
    return make(SystemUser, domain_name="owner", first_name="Olga", last_name="Owner")


def make(model, **fields):
    """A row as a bulk writer makes it: no signals, and the index written afterwards."""
    (row,) = model._default_manager.bulk_create([model(**fields)])
    if model in (*enabled_models(), Customer):
        reindex(model, [row.pk])
    return row


def names(book, address):
    return [(match.kind, match.name) for match in book.at(address)]


def test_every_kind_of_record_is_found_by_each_of_its_addresses(owner):
    make(SystemUser, domain_name="ben", first_name="Ben", personal_email_address="x@example.com")
    make(Contact, last_name="Example", first_name="Ada", email_address3="X@Example.com",
         owning_user=owner, do_not_email=True)  # fmt: skip
    make(Account, name="Example Inc.", email_address1="x@example.com", owning_user=owner)
    make(Lead, subject="Wants a boat", email_address2="x@example.com", owning_user=owner)
    make(Queue, name="Support", email_address="x@example.com", owning_user=owner)
    make(Contact, last_name="Other", email_address1="y@example.com", owning_user=owner)

    book = look_up(["x@example.com", "unknown@example.com"])

    assert names(book, "X@example.com.") == [
        (USER, "Ben"),
        (CONTACT, "Ada Example"),
        (ACCOUNT, "Example Inc."),
        (LEAD, "Wants a boat"),
        (QUEUE, "Support"),
    ]
    contact = book.at("x@example.com")[1]
    assert (contact.owner_user_id, contact.owner_team_id) == (owner.pk, None)
    assert (contact.column, contact.do_not_email) == (3, True)
    assert book.at("unknown@example.com") == ()
    assert book.at("y@example.com") == ()  # nobody asked for it


def test_states_are_read_as_each_kind_keeps_them(owner):
    mine = {"owning_user": owner}
    make(SystemUser, domain_name="gone", internal_email_address="u@example.com", is_disabled=True)
    make(Queue, name="Old", email_address="q@example.com", state_code=StateCode.INACTIVE, **mine)
    make(Contact, last_name="Old", email_address1="c@example.com", state_code=1, **mine)
    make(Lead, last_name="Old", email_address1="l@example.com", status_code=LeadStatus.LOST, **mine)
    make(Lead, last_name="New", email_address1="n@example.com", status_code=LeadStatus.NEW, **mine)

    book = look_up([f"{name}@example.com" for name in "uqcln"])

    active = {name: book.at(f"{name}@example.com")[0].active for name in "uqcln"}
    assert active == {"u": False, "q": False, "c": False, "l": False, "n": True}


def test_active_records_come_first_then_the_oldest_key(owner):
    mine = {"email_address1": "x@example.com", "owning_user": owner}
    make(Contact, id=UUID(int=3), last_name="third", **mine)
    make(Contact, id=UUID(int=2), last_name="second", **mine)
    make(Contact, id=UUID(int=1), last_name="inactive", state_code=StateCode.INACTIVE, **mine)
    found = [match.name for match in look_up(["x@example.com"]).at("x@example.com")]
    assert found == ["second", "third", "inactive"]


def test_a_sites_own_model_needs_no_owner_and_may_have_integer_keys(shop):
    for number in (10, 9):
        make(Customer, id=number, title=f"Customer {number}", mail="x@example.com", notes="long")
    make(Customer, id=11, title="Closed", mail="x@example.com", is_active=False, notes="")

    found = look_up(["x@example.com"]).at("x@example.com")

    assert [(m.kind, m.id, m.name) for m in found] == [
        ("shop.customer", "9", "Customer 9"),
        ("shop.customer", "10", "Customer 10"),
        ("shop.customer", "11", "Closed"),
    ]
    assert (found[0].owner_user_id, found[0].owner_team_id, found[0].do_not_email) == (
        None,
        None,
        False,
    )


def test_index_rows_of_records_that_are_gone_or_of_other_models_find_nothing(owner):
    contact = ContentType.objects.get_for_model(Contact)
    for kind, key in (
        (contact, str(uuid4())),
        (contact, "not a key"),
        (ContentType.objects.get_for_model(Team), str(uuid4())),
    ):
        EmailSearch.objects.create(parent_type=kind, parent_id=key, email_address="x@example.com")
    assert look_up(["x@example.com"]).at("x@example.com") == ()


@pytest.mark.rule("R3.30")
def test_missing_index_row_hides_a_record_and_saving_the_address_repairs_it(owner):
    contact = make(Contact, last_name="Ada", email_address1="x@example.com", owning_user=owner)
    EmailSearch.objects.all().delete()
    assert look_up(["x@example.com"]).at("x@example.com") == ()
    contact.save()
    assert names(look_up(["x@example.com"]), "x@example.com") == [(CONTACT, "Ada")]


@pytest.mark.parametrize(("count", "resolvable"), [(100, True), (101, False)])
def test_more_than_a_hundred_matches_are_too_many(owner, count, resolvable):
    Contact.objects.bulk_create(
        Contact(last_name=f"n{n}", email_address1="x@example.com", owning_user=owner)
        for n in range(count)
    )
    make(Contact, last_name="Ada", email_address1="y@example.com", owning_user=owner)
    reindex(Contact)

    book = look_up(["x@example.com", "y@example.com"])

    assert book.exceeds("X@example.com") is not resolvable
    assert len(book.at("x@example.com")) == (100 if resolvable else 0)
    assert names(book, "y@example.com") == [(CONTACT, "Ada")]


def test_crowded_address_costs_no_more_rows_than_the_limit(owner, django_assert_num_queries):
    Contact.objects.bulk_create(
        Contact(last_name=f"n{n}", email_address1="x@example.com", owning_user=owner)
        for n in range(300)
    )
    reindex(Contact)
    with django_assert_num_queries(1):
        hits, too_many = addresses._index_rows({"x@example.com"})
    assert (hits, too_many) == ({}, {"x@example.com"})


def test_a_page_costs_one_query_for_the_index_and_one_per_kind(
    owner, shop, django_assert_num_queries
):
    for n in range(30):
        mine = {"owning_user": owner}
        make(Contact, last_name=f"n{n}", email_address1=f"c{n}@example.com", **mine)
        make(Account, name=f"n{n}", email_address1=f"c{n}@example.com", **mine)
        make(Customer, id=n + 1, title=f"n{n}", mail=f"c{n}@example.com", notes="")
    with django_assert_num_queries(4):
        book = look_up([f"c{n}@example.com" for n in range(200)])
    assert len(book.matches) == 30
    with django_assert_num_queries(1):
        assert look_up(["unknown@example.com"]).matches == {}
    with django_assert_num_queries(0):
        assert look_up([]).matches == {}


def test_more_addresses_than_a_statement_takes_are_asked_in_batches(owner):
    make(Contact, last_name="Ada", email_address1="c4999@example.com", owning_user=owner)
    book = look_up([f"c{n}@example.com" for n in range(5000)])
    assert names(book, "c4999@example.com") == [(CONTACT, "Ada")]


# -- parties


def test_users_and_queues_of_the_book_are_loaded_with_filter_owner_and_mailbox(
    owner, django_assert_num_queries
):
    ben = make(SystemUser, domain_name="ben", internal_email_address="ben@example.com")
    make(UserSettings, system_user=ben, incoming_email_filtering_method=FilteringMethod.NONE)
    support = make(
        Queue,
        name="Support",
        email_address="support@example.com",
        owning_user=owner,
        incoming_email_filtering_method=FilteringMethod.ALL,
    )
    mailbox = make(
        Mailbox,
        name="Support",
        regarding_queue=support,
        is_forward_mailbox=False,
        owning_user=owner,
        incoming_email_delivery_method=IncomingDeliveryMethod.FORWARD_MAILBOX,
    )
    make(Contact, last_name="Ada", email_address1="ada@example.com", owning_user=owner)
    with django_assert_num_queries(4):  # the index, users, queues, contacts
        people = look_up_people(
            ["ben@example.com", "support@example.com", "ada@example.com"],
            also=[(USER, str(owner.pk)), (QUEUE, str(support.pk))],
        )

    parties = people.parties
    assert {m.kind for found in people.book.matches.values() for m in found} == {
        USER,
        QUEUE,
        CONTACT,
    }
    assert set(parties) == {
        (USER, str(ben.pk)),
        (QUEUE, str(support.pk)),
        (USER, str(owner.pk)),
    }
    user = parties[(USER, str(ben.pk))]
    assert (user.kind, user.name, user.filtering) == (PartyKind.USER, "ben", FilteringMethod.NONE)
    assert (user.owner, user.can_own) == (Owner(user_id=ben.pk, name="ben"), True)
    assert (user.mailbox_id, user.incoming) == (None, None)
    queue = parties[(QUEUE, str(support.pk))]
    assert (queue.kind, queue.filtering) == (PartyKind.QUEUE, FilteringMethod.ALL)
    assert queue.owner == Owner(user_id=owner.pk, name="Olga Owner")
    assert (queue.mailbox_id, queue.incoming) == (
        mailbox.pk,
        IncomingDeliveryMethod.FORWARD_MAILBOX,
    )
    # No settings row yet: the default of R3.16.
    assert parties[(USER, str(owner.pk))].filtering == FilteringMethod.RESPONSES


@pytest.mark.rule("R3.29")
def test_owner_who_is_disabled_unlicensed_or_only_administers_may_not_own(owner):
    people = {
        name: make(SystemUser, domain_name=name, **fields)
        for name, fields in {
            "gone": {"is_disabled": True},
            "trial": {"is_licensed": False},
            "keeper": {"access_mode": AccessMode.ADMINISTRATIVE},
            "robot": {"access_mode": AccessMode.NON_INTERACTIVE},
        }.items()
    }
    queues = {
        name: make(Queue, name=name, email_address=f"{name}@example.com", owning_user=user)
        for name, user in people.items()
    }
    keys = [(USER, str(user.pk)) for user in people.values()]
    keys += [(QUEUE, str(queue.pk)) for queue in queues.values()]
    parties = look_up_people([], also=keys).parties
    expected = [Lacks.ENABLED, Lacks.LICENCE, Lacks.ACCESS, Lacks.NOTHING]
    assert [parties[key].lacks for key in keys] == expected * 2


@pytest.mark.rule("R3.29")
def test_team_may_own_email_if_one_of_its_members_may(owner):
    def party_of(team):
        queue = make(Queue, name=team.name, email_address="q@example.com", owning_team=team)
        return look_up_people([], also=[(QUEUE, str(queue.pk))]).parties[(QUEUE, str(queue.pk))]

    empty = make(Team, name="Empty", administrator=owner)
    unable = make(Team, name="Unable", administrator=owner)
    unable.members.add(make(SystemUser, domain_name="trial", is_licensed=False))
    able = make(Team, name="Night shift", administrator=owner)
    able.members.add(*unable.members.all(), make(SystemUser, domain_name="ben"))
    assert [party_of(team).lacks for team in (empty, unable, able)] == [
        Lacks.MEMBER,
        Lacks.MEMBER,
        Lacks.NOTHING,
    ]
    assert party_of(able).owner == Owner(team_id=able.pk, name="Night shift")


@pytest.mark.rule("R3.29")
def test_where_the_permission_is_asked_for_it_comes_by_group_directly_or_to_superusers(owner):
    grouped, granted, plain, admin = (
        make(SystemUser, domain_name=name, is_superuser=name == "admin")
        for name in ("grouped", "granted", "plain", "admin")
    )
    right = Permission.objects.get(codename="add_email")
    group = Group.objects.create(name="Sales")
    group.permissions.set([right])
    grouped.groups.add(group)
    granted.user_permissions.add(right)
    plain.groups.add(Group.objects.create(name="Nothing in particular"))
    team = make(Team, name="Night shift", administrator=owner)
    team.members.add(plain)
    queues = [
        make(Queue, name="a", email_address="a@example.com", owning_user=grouped),
        make(Queue, name="b", email_address="b@example.com", owning_user=plain),
        make(Queue, name="c", email_address="c@example.com", owning_team=team),
    ]
    keys = [(USER, str(user.pk)) for user in (grouped, granted, plain, admin)]
    keys += [(QUEUE, str(queue.pk)) for queue in queues]

    def lacking(ask_permission):
        parties = look_up_people([], also=keys, ask_permission=ask_permission).parties
        return [parties[key].lacks for key in keys]

    may, may_not, no_member = Lacks.NOTHING, Lacks.PERMISSION, Lacks.MEMBER
    assert lacking(True) == [may, may, may_not, may, may, may_not, no_member]
    assert lacking(False) == [may] * 7
    team.members.add(granted)
    assert lacking(True)[-1] == may


def test_parties_bring_the_default_queue_of_their_owner(owner):
    inbox = make(Queue, name="Inbox", email_address="i@example.com", owning_user=owner)
    closed = make(Queue, name="Closed", owning_user=owner, state_code=StateCode.INACTIVE)
    ben = make(SystemUser, domain_name="ben", queue=inbox)
    team = make(Team, name="Night shift", administrator=owner, queue=closed)
    of_ben = make(Queue, name="a", email_address="a@example.com", owning_user=ben)
    of_team = make(Queue, name="b", email_address="b@example.com", owning_team=team)
    keys = [(USER, str(ben.pk)), (QUEUE, str(of_ben.pk)), (QUEUE, str(of_team.pk))]
    parties = look_up_people([], also=[*keys, (USER, str(owner.pk))]).parties
    assert [parties[key].default_queue for key in keys] == [
        DefaultQueue(inbox.pk, "Inbox"),
        DefaultQueue(inbox.pk, "Inbox"),
        DefaultQueue(closed.pk, "Closed", active=False),
    ]
    assert parties[(USER, str(owner.pk))].default_queue is None


def test_disabled_users_are_no_parties_unless_asked_for(owner):
    gone = make(
        SystemUser, domain_name="gone", internal_email_address="g@example.com", is_disabled=True
    )
    assert look_up_people(["g@example.com"]).parties == {}
    (party,) = look_up_people([], also=[(USER, str(gone.pk))]).parties.values()
    assert (party.active, party.lacks) == (False, Lacks.ENABLED)
