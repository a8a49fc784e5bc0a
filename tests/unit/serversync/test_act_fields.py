"""The table of fields (R6.14), and what administrators may change in it."""

import pytest
from django.apps import apps
from django.core.exceptions import FieldDoesNotExist

from mailboxes.protocols.items import FIELDS
from serversync.act.fields import MAPPINGS, direction_of, directions, mapping_of, mappings_of
from serversync.act.types import ActSettings, Direction, Table

PLAIN = ActSettings()
BOTH, NONE = Direction.BOTH, Direction.NONE
TO_SERVER, TO_STORE = Direction.TO_SERVER, Direction.TO_STORE
MODELS = {
    Table.APPOINTMENT: "Appointment",
    Table.RECURRING_APPOINTMENT: "RecurringAppointmentMaster",
    Table.SERVICE_APPOINTMENT: "ServiceAppointment",
    Table.TASK: "Task",
    Table.PHONE_CALL: "PhoneCall",
    Table.LETTER: "Letter",
    Table.FAX: "Fax",
    Table.CONTACT: "Contact",
}
#: Named one by one by the sources; the tail of the list is "the remaining plain fields".
NAMED = {
    *("anniversary", "assistant_name", "assistant_phone", "birthday", "business_fax"),
    *("business_phone", "business_phone2", "callback", "children", "company_main_phone"),
    *("department", "email1", "email2", "email3"),
}
ROWS = [mapping for rows in MAPPINGS.values() for mapping in rows]


def ways(table: Table) -> dict[str, Direction]:
    return directions(table, {}, PLAIN)


def settable(table: Table) -> set[str]:
    return {mapping.name for mapping in mappings_of(table, PLAIN) if mapping.is_settable}


@pytest.mark.parametrize("mapping", ROWS, ids=lambda mapping: mapping.key)
def test_every_field_and_column_is_there(mapping) -> None:
    assert set(mapping.fields) <= set(FIELDS[mapping.table.kind]) | {"attachments"}
    for column in mapping.columns:
        assert column in ("parties", "attachments") or has(mapping.table, column), column


def has(table: Table, column: str) -> bool:
    models = [apps.get_model("activities", MODELS[table])]
    if table != Table.CONTACT:
        models.append(apps.get_model("activities", "ActivityPointer"))
    for model in models:
        try:
            model._meta.get_field(column)
        except FieldDoesNotExist:
            continue
        return True
    return False


@pytest.mark.parametrize("table", Table, ids=lambda table: table.name)
def test_a_field_stands_in_one_row(table) -> None:
    for settings in (PLAIN, ActSettings(all_addresses=True)):
        named = [field for mapping in mappings_of(table, settings) for field in mapping.fields]
        assert len(named) == len(set(named))


def test_keys_are_unique() -> None:
    assert len({mapping.key for mapping in ROWS}) == len(ROWS)
    assert mapping_of("task.body") in MAPPINGS[Table.TASK]


@pytest.mark.rule("R6.14")
def test_appointments() -> None:
    assert settable(Table.APPOINTMENT) == {"body", "location", "subject"}
    fixed = {"when", "importance", "required", "optional", "organizer", "show_as"}
    assert {ways(Table.APPOINTMENT)[field] for field in fixed | settable(Table.APPOINTMENT)} == {
        BOTH
    }
    assert ways(Table.APPOINTMENT)["attachments"] == NONE


@pytest.mark.rule("R6.14")
def test_series() -> None:
    table = Table.RECURRING_APPOINTMENT
    assert settable(table) == {"body", "location", "subject"}
    fixed = {"importance", "required", "optional", "organizer", "recurrence", "show_as"}
    assert {ways(table)[field] for field in fixed | settable(table)} == {BOTH}


@pytest.mark.rule("R6.14")
def test_service_appointments_go_to_the_server_only() -> None:
    assert settable(Table.SERVICE_APPOINTMENT) == set()
    found = ways(Table.SERVICE_APPOINTMENT)
    assert found.pop("attachments") == NONE
    assert set(found.values()) == {TO_SERVER}


