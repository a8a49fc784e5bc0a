"""Filters: what they match, who gets which, who may change them."""

import random
from datetime import UTC, datetime, time, timedelta
from functools import partial
from uuid import uuid4

import pytest
from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import PermissionDenied, ValidationError
from hypothesis import HealthCheck, given, settings

from activities.choices import ActivityState, ActivityType, ParticipationType
from activities.models import Account, ActivityParty, ActivityPointer, Contact
from mailboxes import access
from mailboxes.choices import (
    IncomingDeliveryMethod,
    OutgoingDeliveryMethod,
    Reach,
    StateCode,
)
from mailboxes.models import SystemUser
from mailboxes.protocols.errors import LoginRefused
from serversync.act.choices import LinkState
from serversync.act.conditions.catalogue import Kind, fields_of
from serversync.act.conditions.defaults import DEFAULTS
from serversync.act.conditions.language import NotUnderstood
from serversync.act.conditions.matches import matches
from serversync.act.filters import copy_templates, filters_of, matching, tables_with_filters
from serversync.act.filters.asking import rows_of, with_teams
from serversync.act.filters.editing import delete, save, set_active
from serversync.act.filters.finding import leaving, matched, remaining, viewer_of
from serversync.act.filters.giving import apply, default_templates, key_of, plan
from serversync.act.tables import MODELS
from serversync.act.types import Table
from serversync.models import ActState, ExchangeSyncIdMapping, SavedQuery, UserQuery
from serversync.models.filters import QueryType
from serversync.testing import test_mailbox
from tests.factories.act import act_mailbox
from tests.factories.activities import (
    ActivityPartyFactory,
    AppointmentFactory,
    ContactFactory,
    FaxFactory,
    LetterFactory,
    PhoneCallFactory,
    RecurringAppointmentMasterFactory,
    ServiceAppointmentFactory,
    TaskFactory,
)
from tests.factories.filters import (
    DAYS,
    NUMBERS,
    TEXTS,
    SavedQueryFactory,
    UserQueryFactory,
    asks,
    conditions,
)
from tests.factories.mailboxes import SuperuserFactory, SystemUserFactory, TeamFactory, group_of
from tests.fakeitems import FakeItemsAccount, FakeItemsServer
from tests.integration.serversync.acts import act_account

pytestmark = [pytest.mark.integration, pytest.mark.django_db]

NOW = datetime(2026, 3, 28, 23, 30, tzinfo=UTC)
every_table = pytest.mark.parametrize("table", list(Table), ids=lambda table: table.name)


# -- the language means the same in SQL


@every_table
def test_sql_finds_what_the_language_says(table):
    user = SuperuserFactory()
    user.settings.time_zone = "Europe/Berlin"
    records = population(table, user, random.Random(table.value))
    viewer = with_teams(viewer_of(user, NOW))
    rows = dict(zip([one.pk for one in records], rows_of(table, records), strict=True))

    @settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(conditions(table))
    def agree(asked):
        said = {key for key, row in rows.items() if matches(table, asked, row, viewer)}
        assert sorted(matched(user, table, [asked], viewer)) == sorted(said)

    agree()


def population(table, me, dice, size=24):
    """Records with few different values in every column that can be asked about."""
    ben = SystemUserFactory(domain_name="Ada")
    team = TeamFactory(administrator=ben, members=[me])
    owners = [{"owning_user": me}, {"owning_user": ben}, {"owning_team": team}]
    accounts = [None, *(Account.objects.create(name=name, owning_user=ben) for name in TEXTS[:3])]
    make = partial(columns, table, dice, me, accounts)
    model = MODELS[table]
    if table == Table.CONTACT:
        return Contact.objects.bulk_create(
            Contact(**make(""), **dice.choice(owners)) for _one in range(size)
        )
    pointers = ActivityPointer.objects.bulk_create(
        ActivityPointer(
            activity_type_code=ActivityType(table.value),
            sort_date=NOW,
            **make("activity__"),
            **dice.choice(owners),
        )
        for _one in range(size)
    )
    parties(table, pointers, [me, ben], dice)
    return model.objects.bulk_create(
        model(activity=pointer, **make(""), **fixed(table, dice)) for pointer in pointers
    )


