"""Conditions of filters: what may be stored, what it means, how it is told."""

from datetime import UTC, date, datetime, timedelta
from uuid import UUID
from xml.etree.ElementTree import fromstring
from zoneinfo import ZoneInfo

import pytest
from django.utils import translation
from hypothesis import given
from hypothesis import strategies as st

from serversync.act.conditions.catalogue import Kind, Operator, fields_of
from serversync.act.conditions.defaults import DEFAULTS, shown
from serversync.act.conditions.fetch import LOGICAL, fetch_xml
from serversync.act.conditions.language import (
    MOST,
    NotUnderstood,
    Viewer,
    days_meant,
    each,
    faults,
    is_relative,
    read,
)
from serversync.act.conditions.lines import Line, Typed, conditions_of, lines_of
from serversync.act.conditions.matches import matches
from serversync.act.conditions.words import in_words
from serversync.act.types import Table
from tests.factories.filters import asks, conditions

ME, OTHER, TEAM = UUID(int=1), UUID(int=2), UUID(int=3)
BERLIN = ZoneInfo("Europe/Berlin")
NOW = datetime(
    2026, 3, 28, 23, 30, tzinfo=UTC
)  # in Berlin it is the 29th, when the clock goes forward
VIEWER = Viewer(ME, frozenset({TEAM}), NOW, BERLIN)

every_table = pytest.mark.parametrize("table", list(Table), ids=lambda table: table.name)
any_table = st.sampled_from(list(Table))


def holds(table, row, *asked, way="all"):
    return matches(table, asks(*asked, way=way), row, VIEWER)


# -- the catalogue


@every_table
def test_each_kind_of_record_can_be_asked_about_owner_and_state(table):
    fields = fields_of(table)

    assert {"owner", "state"} <= set(fields)
    assert all(field.operators for field in fields.values())


def test_only_activities_have_parties():
    with_parties = {table for table in Table if "parties" in fields_of(table)}

    assert with_parties == set(Table) - {Table.CONTACT}


# -- what is wrong


@given(any_table.flatmap(lambda table: st.tuples(st.just(table), conditions(table))))
def test_what_the_form_can_write_is_understood_told_and_written_as_fetchxml(drawn):
    table, asked = drawn

    assert faults(table, asked) == []
    assert in_words(table, asked)
    assert "unreadable" not in in_words(table, asked)
    root = fromstring(fetch_xml(table, asked))
    assert root.find("entity").get("name") == LOGICAL[table]
    assert len(root.findall(".//condition")) >= sum(1 for _one in _each(asked))


def _each(asked):
    for part in next(iter(asked.values())):
        if "field" in part:
            yield part
        else:
            yield from _each(part)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (None, "unreadable"),
        ([], "unreadable"),
        ({}, "unreadable"),
        ({"all": "x"}, "unreadable"),
        ({"none": []}, "unreadable"),
        ({"all": [], "any": []}, "unreadable"),
        ({"any": []}, "A group is empty"),
        ({"all": [{"any": []}]}, "A group is empty"),
        (
            {"all": [{"any": [{"all": [{"field": "owner", "operator": "me"}]}]}]},
            "one other at most",
        ),
        ({"all": [{"field": "owner", "operator": "me"}] * (MOST + 1)}, "at most 20 conditions"),
        ({"all": ["x"]}, "A condition is unreadable"),
        ({"all": [{"field": "owner", "operator": "me", "more": 1}]}, "A condition is unreadable"),
        (asks("", "me"), "Choose what the condition asks about"),
        (asks("subject", "is", "x"), "has no “subject”"),
        (asks(["owner"], "me"), "Choose what the condition asks about"),
        (asks("owner", ""), "owner: choose how it is compared. (R6.12)"),
        (asks("owner", "contains", "x"), "owner: choose how it is compared"),
        (asks("owner", "me", "x"), "owner: nothing stands beside this comparison"),
        (asks("job_title", "contains"), "job title: say what to look for"),
        (asks("job_title", "contains", "  "), "say what to look for"),
        (asks("job_title", "contains", "x" * 201), "longer than 200 characters"),
        (asks("job_title", "contains", "a\0b"), "control characters"),
        (asks("job_title", "contains", 4), "say what to look for"),
        (asks("state", "one_of", []), "state: choose one or more of its values"),
        (asks("state", "one_of", [7]), "choose one or more of its values"),
        (asks("state", "one_of", [True]), "choose one or more of its values"),
        (asks("state", "one_of", "0"), "choose one or more of its values"),
        (asks("birth_date", "on", "31.3.2026"), "birthday: write a day between 1900 and 2999"),
        (asks("birth_date", "on", "9999-12-31"), "write a day between 1900 and 2999"),
        (asks("birth_date", "next_days", 0), "write a number of days from 1 to 3650"),
        (asks("birth_date", "next_days", 3651), "write a number of days"),
        (asks("birth_date", "last_days", "7"), "write a number of days"),
        (asks("number_of_children", "equals", True), "write a whole number"),
        (asks("number_of_children", "equals", 2**40), "write a whole number"),
    ],
)
def test_what_is_wrong_is_told_with_its_field_and_what_to_do(asked, said):
    (found,) = faults(Table.CONTACT, asked)

    assert said in found
    with pytest.raises(NotUnderstood):
        read(Table.CONTACT, asked)
    with pytest.raises(NotUnderstood):
        matches(Table.CONTACT, asked, {}, VIEWER)
    assert in_words(Table.CONTACT, asked).startswith("unreadable: ")


