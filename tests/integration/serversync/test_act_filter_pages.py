"""The pages of filters and templates."""

import pytest
from django.contrib.contenttypes.models import ContentType
from django.contrib.messages import get_messages
from django.urls import reverse

from activities.choices import ParticipationType
from mailboxes.choices import ActDeliveryMethod, Reach, StateCode
from mailboxes.models import Mailbox, SystemUser
from serversync.act.choices import LinkState
from serversync.act.conditions.defaults import DEFAULTS
from serversync.act.filters.giving import key_of
from serversync.act.types import Table
from serversync.models import ExchangeSyncIdMapping, SavedQuery, UserQuery
from serversync.models.filters import QueryType
from tests.factories.activities import (
    ActivityPartyFactory,
    AppointmentFactory,
    ContactFactory,
)
from tests.factories.clients import signed_in
from tests.factories.filters import SavedQueryFactory, UserQueryFactory, asks
from tests.factories.mailboxes import (
    SuperuserFactory,
    SystemUserFactory,
    TeamFactory,
    group_of,
    organization,
)

pytestmark = [pytest.mark.integration, pytest.mark.django_db]


@pytest.fixture
def ada():
    user = SystemUserFactory(first_name="Ada", last_name="Example")
    group_of(user, "view_contact", reach=Reach.OWN)
    return user


def url(page, *args, model="userquery"):
    return reverse(f"admin:serversync_{model}_{page}", args=args)


def words(answer):
    return " ".join(str(message) for message in get_messages(answer.wsgi_request))


def lines(*asked, way="all", **more):
    """What the browser sends: (field, operator, value[, group])."""
    data = {"name": "Buyers", "conditions-way": way, **more}
    for number, (field, operator, value, *group) in enumerate(asked):
        data |= {
            f"conditions-{number}-field": field,
            f"conditions-{number}-operator": operator,
            f"conditions-{number}-value": value,
            f"conditions-{number}-group": group[0] if group else "",
        }
    return data


def linked(user, *records):
    for record in records:
        ExchangeSyncIdMapping.objects.create(
            mailbox=user.default_mailbox,
            owner=user,
            object_type_code=Table.CONTACT,
            object_id=record.pk,
            exchange_entry_id=str(record.pk),
            state=LinkState.LINKED,
        )


# -- the builder


@pytest.mark.rule("R6.12")
def test_a_user_without_any_permission_makes_a_filter_line_by_line():
    user = SystemUserFactory()
    client = signed_in(user)
    assert f"?table={Table.TASK}" in client.get(url("add")).content.decode()
    page = f"{url('add')}?table={Table.TASK}"
    first = client.get(page).content.decode()
    assert "conditions-1-field" in first
    assert "-operator" not in first

    # What can stand beside a line follows from what it asks.
    shown = client.post(page, lines(("status_code", "", ""), name="", _show="")).content.decode()
    assert 'name="conditions-0-operator"' in shown
    assert shown.count('type="checkbox" name="conditions-0-value"') == 6
    assert "Please correct" not in shown
    assert not UserQuery.objects.exists()

    answer = client.post(
        page,
        lines(
            ("owner", "me", ""),
            ("status_code", "one_of", ["2", "3"], "1"),
            ("scheduled_end", "next_days", "7", "1"),
            ("", "", ""),
        ),
    )

    query = UserQuery.objects.get()
    assert answer.url == url("change", query.pk)
    assert (query.owning_user, query.table, query.state_code) == (
        user,
        Table.TASK,
        StateCode.ACTIVE,
    )
    assert query.conditions == {
        "all": [
            {"field": "owner", "operator": "me"},
            {
                "any": [
                    {"field": "status_code", "operator": "one_of", "value": [2, 3]},
                    {"field": "scheduled_end", "operator": "next_days", "value": 7},
                ]
            },
        ]
    }
    again = client.get(url("change", query.pk)).content.decode()
    assert 'value="3" checked' in again.replace('" id="id_conditions-1-value_1" class="inline', "")
    assert "owner is me and (status is one of Not Started or In Progress or due is today" in again
    assert "&lt;entity name=&quot;task&quot;&gt;" in again