def columns(table, dice, me, accounts, before):
    """Values of the columns with this beginning; "": those of the table itself."""
    found = {}
    for field in fields_of(table).values():
        *way, column = field.path.split("__")
        beginning = "".join(f"{step}__" for step in way)
        if field.kind in (Kind.OWNER, Kind.PARTIES) or beginning != before:
            continue
        found[column] = value_for(field, dice, me, accounts)
    found.pop("scheduled_start" if table in TIMED else "", None)
    found.pop("scheduled_end" if table in TIMED else "", None)
    return found


TIMED = (Table.APPOINTMENT, Table.SERVICE_APPOINTMENT)


def fixed(table, dice):
    """What the database insists upon."""
    if table == Table.RECURRING_APPOINTMENT:
        return {"start_time": time(9), "duration": 30}
    if table not in TIMED:
        return {}
    start = moment(dice)
    return {
        "scheduled_start": start,
        "scheduled_end": start + timedelta(hours=dice.choice([0, 24])),
    }


def value_for(field, dice, me, accounts):
    if field.optional and dice.random() < 0.3:
        return None
    if field.kind == Kind.TEXT:
        return dice.choice(["", *TEXTS])
    if field.kind == Kind.REFERENCE:
        return dice.choice(accounts)
    made = {
        Kind.NUMBER: lambda: dice.choice(NUMBERS[1:-1]),
        Kind.CHOICE: lambda: dice.choice(field.choices.values),
        Kind.FLAG: lambda: dice.random() < 0.5,
        Kind.DAY: lambda: dice.choice(DAYS),
        Kind.MOMENT: lambda: moment(dice),
        Kind.USER: lambda: me,
    }
    return made[field.kind]()


def moment(dice):
    """About midnight, here and in UTC."""
    day = datetime.combine(dice.choice(DAYS), time(), UTC)
    return day + timedelta(hours=dice.choice([-2, -1, 0, 12]), seconds=dice.choice([-1, 0]))


def parties(table, pointers, users, dice):
    kinds = ContentType.objects.get_for_models(SystemUser, Contact)
    roles = fields_of(table)["parties"].choices.values
    ActivityParty.objects.bulk_create(
        ActivityParty(
            activity=pointer,
            participation_type_mask=dice.choice(roles),
            party_type=kinds[SystemUser],
            party_id=str(dice.choice(users).pk),
        )
        for pointer in pointers
        for _one in range(dice.choice([0, 1, 2]))
    )


# -- what filters find


@pytest.fixture
def ada():
    user = SystemUserFactory()
    group_of(user, "view_contact", "view_appointment", reach=Reach.OWN)
    return user


def found(user, table=Table.CONTACT, keys=None):
    return set(matching(user, table, keys, now=NOW))


@pytest.mark.rule("R6.10")
def test_filters_of_one_table_add_up_and_without_one_nothing_goes(ada):
    buyer, seller = (
        ContactFactory(owning_user=ada, job_title=name) for name in ("Buyer", "Seller")
    )
    ContactFactory(owning_user=ada, job_title="Judge")
    assert found(ada) == set()
    assert tables_with_filters(ada) == frozenset()

    wide = UserQueryFactory(owning_user=ada, conditions=asks("job_title", "is", "buyer"))
    assert found(ada) == {buyer.pk}
    UserQueryFactory(owning_user=ada, conditions=asks("job_title", "begins", "sell"))
    assert found(ada) == {buyer.pk, seller.pk}
    assert tables_with_filters(ada) == {Table.CONTACT}

    # One more filter never takes anything away, and those that are switched off don't count.
    UserQueryFactory(owning_user=ada, conditions=asks("job_title", "is", "nobody"))
    UserQueryFactory(owning_user=ada, conditions={"all": []}, state_code=StateCode.INACTIVE)
    UserQueryFactory(conditions={"all": []})
    assert found(ada) == {buyer.pk, seller.pk}
    set_active(queries=UserQuery.objects.filter(pk=wide.pk), active=False, actor=ada, now=NOW)
    assert found(ada) == {seller.pk}