def test_every_fault_names_a_rule():
    told = {"all": [{"field": "owner", "operator": "is"}, {"field": "x"}, {"any": []}, 4]}

    found = faults(Table.TASK, told)

    assert len(found) == 4
    assert all(fault.endswith("(R6.12)") for fault in found)


# -- what it means


@given(any_table.flatmap(lambda table: st.tuples(st.just(table), conditions(table))))
def test_time_alone_changes_the_answer_only_where_a_day_is_relative(drawn):
    table, asked = drawn
    relative = {"today", "next_days", "last_days", "older_days"}

    assert is_relative(table, asked) is any(one["operator"] in relative for one in _each(asked))


@pytest.mark.parametrize(
    ("operator", "value", "first", "end"),
    [
        (Operator.ON, date(2026, 3, 5), date(2026, 3, 5), date(2026, 3, 6)),
        (Operator.BEFORE, date(2026, 3, 5), None, date(2026, 3, 5)),
        (Operator.AFTER, date(2026, 3, 5), date(2026, 3, 6), None),
        (Operator.TODAY, None, date(2026, 3, 29), date(2026, 3, 30)),
        (Operator.NEXT_DAYS, 2, date(2026, 3, 29), date(2026, 4, 1)),
        (Operator.LAST_DAYS, 2, date(2026, 3, 27), date(2026, 3, 30)),
        (Operator.OLDER_DAYS, 2, None, date(2026, 3, 27)),
    ],
)
def test_days_that_are_meant(operator, value, first, end):
    assert days_meant(operator, value, date(2026, 3, 29)) == (first, end)


def test_today_is_the_readers_day():
    before, after = NOW - timedelta(hours=1), NOW

    assert VIEWER.today == date(2026, 3, 29)
    assert not holds(Table.TASK, {"scheduled_end": before}, "scheduled_end", "today")
    assert holds(Table.TASK, {"scheduled_end": after}, "scheduled_end", "today")
    assert VIEWER.next_midnight == datetime(2026, 3, 29, 22, 0, tzinfo=UTC)  # 23 hours long


def test_what_lasts_all_day_has_its_day_in_every_zone():
    start = datetime(2026, 3, 29, tzinfo=UTC)
    day = {"scheduled_start": start, "is_all_day_event": True}
    evening = {"scheduled_start": NOW, "is_all_day_event": True}

    assert holds(Table.APPOINTMENT, day, "scheduled_start", "today")
    assert not holds(Table.APPOINTMENT, evening, "scheduled_start", "today")
    assert holds(
        Table.APPOINTMENT, evening | {"is_all_day_event": False}, "scheduled_start", "today"
    )