@pytest.mark.rule("R6.12")
def test_a_new_filter_may_begin_with_a_template(ada):
    client, key = signed_in(ada), key_of(Table.TASK)
    begin = f"?table={Table.TASK}&template={key}"
    assert begin.replace("&", "&amp;") in client.get(url("add")).content.decode()
    shown = client.get(f"{url('add')}{begin}").content.decode()
    assert 'value="My open tasks"' in shown
    assert "Finds 0 records of yours" in shown

    client.post(f"{url('add')}{begin}", lines(("owner", "me", ""), name="Mine"))

    made = UserQuery.objects.get()
    assert (made.name, made.parent_query_id, made.owning_user) == ("Mine", key, ada)
    # Of another table, or none at all: one begins with nothing.
    for other in (f"?table={Table.FAX}&template={key}", f"?table={Table.FAX}&template=%00"):
        assert "My open" not in client.get(f"{url('add')}{other}").content.decode()


@pytest.mark.rule("R6.12")
def test_what_is_wrong_stays_typed_and_is_explained(ada):
    page = f"{url('add')}?table={Table.CONTACT}"

    shown = (
        signed_in(ada)
        .post(page, lines(("birth_date", "next_days", "soon"), ("job_title", "", "x")))
        .content.decode()
    )

    assert "birthday: write a number of days from 1 to 3650. (" in shown
    assert "job title: choose how it is compared." in shown
    assert 'value="soon"' in shown
    assert not UserQuery.objects.exists()


def test_an_address_that_names_no_table_is_no_page(ada):
    assert signed_in(ada).get(f"{url('add')}?table=4202").status_code == 404
    assert signed_in(ada).get(f"{url('add')}?table=%00").status_code == 404


# -- what it finds


@pytest.mark.rule("R6.12")
def test_the_page_counts_what_would_match_and_shows_the_first_ten(ada):
    buyers = ContactFactory.create_batch(11, owning_user=ada, job_title="Buyer", last_name="Ours")
    ContactFactory(owning_user=ada, job_title="Judge", last_name="Other")
    ContactFactory(job_title="Buyer", last_name="Stranger")
    linked(ada, *buyers[:2])
    page = f"{url('add')}?table={Table.CONTACT}"

    shown = (
        signed_in(ada).post(page, lines(("job_title", "is", "buyer"), _show="")).content.decode()
    )

    assert "Finds 11 records of yours; 2 of them are linked." in shown
    assert shown.count("Ben Ours</a>") == 10
    assert "Other</a>" not in shown
    assert "Stranger" not in shown


def test_of_others_only_what_the_reader_may_see_is_counted(ada):
    ContactFactory(owning_user=ada, last_name="Hers")
    query = UserQueryFactory(owning_user=ada)
    robin = SystemUserFactory()
    group_of(robin, "view_userquery", "change_userquery", "view_contact", reach=Reach.ALL)
    narrow = SystemUserFactory()
    group_of(narrow, "view_userquery", "change_userquery", reach=Reach.ALL)

    for reader, count in ((robin, 1), (narrow, 0)):
        shown = signed_in(reader).get(url("change", query.pk)).content.decode()
        assert f"Finds {count} record" in shown
        assert ("Hers" in shown) is bool(count)


def test_nobody_guesses_the_subject_of_a_private_meeting_by_a_filter(ada):
    group_of(ada, "view_appointment", reach=Reach.OWN)
    meeting = AppointmentFactory(is_mapi_private=True, activity__owning_user=ada)
    ActivityPartyFactory(
        activity=meeting.activity,
        participation_type_mask=ParticipationType.REQUIRED_ATTENDEE,
        party_type=ContentType.objects.get_for_model(SystemUser),
        party_id=str(ada.pk),
    )
    query = UserQueryFactory(
        owning_user=ada,
        returned_type_code=Table.APPOINTMENT,
        conditions=asks("subject", "begins", "review"),
    )

    mine = signed_in(ada).get(url("change", query.pk)).content.decode()
    others = signed_in(SuperuserFactory()).get(url("change", query.pk)).content.decode()

    assert "Finds 1 record of yours" in mine
    assert "Finds 0 records of" in others