@pytest.mark.rule("R6.10")
def test_a_filter_for_everybody_adds_to_those_of_each_user(ada):
    mine = ContactFactory(owning_user=ada)
    everybody = SavedQueryFactory(query_type=QueryType.FILTER)
    SavedQueryFactory(conditions={"all": []})  # a template acts on nobody

    assert found(ada) == {mine.pk}
    SavedQuery.objects.filter(pk=everybody.pk).update(state_code=StateCode.INACTIVE)
    assert found(ada) == set()


def test_what_the_user_may_not_read_is_not_found(ada):
    mine = ContactFactory(owning_user=ada)
    ContactFactory()
    UserQueryFactory(owning_user=ada, conditions={"all": []})
    assert found(ada) == {mine.pk}

    ada.groups.clear()

    assert found(SystemUser.objects.get(pk=ada.pk)) == set()


def test_only_the_keys_that_were_asked_about(ada):
    one, other = ContactFactory.create_batch(2, owning_user=ada)
    UserQueryFactory(owning_user=ada)

    assert found(ada, keys=[one.pk, uuid4()]) == {one.pk}
    assert found(ada, keys=[]) == set()
    assert found(ada, Table.TASK, keys=[other.pk]) == set()


def test_an_occurrence_that_differs_goes_with_its_series():
    user = SuperuserFactory()
    series = RecurringAppointmentMasterFactory()
    alone = AppointmentFactory()
    AppointmentFactory(series=series)
    for table in (Table.APPOINTMENT, Table.RECURRING_APPOINTMENT):
        UserQueryFactory(owning_user=user, returned_type_code=table, conditions={"all": []})

    assert found(user, Table.APPOINTMENT) == {alone.pk}
    assert found(user, Table.RECURRING_APPOINTMENT) == {series.pk}


def test_one_statement_for_the_filters_and_one_for_each_table(ada, django_assert_num_queries):
    UserQueryFactory.create_batch(3, owning_user=ada)
    UserQueryFactory(owning_user=ada, returned_type_code=Table.APPOINTMENT, conditions={"all": []})
    ContactFactory(owning_user=ada)
    user = SystemUser.objects.select_related("settings").get(pk=ada.pk)
    access.reach_of(user, Contact)  # the grants are read once for each user object

    with django_assert_num_queries(1):
        filters = filters_of(user, NOW)
    with django_assert_num_queries(2):
        assert len(filters.matching(Table.CONTACT)) == 1
        assert not filters.matching(Table.APPOINTMENT)
    with django_assert_num_queries(0):
        assert not filters.matching(Table.FAX)  # no filter, no question


def test_time_alone_changes_what_matches_only_with_a_relative_day(ada):
    UserQueryFactory(owning_user=ada)
    assert filters_of(ada, NOW).next_look_at is None

    UserQueryFactory(owning_user=ada, conditions=asks("birth_date", "next_days", 3))
    ada.settings.time_zone = "Europe/Berlin"

    assert filters_of(ada, NOW).next_look_at == datetime(2026, 3, 29, 22, tzinfo=UTC)


def test_stored_conditions_that_nobody_understands_give_no_answer(ada):
    """An empty answer would take every record out of the mailbox."""
    UserQueryFactory(owning_user=ada, conditions={"all": [{"field": "gone", "operator": "me"}]})

    with pytest.raises(NotUnderstood):
        matching(ada, Table.CONTACT)


# -- first match, no longer matched