@pytest.mark.parametrize(
    ("operator", "text", "held", "answer"),
    [
        ("is", "ada", "ADA", True),
        ("is", "Ärzte", "äRZTE", True),
        ("is", "ada", "ada ", False),
        ("is", "ada", "ada\n", False),
        ("is_not", "ada", None, True),
        ("is_not", "ada", "Ada", False),
        ("contains", ".*", "a.*b", True),
        ("contains", ".*", "ab", False),
        ("contains", "%", "100%", True),
        ("contains", "x", None, False),
        ("lacks", "x", None, True),
        ("lacks", "x", "X", False),
        ("begins", "a(", "A(b", True),
        ("begins", "b", "ab", False),
    ],
)
def test_texts_are_compared_without_regard_to_case_and_as_they_stand(operator, text, held, answer):
    row = {"job_title": held}

    assert holds(Table.CONTACT, row, "job_title", operator, text) is answer


@pytest.mark.parametrize("sign", [*".^$*+?()[]{}|\\", "_", "#", " ", "-", "/", '"', "“", "漢"])
def test_every_sign_stands_for_itself(sign):
    text = f"a{sign}b"

    assert holds(Table.CONTACT, {"job_title": f"xA{sign}Bx"}, "job_title", "contains", text)
    assert not holds(Table.CONTACT, {"job_title": "ab"}, "job_title", "contains", text)
    assert not holds(Table.CONTACT, {"job_title": "a1b"}, "job_title", "contains", text)


def test_empty_is_what_is_none_or_blank():
    for held in (None, ""):
        assert holds(Table.CONTACT, {"job_title": held}, "job_title", "unset")
        assert not holds(Table.CONTACT, {"job_title": held}, "job_title", "set")
    assert holds(Table.CONTACT, {"birth_date": date(2000, 1, 1)}, "birth_date", "set")


def test_people():
    mine, teams, others = ({"owner": who} for who in ((ME, None), (None, TEAM), (OTHER, None)))

    assert holds(Table.TASK, mine, "owner", "me")
    assert not holds(Table.TASK, teams, "owner", "me")
    assert holds(Table.TASK, teams, "owner", "not_me")
    assert [holds(Table.TASK, row, "owner", "my_teams") for row in (mine, teams, others)] == [
        *(False, True, False)
    ]
    assert holds(Table.CONTACT, {"preferred_user": None}, "preferred_user", "not_me")


def test_parties_count_in_the_roles_that_were_chosen():
    row = {"parties": [(9, ME), (5, OTHER), (7, None)]}

    assert not holds(Table.APPOINTMENT, row, "parties", "i_take_part", [5, 6, 7])
    assert holds(Table.APPOINTMENT, row, "parties", "i_take_part", [9])
    assert holds(Table.APPOINTMENT, row, "parties", "i_do_not", [5, 6, 7])


def test_groups_are_joined_as_they_say():
    row = {"job_title": "Buyer", "department": "", "owner": (OTHER, None)}
    buyer = {"field": "job_title", "operator": "is", "value": "buyer"}
    mine = {"field": "owner", "operator": "me"}
    filled = {"field": "department", "operator": "set"}

    def answer(asked):
        return matches(Table.CONTACT, asked, row, VIEWER)

    assert answer({"all": []})
    assert not answer({"all": [buyer, mine]})
    assert answer({"any": [buyer, mine]})
    assert answer({"all": [buyer, {"any": [mine, filled, buyer]}]})
    assert not answer({"all": [buyer, {"any": [mine, filled]}]})
    assert answer({"any": [mine, {"all": [buyer]}]})


# -- how it is told


def test_words():
    asked = {
        "all": [
            {"field": "owner", "operator": "me"},
            {
                "any": [
                    {"field": "scheduled_start", "operator": "next_days", "value": 14},
                    {"field": "status_code", "operator": "one_of", "value": [5, 6]},
                    {"field": "parties", "operator": "i_take_part", "value": [7]},
                ]
            },
            {"field": "location", "operator": "contains", "value": "Room 4"},
            {"field": "scheduled_end", "operator": "before", "value": "2026-05-01"},
        ]
    }

    assert in_words(Table.APPOINTMENT, asked) == (
        "owner is me and (start is today or within the next 14 days or status is one of Busy or Out of "
        "Office or I am Organizer) and location contains “Room 4” and end is before 2026-05-01"
    )
    assert in_words(Table.CONTACT, {"all": []}) == "every one that I may read"
    assert in_words(Table.CONTACT, asks("state", "one_of", [0])) == "state is Active"
    assert in_words(Table.CONTACT, asks("state", "none_of", [0])) == "state is not Active"


