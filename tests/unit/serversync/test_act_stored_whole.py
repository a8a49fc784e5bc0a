"""Whatever a side holds comes back from JSON as it was: the base that both sides are compared with."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serversync.act import stored
from serversync.act.fitting import fitted
from serversync.act.types import Side, Table
from tests.unit.serversync.test_act_fitting import MOMENTS, SORTS, items


@pytest.mark.parametrize("table", SORTS, ids=lambda table: table.name)
@settings(max_examples=50, deadline=None)
@given(data=st.data())
def test_a_side_that_fits_comes_back(table, data) -> None:
    fields = fitted(table, data.draw(items(table))).fields
    own = st.none() | items(Table.APPOINTMENT).map(lambda item: fitted(table, item).fields)
    is_series = table == Table.RECURRING_APPOINTMENT
    occurrences = data.draw(st.dictionaries(MOMENTS, own, max_size=2)) if is_series else {}
    side = Side(fields, occurrences)
    told = json.loads(json.dumps(stored.side_data(side)))
    assert stored.side_of(table.kind, told) == side