@pytest.mark.rule("R6.13")
def test_a_contact_passes_from_one_users_filter_to_the_others(ada):
    ben = SystemUserFactory()
    group_of(ben, "view_contact", reach=Reach.OWN)
    for user in (ada, ben):
        UserQueryFactory(owning_user=user)
    contact = ContactFactory(owning_user=ada)
    assert (found(ada), found(ben)) == ({contact.pk}, set())

    contact.owning_user = ben
    contact.save()

    assert (found(ada), found(ben)) == (set(), {contact.pk})


@pytest.mark.rule("R6.13")
def test_what_a_change_of_filters_takes_out_is_known_before(ada):
    buyer, seller, free = (
        ContactFactory(owning_user=ada, job_title=name) for name in ("Buyer", "Seller", "Judge")
    )
    query = UserQueryFactory(owning_user=ada)
    for contact, started in ((buyer, "filter"), (seller, "filter"), (free, "user")):
        linked(ada, contact, started)

    def gone(*after):
        return {link.object_id for link in leaving(ada, Table.CONTACT, after, NOW)}

    assert gone() == {buyer.pk, seller.pk}  # what a person linked stays
    assert gone(query.conditions) == set()
    assert gone(asks("job_title", "is", "buyer")) == {seller.pk}
    assert remaining(ada, Table.CONTACT, without=[query.pk]) == []
    assert remaining(ada, Table.CONTACT) == [query.conditions]


def linked(user, record, started="filter", table=Table.CONTACT):
    return ExchangeSyncIdMapping.objects.create(
        mailbox=user.default_mailbox,
        owner=user,
        object_type_code=table,
        object_id=record.pk,
        exchange_entry_id=str(record.pk),
        state=LinkState.LINKED,
        started=started,
    )


# -- defaults


@pytest.mark.rule("R6.11")
def test_default_filters_find_what_is_mine(ada):
    copy_templates(ada, NOW)
    mine = ContactFactory(owning_user=ada)
    ContactFactory(owning_user=ada, state_code=StateCode.INACTIVE)
    ContactFactory()

    assert found(ada) == {mine.pk}


@pytest.mark.rule("R6.11")
@pytest.mark.parametrize(
    ("role", "answer"),
    [
        (ParticipationType.ORGANIZER, True),
        (ParticipationType.REQUIRED_ATTENDEE, True),
        (ParticipationType.OPTIONAL_ATTENDEE, True),
        (ParticipationType.OWNER, False),
    ],
)
def test_default_filters_find_meetings_in_which_i_do_more_than_own(ada, role, answer):
    copy_templates(ada, NOW)
    for make, table in (
        (AppointmentFactory, Table.APPOINTMENT),
        (RecurringAppointmentMasterFactory, Table.RECURRING_APPOINTMENT),
    ):
        group_of(ada, "view_recurringappointmentmaster", reach=Reach.OWN)
        meeting = make(activity__owning_user=ada)
        take_part(meeting, ada, role)
        make(activity__owning_user=ada)  # merely owned

        assert found(ada, table) == ({meeting.pk} if answer else set())


@pytest.mark.rule("R6.11")
def test_default_filters_find_open_tasks_calls_letters_and_faxes_and_needed_resources():
    user = SuperuserFactory()
    copy_templates(user, NOW)
    for make, table in (
        (TaskFactory, Table.TASK),
        (PhoneCallFactory, Table.PHONE_CALL),
        (LetterFactory, Table.LETTER),
        (FaxFactory, Table.FAX),
    ):
        mine = make(activity__owning_user=user)
        make(activity__owning_user=user, activity__state_code=ActivityState.COMPLETED)
        make()
        assert found(user, table) == {mine.pk}
    needed, owned = (
        ServiceAppointmentFactory(),
        ServiceAppointmentFactory(activity__owning_user=user),
    )
    take_part(needed, user, ParticipationType.RESOURCE)
    take_part(owned, user, ParticipationType.OWNER)

    assert found(user, Table.SERVICE_APPOINTMENT) == {needed.pk}