def test_fetchxml():
    asked = {
        "all": [
            {"field": "owner", "operator": "me"},
            {
                "any": [
                    {"field": "account_name", "operator": "contains", "value": "A&B"},
                    {"field": "state", "operator": "one_of", "value": [0]},
                ]
            },
        ]
    }

    assert fetch_xml(Table.CONTACT, asked) == (
        "<fetch>\n"
        '  <entity name="contact">\n'
        '    <attribute name="contactid" />\n'
        '    <filter type="and">\n'
        '      <condition attribute="ownerid" operator="eq-userid" />\n'
        '      <filter type="or">\n'
        '        <condition attribute="name" entityname="l1" operator="like" value="%A&amp;B%" />\n'
        '        <condition attribute="statecode" operator="in">\n'
        "          <value>0</value>\n"
        "        </condition>\n"
        "      </filter>\n"
        "    </filter>\n"
        '    <link-entity name="account" from="accountid" to="parentcustomerid" link-type="outer"'
        ' alias="l1" />\n'
        "  </entity>\n"
        "</fetch>"
    )


def test_fetchxml_asks_for_parties_in_their_roles():
    root = fromstring(fetch_xml(Table.APPOINTMENT, asks("parties", "i_take_part", [5, 7])))

    joined = root.find("entity/link-entity")
    assert (joined.get("name"), joined.get("alias")) == ("activityparty", "l1")
    assert [value.text for value in joined.findall(".//value")] == ["5", "7"]
    asked = root.find("entity/filter/condition")
    assert dict(asked.attrib) == {
        "attribute": "activitypartyid",
        "entityname": "l1",
        "operator": "not-null",
    }


def test_every_kind_of_field_is_drawn_by_these_tests():
    assert {field.kind for table in Table for field in fields_of(table).values()} == set(Kind)


# -- as lines of a form


def as_typed_again(typed):
    """What the browser sends back."""
    return Typed(typed.way, [*typed.lines, Line()])


@given(any_table.flatmap(lambda table: st.tuples(st.just(table), conditions(table))))
def test_conditions_are_the_same_after_a_visit_to_the_form(drawn):
    table, asked = drawn

    once = conditions_of(table, as_typed_again(lines_of(asked)))

    assert faults(table, once) == []
    assert conditions_of(table, lines_of(once)) == once
    assert sorted(map(repr, each(read(table, once)))) == sorted(
        map(repr, each(read(table, once_each(asked))))
    )


def once_each(asked):
    """A box is ticked or it isn't."""
    if "field" not in asked:
        return {way: [once_each(part) for part in parts] for way, parts in asked.items()}
    value = asked.get("value")
    return asked | {"value": list(dict.fromkeys(value))} if isinstance(value, list) else asked


def test_groups_are_numbered_and_those_joined_as_outside_dissolve():
    mine = {"field": "owner", "operator": "me"}
    buyer = {"field": "job_title", "operator": "is", "value": "buyer"}

    typed = lines_of({"any": [mine, {"all": [buyer, mine]}, {"any": [buyer]}, {"all": [mine]}]})

    assert typed.way == "any"
    assert [(line.field, list(line.values), line.group) for line in typed.lines] == [
        ("owner", [], ""),
        ("job_title", ["buyer"], "1"),
        ("owner", [], "1"),
        ("job_title", ["buyer"], ""),
        ("owner", [], "2"),
    ]


def test_without_lines_every_record_is_meant():
    assert conditions_of(Table.TASK, Typed("any", [Line(), Line(values=["x"], group="1")])) == {
        "all": []
    }


def test_what_is_no_number_is_kept_to_be_told_of():
    typed = Typed("all", [Line("birth_date", "next_days", ["7 days"])])

    told = conditions_of(Table.CONTACT, typed)

    assert told == asks("birth_date", "next_days", "7 days")
    assert faults(Table.CONTACT, told)


# -- what the product brings along


@pytest.mark.rule("R6.11")
def test_each_kind_of_record_has_a_default_that_is_understood():
    assert set(DEFAULTS) == set(Table)
    for table, (name, asked) in DEFAULTS.items():
        assert faults(table, asked) == []
        assert not is_relative(table, asked)
        assert len(name) < 50


def test_names_that_people_gave_are_not_translated():
    with translation.override("ja"):
        assert translation.gettext("Contact") != "Contact"
        assert shown("Contact") == "Contact"