@pytest.mark.rule("R6.10")
def test_the_page_tells_why_one_record_is_not_found(ada):
    ContactFactory(owning_user=ada, first_name="Cleo", job_title="Buyer")
    ContactFactory(owning_user=ada, first_name="Cleo", last_name="Judge", job_title="Judge")
    ContactFactory(first_name="Cleo", last_name="Stranger", job_title="Buyer")
    query = UserQueryFactory(
        owning_user=ada,
        conditions={
            "all": [asks("owner", "me")["all"][0], asks("job_title", "is", "buyer")["all"][0]]
        },
    )
    page = url("change", query.pk)

    mine = signed_in(ada).get(page, {"q": "cleo"}).context["answers"]
    assert [
        (answer.found, [holds for _line, holds in answer.lines]) for _n, answer, _r in mine
    ] == [
        (True, [True, True]),
        (False, [True, False]),
    ]
    everything = signed_in(SuperuserFactory()).get(page, {"q": "stranger cleo"})
    ((_name, answer, readable),) = everything.context["answers"]
    assert (answer.found, readable) == (False, False)
    assert "the user may not read it" in everything.content.decode()
    assert "has these words" in signed_in(ada).get(page, {"q": "nobody\0"}).content.decode()


# -- what a change takes out


@pytest.mark.rule("R6.13")
def test_a_narrower_filter_asks_before_linked_records_leave(ada):
    buyer, judge = (ContactFactory(owning_user=ada, job_title=name) for name in ("Buyer", "Judge"))
    linked(ada, buyer, judge)
    query = UserQueryFactory(owning_user=ada)
    client, page = signed_in(ada), url("change", query.pk)
    data = lines(("owner", "me", ""), ("job_title", "is", "buyer"))

    asked = client.post(page, data)
    query.refresh_from_db()
    assert asked.context["leaving"].count == 1
    assert "1 linked record would be found by no filter any more." in asked.content.decode()
    assert "the next cycle unlinks them" in asked.content.decode()
    assert len(query.conditions["all"]) == 1

    answer = client.post(page, {**data, "_anyway": ""})
    query.refresh_from_db()
    assert "was saved" in words(answer)
    assert len(query.conditions["all"]) == 2

    # A wider one takes nothing out.
    assert client.post(page, lines(("owner", "me", ""))).status_code == 302


@pytest.mark.rule("R6.7")
def test_what_would_leave_tells_nothing_of_records_out_of_sight(ada):
    linked(ada, ContactFactory(owning_user=ada, last_name="Secret"))
    query = UserQueryFactory(owning_user=ada)
    helper = SystemUserFactory()
    group_of(helper, "view_userquery", "change_userquery", reach=Reach.ALL)
    client = signed_in(helper)
    told = []
    for guess in ("Sec", "Xyz"):
        asked = client.post(url("change", query.pk), lines(("last_name", "begins", guess)))
        assert "Linked records that aren" in asked.content.decode()
        told.append(asked.context["leaving"])
    assert told[0] == told[1] and told[0].count == 0
    query.refresh_from_db()
    assert "last_name" not in str(query.conditions)
    group_of(helper, "view_contact", reach=Reach.ALL)
    asked = client.post(url("change", query.pk), lines(("last_name", "begins", "Xyz")))
    assert asked.context["leaving"].count == 1 and not asked.context["leaving"].others


@pytest.mark.rule("R6.13")
def test_another_filter_that_finds_them_keeps_them(ada):
    linked(ada, ContactFactory(owning_user=ada))
    query = UserQueryFactory(owning_user=ada)
    UserQueryFactory(owning_user=ada)

    answer = signed_in(ada).post(url("do", query.pk, "deactivate"))

    assert "acts no longer" in words(answer)
    query.refresh_from_db()
    assert not query.is_active_state


@pytest.mark.rule("R6.12")
def test_switching_off_and_deleting_ask_too_and_do_it(ada):
    linked(ada, ContactFactory(owning_user=ada))
    query = UserQueryFactory(owning_user=ada)
    client, do = signed_in(ada), url("do", query.pk, "deactivate")

    assert client.post(do).context["leaving"].count == 1
    assert UserQuery.objects.get().is_active_state
    client.post(do, {"_anyway": "yes"})
    assert not UserQuery.objects.get().is_active_state
    client.post(url("do", query.pk, "activate"))
    assert UserQuery.objects.get().is_active_state

    chosen = {"action": "remove", "_selected_action": [str(query.pk)]}
    asked = client.post(url("changelist"), chosen)
    assert asked.context["leaving"].count == 1
    assert client.get(url("delete", query.pk)).context["leaving"].count == 1
    assert UserQuery.objects.exists()
    done = client.post(url("changelist"), {**chosen, "_anyway": "yes"}, follow=True)
    assert "1 was deleted" in words(done)
    assert not UserQuery.objects.exists()