def take_part(activity, user, role):
    ActivityPartyFactory(
        activity=activity.activity,
        participation_type_mask=role,
        party_type=ContentType.objects.get_for_model(SystemUser),
        party_id=str(user.pk),
    )


# -- copied once


@pytest.mark.rule("R6.9")
def test_default_templates_are_copied_once_and_later_changes_touch_nobody(ada):
    plain = SavedQueryFactory()
    own = SavedQueryFactory(
        is_default=True, name="Buyers", conditions=asks("job_title", "is", "buyer")
    )
    SavedQueryFactory(is_default=True, state_code=StateCode.INACTIVE)

    made = copy_templates(ada, NOW)

    assert len(made) == len(DEFAULTS) + 1
    assert plain.pk not in {one.parent_query_id for one in made}
    copy = UserQuery.objects.get(parent_query=own)
    assert (copy.owning_user, copy.name, copy.table) == (ada, "Buyers", Table.CONTACT)

    SavedQuery.objects.filter(pk=own.pk).update(name="Sellers", conditions={"all": []})
    copy.refresh_from_db()
    assert (copy.name, copy.conditions) == ("Buyers", asks("job_title", "is", "buyer"))
    delete(queries=UserQuery.objects.filter(owning_user=ada), actor=ada, now=NOW)
    assert copy_templates(ada, NOW) == []
    assert not UserQuery.objects.filter(owning_user=ada).exists()


@pytest.mark.rule("R6.9")
def test_templates_of_the_product_can_be_changed_and_are_not_made_again(ada):
    default_templates()
    mine = SavedQuery.objects.filter(pk=key_of(Table.FAX))
    mine.update(is_default=False, name="Faxes")

    assert len(copy_templates(ada, NOW)) == len(DEFAULTS) - 1

    assert mine.get().name == "Faxes"
    root = SuperuserFactory()
    with pytest.raises(ValidationError, match="comes with the product"):
        delete(queries=mine, actor=root, now=NOW)
    other = SavedQueryFactory()
    assert delete(queries=SavedQuery.objects.filter(pk=other.pk), actor=root, now=NOW) == 1


@pytest.mark.rule("R6.9")
def test_where_somebody_chose_filters_before_defaults_dont_widen_them(ada):
    UserQueryFactory(owning_user=ada, conditions=asks("job_title", "is", "buyer"))

    copy_templates(ada, NOW)

    assert UserQuery.objects.filter(owning_user=ada, returned_type_code=Table.CONTACT).count() == 1
    assert UserQuery.objects.filter(owning_user=ada).count() == len(DEFAULTS)


# -- who may


@pytest.mark.rule("R6.12")
def test_users_manage_their_own_filters_and_nobody_elses(ada):
    ben = SystemUserFactory()
    query = UserQuery(
        owning_user=ada, name="Mine", returned_type_code=Table.TASK, conditions={"all": []}
    )
    save(query=query, actor=ada, now=NOW)
    query.name = "Still mine"
    save(query=query, actor=ada, now=NOW)
    chosen = UserQuery.objects.filter(pk=query.pk)
    for active in (False, True):
        assert set_active(queries=chosen, active=active, actor=ada, now=NOW) == 1
        assert set_active(queries=chosen, active=active, actor=ada, now=NOW) == 0

    query.name = "Ben's now"
    for deed in (
        lambda: save(query=query, actor=ben, now=NOW),
        lambda: set_active(queries=chosen, active=False, actor=ben, now=NOW),
        lambda: delete(queries=chosen, actor=ben, now=NOW),
        lambda: save(
            query=UserQuery(
                owning_user=ada, name="x", returned_type_code=2, conditions={"all": []}
            ),
            actor=ben,
            now=NOW,
        ),
    ):
        with pytest.raises(PermissionDenied):
            deed()
    assert (chosen.get().name, chosen.get().state_code) == ("Still mine", StateCode.ACTIVE)
    assert delete(queries=chosen, actor=ada, now=NOW) == 1


