"""PURE  Conditions as FetchXML, as other products of the field read them."""

from itertools import count
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from serversync.act.conditions.catalogue import Kind, Operator, Takes
from serversync.act.conditions.language import Condition, Conditions, Group, read
from serversync.act.types import Table

LOGICAL = {
    Table.CONTACT: "contact",
    Table.APPOINTMENT: "appointment",
    Table.RECURRING_APPOINTMENT: "recurringappointmentmaster",
    Table.SERVICE_APPOINTMENT: "serviceappointment",
    Table.TASK: "task",
    Table.PHONE_CALL: "phonecall",
    Table.LETTER: "letter",
    Table.FAX: "fax",
}
_OPERATORS = {
    Operator.IS: "eq",
    Operator.IS_NOT: "ne",
    Operator.CONTAINS: "like",
    Operator.LACKS: "not-like",
    Operator.BEGINS: "begins-with",
    Operator.EQUALS: "eq",
    Operator.DIFFERS: "ne",
    Operator.AT_LEAST: "ge",
    Operator.AT_MOST: "le",
    Operator.ONE_OF: "in",
    Operator.NONE_OF: "not-in",
    Operator.YES: "eq",
    Operator.NO: "eq",
    Operator.ON: "on",
    Operator.BEFORE: "lt",
    Operator.AFTER: "gt",
    Operator.TODAY: "today",
    Operator.NEXT_DAYS: "next-x-days",
    Operator.LAST_DAYS: "last-x-days",
    Operator.OLDER_DAYS: "olderthan-x-days",
    Operator.ME: "eq-userid",
    Operator.NOT_ME: "ne-userid",
    Operator.MY_TEAMS: "eq-userteams",
    Operator.I_TAKE_PART: "not-null",
    Operator.I_DO_NOT: "null",
    Operator.SET: "not-null",
    Operator.UNSET: "null",
}


def fetch_xml(table: Table, conditions: Conditions) -> str:
    """Raises NotUnderstood."""
    return _Fetch(table).written(read(table, conditions))


class _Fetch:
    """What stands in another table is joined beside the condition, whose alias it names."""

    def __init__(self, table: Table) -> None:
        self.root = Element("fetch")
        self.entity = SubElement(self.root, "entity", name=LOGICAL[table])
        self.key = "contactid" if table == Table.CONTACT else "activityid"
        self.aliases = (f"l{number}" for number in count(1))

    def written(self, group: Group) -> str:
        SubElement(self.entity, "attribute", name=self.key)
        self._group(self.entity, group)
        indent(self.root)
        return tostring(self.root, encoding="unicode")

    def _group(self, within: Element, group: Group) -> None:
        made = SubElement(within, "filter", type="and" if group.all else "or")
        for part in group.parts:
            if isinstance(part, Group):
                self._group(made, part)
            else:
                self._condition(made, part)

    def _condition(self, within: Element, condition: Condition) -> None:
        field, operator = condition.field, condition.operator
        made = SubElement(within, "condition", attribute=field.logical)
        if field.kind == Kind.PARTIES:
            made.set("entityname", self._parties(condition))
            made.set("attribute", "activitypartyid")
        elif field.over is not None:
            made.set("entityname", self._joined(*field.over))
        made.set("operator", _OPERATORS[operator])
        if field.kind != Kind.PARTIES:
            _write_value(made, condition)

    def _parties(self, condition: Condition) -> str:
        alias = self._joined("activityparty", "activityid", "activityid")
        within = SubElement(self.entity[-1], "filter", type="and")
        SubElement(within, "condition", attribute="partyid", operator="eq-userid")
        roles = SubElement(within, "condition", attribute="participationtypemask", operator="in")
        _write_values(roles, condition.value)
        return alias

    def _joined(self, table: str, key: str, column: str) -> str:
        alias = next(self.aliases)
        attributes = {"name": table, "from": key, "to": column, "link-type": "outer"}
        SubElement(self.entity, "link-entity", {**attributes, "alias": alias})
        return alias


def _write_value(made: Element, condition: Condition) -> None:
    operator, value = condition.operator, condition.value
    if operator.takes == Takes.CHOICES:
        _write_values(made, value)
    elif operator in (Operator.YES, Operator.NO):
        made.set("value", str(int(operator == Operator.YES)))
    elif operator in (Operator.CONTAINS, Operator.LACKS):
        made.set("value", f"%{value}%")
    elif value is not None:
        made.set("value", str(value))


def _write_values(made: Element, values: list[int]) -> None:
    for value in values:
        SubElement(made, "value").text = str(value)