@pytest.mark.rule("R6.13")
def test_under_strict_parity_the_page_says_that_they_are_deleted_there(ada):
    organization(distinct_physical_and_logical_deletes_for_exchange_sync=False)
    linked(ada, ContactFactory(owning_user=ada))
    query = UserQueryFactory(owning_user=ada)

    asked = signed_in(ada).post(url("do", query.pk, "deactivate")).content.decode()

    assert "are deleted on the server by the next cycle" in asked


def test_a_stored_filter_that_is_unreadable_can_be_mended(ada):
    linked(ada, ContactFactory(owning_user=ada))
    query = UserQueryFactory(owning_user=ada, conditions={"all": [{"field": "gone"}]})
    client, page = signed_in(ada), url("change", query.pk)
    assert "unreadable" in client.get(page).content.decode()
    assert "unreadable" in client.get(url("changelist")).content.decode()

    assert client.post(page, lines(("owner", "me", ""))).status_code == 302

    query.refresh_from_db()
    assert query.conditions == asks("owner", "me")


# -- who may


@pytest.mark.rule("R6.12")
def test_filters_of_others_are_out_of_sight_and_reach(ada):
    query = UserQueryFactory(owning_user=ada, name="Hers")
    mine = UserQueryFactory(name="Mine")
    client = signed_in(mine.owning_user)

    listed = client.get(url("changelist")).content.decode()
    assert "Mine" in listed and "Hers" not in listed
    assert client.get(url("change", query.pk)).status_code == 302
    assert client.post(url("change", query.pk), lines()).status_code == 302
    assert client.post(url("do", query.pk, "deactivate")).status_code == 404
    client.post(
        url("changelist"),
        {"action": "remove", "_selected_action": [str(query.pk)], "_anyway": "yes"},
    )
    forged = lines(("owner", "me", ""), owning_user=str(ada.pk))
    client.post(f"{url('add')}?table={Table.TASK}", forged)

    query.refresh_from_db()
    assert query.is_active_state
    assert set(UserQuery.objects.filter(owning_user=ada)) == {query}


@pytest.mark.rule("R6.12")
def test_administrators_make_filters_for_others(ada):
    robin = SystemUserFactory()
    group_of(robin, "add_userquery", "view_systemuser", reach=Reach.ALL)

    data = lines(("owner", "me", ""), owning_user=str(ada.pk))
    signed_in(robin).post(f"{url('add')}?table={Table.TASK}", data)

    assert UserQuery.objects.get().owning_user == ada


def test_who_may_only_look_gets_no_form(ada):
    query = UserQueryFactory(owning_user=ada)
    reader = SystemUserFactory()
    group_of(reader, "view_userquery", reach=Reach.ALL)
    client = signed_in(reader)

    shown = client.get(url("change", query.pk)).content.decode()

    assert 'id="filter"' not in shown
    assert client.post(url("change", query.pk), lines()).status_code == 403


# -- templates


@pytest.mark.rule("R6.9")
def test_templates_are_listed_changed_and_those_of_the_product_stay():
    client = signed_in(SuperuserFactory())
    listed = client.get(url("changelist", model="savedquery")).content.decode()
    assert "My active contacts" in listed
    assert SavedQuery.objects.count() == len(DEFAULTS)
    key = key_of(Table.CONTACT)

    page = url("change", key, model="savedquery")
    answer = client.post(
        page, lines(("owner", "my_teams", ""), name="Ours", query_type=QueryType.TEMPLATE)
    )

    assert answer.status_code == 302
    changed = SavedQuery.objects.get(pk=key)
    assert (changed.name, changed.is_default) == ("Ours", False)
    assert client.post(url("delete", key, model="savedquery"), {"post": "yes"}).status_code == 403
    said = client.post(
        url("changelist", model="savedquery"),
        {"action": "remove", "_selected_action": [str(key)], "_anyway": "yes"},
        follow=True,
    )
    assert "comes with the product" in words(said)