@pytest.mark.rule("R6.12")
def test_administrators_manage_the_filters_of_all(ada):
    robin = SystemUserFactory()
    group_of(robin, *(f"{a}_userquery" for a in ("add", "change", "delete")), reach=Reach.ALL)

    query = UserQuery(owning_user=ada, name="New", returned_type_code=2, conditions={"all": []})
    save(query=query, actor=robin, now=NOW)
    assert delete(queries=UserQuery.objects.filter(pk=query.pk), actor=robin, now=NOW) == 1


def test_a_filter_changes_hands_only_with_the_right_to_both(ada):
    query = UserQueryFactory(owning_user=ada)
    query.owning_user = SystemUserFactory()

    with pytest.raises(PermissionDenied):
        save(query=query, actor=ada, now=NOW)


def test_what_is_wrong_is_not_stored(ada):
    query = UserQuery(
        owning_user=ada, name="New", returned_type_code=2, conditions=asks("subject", "is", "x")
    )

    with pytest.raises(ValidationError, match="has no “subject”"):
        save(query=query, actor=ada, now=NOW)


@pytest.mark.rule("R6.12")
def test_whatever_changes_filters_has_the_next_cycle_look_again(ada):
    ben, later = SystemUserFactory(), NOW + timedelta(days=1)
    for user in (ada, ben):
        ActState.objects.create(mailbox=user.default_mailbox, look_again_at=later)
    query, mine = UserQueryFactory(owning_user=ada), UserQuery.objects.filter(owning_user=ada)
    root = SuperuserFactory()
    template = SavedQueryFactory(query_type=QueryType.FILTER)

    def told(deed):
        ActState.objects.update(look_again_at=later)
        deed()
        return set(
            ActState.objects.filter(look_again_at=NOW).values_list(
                "mailbox__regarding_user", flat=True
            )
        )

    assert told(lambda: save(query=query, actor=ada, now=NOW)) == {ada.pk}
    assert told(lambda: set_active(queries=mine, active=False, actor=ada, now=NOW)) == {ada.pk}
    assert told(lambda: set_active(queries=mine, active=False, actor=ada, now=NOW)) == set()
    assert told(lambda: delete(queries=mine, actor=ada, now=NOW)) == {ada.pk}
    assert told(lambda: copy_templates(ben, NOW)) == {ben.pk}
    assert told(lambda: copy_templates(ben, NOW)) == set()
    assert told(lambda: save(query=template, actor=root, now=NOW)) == {ada.pk, ben.pk}
    assert told(lambda: save(query=SavedQueryFactory(), actor=root, now=NOW)) == set()
    assert told(lambda: apply([SavedQueryFactory()], [ada], actor=root, now=NOW)) == {ada.pk}


# -- many users at once


@pytest.mark.rule("R10.13")
def test_templates_are_applied_to_many_users_as_the_dry_run_said(ada):
    root = SuperuserFactory()
    template = SavedQueryFactory(name="Buyers", conditions=asks("job_title", "is", "buyer"))
    ben, cara, dora = SystemUserFactory.create_batch(3)
    UserQueryFactory(
        owning_user=ben, parent_query=template, conditions=asks("job_title", "is", "x")
    )
    other = UserQueryFactory(owning_user=ben)
    UserQueryFactory(owning_user=cara, conditions=dict(template.conditions))
    UserQueryFactory(
        owning_user=dora, conditions=dict(template.conditions), state_code=StateCode.INACTIVE
    )
    users = [ada, ben, cara, dora]

    def counts(gifts):
        return [
            (len(one.added), len(one.there), len(one.replaced), len(one.retired)) for one in gifts
        ]

    expected = [(1, 0, 0, 0), (0, 0, 1, 0), (0, 1, 0, 0), (0, 0, 1, 0)]
    before = list(UserQuery.objects.order_by("pk").values())
    assert counts(plan([template], users)) == expected
    assert list(UserQuery.objects.order_by("pk").values()) == before

    assert counts(apply([template], users, actor=root, now=NOW)) == expected
    assert counts(plan([template], users)) == [(0, 1, 0, 0)] * 4
    for user in users:
        mine = UserQuery.objects.filter(owning_user=user, conditions=template.conditions)
        assert mine.get().is_active_state
    other.refresh_from_db()
    assert other.is_active_state

    apply([template], users, retire_others=True, actor=root, now=NOW)
    other.refresh_from_db()
    assert not other.is_active_state


