"""The hook that docs/receipt-hooks.md shows works as it stands there."""

import re
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from uuid import UUID

import pytest

from tracking.receipts import Receipt, Record, Refuse, Result

PAGE = Path(__file__).resolve().parents[3] / "docs" / "receipt-hooks.md"
TEXT = PAGE.read_text()


class Orders:
    """As a manager answers; order 7 is there."""

    def filter(self, *, number):
        found = SimpleNamespace(pk=41) if number == "7" else None
        return SimpleNamespace(first=lambda: found)


@pytest.fixture
def hook(monkeypatch):
    ordering, models = ModuleType("ordering"), ModuleType("ordering.models")
    models.Order = SimpleNamespace(objects=Orders())
    monkeypatch.setitem(sys.modules, "ordering", ordering)
    monkeypatch.setitem(sys.modules, "ordering.models", models)
    (block,) = re.findall(r"(?ms)^   ```python\n(.*?)^   ```$", TEXT)
    names: dict = {}
    exec(compile(re.sub(r"(?m)^   ", "", block), str(PAGE), "exec"), names)  # the page's own words
    return names["by_order_number"]


def receipt(subject: str) -> Receipt:
    return Receipt(
        key=UUID(int=1), mailbox="Orders", mailbox_address="orders@example.com", kind="ordinary",
        message_id="1@customer.example", subject=subject,
    )  # fmt: skip


def test_mail_that_names_an_order_is_filed_under_it(hook):
    assert hook(receipt("Re: ORDER-7, please")) == Result(regarding=Record("ordering.order", "41"))


def test_other_mail_is_left_alone(hook):
    assert hook(receipt("Opening hours?")) is None


def test_an_order_that_is_not_there_is_refused(hook):
    with pytest.raises(Refuse, match="no order 8"):
        hook(receipt("ORDER-8"))


def test_the_page_names_each_fact_of_a_receipt():
    table = TEXT[TEXT.index("## What it is told") : TEXT.index("## What it may answer")]
    named = set(re.findall(r"`(\w+)`", "".join(re.findall(r"(?m)^\| (`.+?`) \|", table))))
    facts = {name for name in Receipt.__dataclass_fields__ if name != "read_raw"} | {"raw"}

    assert named == facts