def test_a_filter_for_everybody_asks_before_it_takes_something_out(ada):
    linked(ada, ContactFactory(owning_user=ada))
    everybody = SavedQueryFactory(query_type=QueryType.FILTER)

    asked = signed_in(SuperuserFactory()).post(
        url("do", everybody.pk, "deactivate", model="savedquery")
    )

    assert asked.context["leaving"].count == 1
    wrong = lines(("owner", "me", ""), query_type=QueryType.FILTER, is_default="on")
    shown = signed_in(SuperuserFactory()).post(
        url("change", everybody.pk, model="savedquery"), wrong
    )
    assert "is copied to nobody" in shown.content.decode()


@pytest.mark.rule("R10.13")
def test_templates_are_applied_to_many_after_a_dry_run(ada):
    Mailbox.objects.filter(regarding_user=ada).update(
        act_delivery_method=ActDeliveryMethod.SERVER_SIDE_SYNC
    )
    off = SystemUserFactory()  # synchronizes nothing
    Mailbox.objects.filter(regarding_user=off).update(act_delivery_method=ActDeliveryMethod.NONE)
    linked(ada, ContactFactory(owning_user=ada))
    former = UserQueryFactory(owning_user=ada, name="Former")
    template = SavedQueryFactory(name="Buyers", conditions=asks("job_title", "is", "buyer"))
    client, page = signed_in(SuperuserFactory()), url("apply", model="savedquery")
    data = {"templates": [str(template.pk)], "whom": "all", "retire_others": "on"}
    assert client.get(page).status_code == 200

    shown = client.post(page, {**data, "_show": ""})

    (gift,) = [one for one in shown.context["gifts"] if one.user == ada]
    assert (gift.added, gift.retired) == ([template], [former])
    assert off not in [one.user for one in shown.context["gifts"]]
    assert shown.context["leaving"].count == 1
    assert "Former" in shown.content.decode()
    assert UserQuery.objects.count() == 1

    answer = client.post(page, {**data, "_apply": ""})
    assert "1 added" in words(answer)
    former.refresh_from_db()
    assert not former.is_active_state
    assert UserQuery.objects.get(parent_query=template).owning_user == ada


@pytest.mark.rule("R10.13")
def test_templates_go_to_teams_and_to_users_that_are_named(ada):
    ben = SystemUserFactory()
    team = TeamFactory(members=[ben])
    template = SavedQueryFactory()
    client, page = signed_in(SuperuserFactory()), url("apply", model="savedquery")
    data = {"templates": [str(template.pk)], "_apply": ""}

    client.post(page, {**data, "whom": "team", "team": str(team.pk)})
    assert set(UserQuery.objects.values_list("owning_user", flat=True)) == {ben.pk}
    named = f"{ada.domain_name.upper()}\n {ada.internal_email_address}\n"
    client.post(page, {**data, "whom": "chosen", "users": named})
    assert UserQuery.objects.filter(owning_user=ada).count() == 1

    for wrong, said in (
        ({"whom": "team"}, "Choose the team"),
        ({"whom": "chosen", "users": ""}, "Name at least one user"),
        ({"whom": "chosen", "users": "nobody"}, "“nobody” is no user"),
        ({"whom": "everybody"}, "Select a valid choice"),
    ):
        assert said in client.post(page, {**data, **wrong}).content.decode()


@pytest.mark.rule("R10.13")
def test_templates_are_applied_by_whom_a_permission_lets(ada):
    page = url("apply", model="savedquery")
    assert signed_in(ada).get(page).status_code == 403

    group_of(ada, "change_userquery", "view_savedquery", reach=Reach.OWN)
    ben = SystemUserFactory()
    template = SavedQueryFactory()
    data = {"templates": [str(template.pk)], "whom": "chosen", "_apply": ""}
    refused = signed_in(ada).post(page, {**data, "users": ben.domain_name}).content.decode()

    assert "is no user whose filters you may change" in refused
    assert not UserQuery.objects.exists()