@pytest.mark.rule("R10.13")
def test_templates_are_applied_as_far_as_permissions_reach(ada):
    robin, template = SystemUserFactory(), SavedQueryFactory()
    TeamFactory(administrator=robin, members=[robin, ada])
    stranger = SystemUserFactory()
    group_of(robin, "change_userquery", reach=Reach.TEAM)

    apply([template], [ada, robin], actor=robin, now=NOW)
    with pytest.raises(PermissionDenied):
        apply([template], [ada, stranger], actor=robin, now=NOW)
    with pytest.raises(PermissionDenied):
        apply([template], [robin], actor=ada, now=NOW)

    assert set(UserQuery.objects.values_list("owning_user", flat=True)) == {ada.pk, robin.pk}


def test_applying_costs_the_same_for_many_users(django_assert_max_num_queries):
    root, template = SuperuserFactory(), SavedQueryFactory()
    users = SystemUserFactory.create_batch(6)
    UserQueryFactory(owning_user=users[0], parent_query=template, conditions={"all": []})

    with django_assert_max_num_queries(9):
        apply([template], users, actor=root, now=NOW)


# -- with the rest


@pytest.mark.rule("R6.9")
def test_the_first_test_that_succeeds_gives_a_user_his_filters():
    mailbox = act_mailbox(
        incoming_email_delivery_method=IncomingDeliveryMethod.NONE,
        outgoing_email_delivery_method=OutgoingDeliveryMethod.NONE,
    )
    account = FakeItemsAccount(mailbox.email_address)
    refused = FakeItemsServer(account)
    refused.fail("open", LoginRefused("no"))

    def tested(server):
        test_mailbox(mailbox, clock=lambda: NOW, connect_items=lambda *_args: server)
        return UserQuery.objects.filter(owning_user=mailbox.regarding_user)

    assert not tested(refused).exists()
    assert tested(FakeItemsServer(account)).count() == len(DEFAULTS)
    UserQuery.objects.all().delete()
    assert not tested(FakeItemsServer(account)).exists()


@pytest.mark.rule("R6.13", "R6.46")
def test_a_contact_leaves_the_one_mailbox_and_comes_to_the_other():
    ada, ben = act_account(), act_account("ben")
    contact = ContactFactory(owning_user=ada.user)
    for one in (ada, ben):
        one.quiet()
    assert ada.link_of(contact).state == LinkState.LINKED
    assert not ben.links

    Contact.objects.filter(pk=contact.pk).update(owning_user=ben.user)
    for one in (ada, ben):
        one.quiet()

    assert ada.link_of(contact).state == LinkState.UNLINKED
    assert ben.link_of(contact).state == LinkState.LINKED


@pytest.mark.rule("R6.10", "R6.13", "R6.46")
def test_a_filter_that_is_switched_off_unlinks_with_the_next_cycle():
    ada = act_account()
    contact = ContactFactory(owning_user=ada.user)
    ada.quiet()
    items = len(ada.account.items)

    mine = UserQuery.objects.filter(owning_user=ada.user, returned_type_code=Table.CONTACT)
    set_active(queries=mine, active=False, actor=ada.user, now=ada.now)
    ada.quiet()

    assert ada.link_of(contact).state == LinkState.UNLINKED
    assert len(ada.account.items) == items
    assert Contact.objects.filter(pk=contact.pk).exists()
