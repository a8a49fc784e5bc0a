"""Filters, and arbitrary conditions that could be stored."""

from datetime import date

import factory
from factory.django import DjangoModelFactory
from hypothesis import strategies as st

from serversync.act.conditions.catalogue import Operator, Takes, fields_of
from serversync.act.types import Table
from serversync.models import SavedQuery, UserQuery
from tests.factories.mailboxes import SystemUserFactory

EVERY_CONTACT = {"all": []}
MY_CONTACTS = {"all": [{"field": "owner", "operator": "me"}]}


def asks(field, operator, value=None, *, way="all"):
    """Conditions of one question."""
    told = {"field": field, "operator": operator}
    return {way: [told if value is None else told | {"value": value}]}


class SavedQueryFactory(DjangoModelFactory):
    """A template."""

    class Meta:
        model = SavedQuery

    name = factory.Sequence(lambda n: f"Template {n}")
    returned_type_code = Table.CONTACT
    conditions = factory.LazyFunction(lambda: dict(MY_CONTACTS))


class UserQueryFactory(DjangoModelFactory):
    """An active filter on contacts."""

    class Meta:
        model = UserQuery

    name = factory.Sequence(lambda n: f"Filter {n}")
    returned_type_code = Table.CONTACT
    conditions = factory.LazyFunction(lambda: dict(MY_CONTACTS))
    owning_user = factory.SubFactory(SystemUserFactory)


#: Few of each, so that questions and records meet.
TEXTS = ("Ada", "ADA", "ada.", "Äda", "äDA", "a_a", "%", "(", "İ", "ß", "\\A", "x y", "漢", "a'b")
DAYS = (date(2026, 3, 28), date(2026, 3, 29), date(2026, 3, 30), date(2026, 4, 1))
NUMBERS = (-1, 0, 1, 2, 2**31 - 1)


def _values(field, operator):
    if operator.takes == Takes.TEXT:
        return st.sampled_from([text for text in TEXTS if text.strip()])
    if operator.takes == Takes.NUMBER:
        return st.sampled_from(NUMBERS)
    if operator.takes == Takes.CHOICES:
        return st.lists(st.sampled_from(field.choices.values), min_size=1, max_size=3)
    if operator.takes == Takes.DAY:
        return st.sampled_from([day.isoformat() for day in DAYS])
    return st.integers(1, 3)


@st.composite
def condition(draw, table):
    field = draw(st.sampled_from(list(fields_of(table).values())))
    operator = draw(st.sampled_from(field.operators))
    told = {"field": field.name, "operator": operator.value}
    if operator.takes != Takes.NOTHING:
        told["value"] = draw(_values(field, Operator(operator)))
    return told


def conditions(table):
    one = condition(table)
    way = st.sampled_from(["all", "any"])
    inner = st.builds(lambda w, parts: {w: parts}, way, st.lists(one, min_size=1, max_size=3))
    outer = st.builds(
        lambda w, parts: {w: parts},
        way,
        st.lists(st.one_of(one, one, inner), min_size=1, max_size=3),
    )
    return st.one_of(st.just({"all": []}), outer)