@pytest.mark.rule("R6.14")
def test_tasks() -> None:
    free = {"percent_complete", "completed", "due", "body", "start", "subject"}
    assert settable(Table.TASK) == free
    assert {ways(Table.TASK)[field] for field in free | {"importance", "status"}} == {BOTH}


@pytest.mark.rule("R6.14")
@pytest.mark.parametrize("table", [Table.LETTER, Table.FAX, Table.PHONE_CALL])
def test_letters_faxes_and_calls(table) -> None:
    free = {"completed", "due", "body", "start", "subject"}
    assert settable(table) == free
    assert {ways(table)[field] for field in free | {"importance", "status"}} == {BOTH}


@pytest.mark.rule("R6.14")
def test_contacts() -> None:
    rows = {mapping.name: mapping for mapping in MAPPINGS[Table.CONTACT]}
    groups = {"name", "address", "addresses"}
    assert not any(rows[name].is_settable for name in groups)
    assert all(rows[name].is_computed for name in groups)
    plain = [
        mapping
        for mapping in MAPPINGS[Table.CONTACT]
        if mapping.name not in groups | {"display_name", "company_name"}
    ]
    assert all(mapping.is_settable and mapping.default == BOTH for mapping in plain)
    named = {field for mapping in plain for field in mapping.fields}
    assert named >= NAMED


@pytest.mark.rule("R6.14")
def test_personal_notes_can_be_kept_private() -> None:
    found = directions(Table.CONTACT, {"contact.body": NONE}, PLAIN)
    assert found["body"] == NONE
    assert ways(Table.CONTACT)["body"] == BOTH


@pytest.mark.rule("R6.14")
def test_regarding_is_fixed_and_no_field_of_the_server() -> None:
    for table in (Table.APPOINTMENT, Table.RECURRING_APPOINTMENT, Table.TASK, Table.FAX):
        mapping = mapping_of(f"{table.name.lower()}.regarding")
        assert mapping is not None
        assert not mapping.is_settable
        assert direction_of(mapping, {}, PLAIN) == BOTH
        assert mapping.fields == ()


@pytest.mark.rule("R6.34")
def test_attachments_go_both_ways_only_where_switched_on_and_never_of_series() -> None:
    on = ActSettings(attachments=True)
    assert directions(Table.APPOINTMENT, {}, on)["attachments"] == BOTH
    for table in (Table.RECURRING_APPOINTMENT, Table.SERVICE_APPOINTMENT):
        assert directions(table, {}, on)["attachments"] == NONE


@pytest.mark.rule("R6.37")
def test_reminders_do_not_come_back() -> None:
    for table in Table:
        assert ways(table).get("reminder", TO_SERVER) == TO_SERVER
    assert ways(Table.TASK)["reminder"] == TO_SERVER


@pytest.mark.parametrize("way", Direction)
def test_what_is_settable_follows(way) -> None:
    assert directions(Table.TASK, {"task.due": way}, PLAIN)["due"] == way


@pytest.mark.parametrize("way", Direction)
def test_what_is_fixed_does_not(way) -> None:
    assert directions(Table.TASK, {"task.status": way}, PLAIN)["status"] == BOTH


def test_a_choice_is_one_table_s() -> None:
    found = directions(Table.FAX, {"task.due": NONE}, PLAIN)
    assert found["due"] == BOTH


@pytest.mark.rule("R6.16")
def test_one_address_or_all_three() -> None:
    assert "home_address" not in ways(Table.CONTACT)
    assert ways(Table.CONTACT)["business_address"] == BOTH
    three = directions(Table.CONTACT, {}, ActSettings(all_addresses=True))
    assert [three[f"{place}_address"] for place in ("business", "home", "other")] == [BOTH] * 3


def test_the_company_can_be_left_out() -> None:
    assert ways(Table.CONTACT)["company_name"] == TO_SERVER
    chosen = {"contact.company_name": Direction.NONE}
    assert directions(Table.CONTACT, chosen, PLAIN)["company_name"] == NONE
