"""Pages of a view: FindItem and FindFolder."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from serversync.sandbox.ews.soap import Element, M, Refusal, attribute, boolean, make, whole_text

Row = TypeVar("Row")


@dataclass(frozen=True, slots=True)
class Page:
    """`size` None: everything."""

    offset: int = 0
    size: int | None = None
    from_end: bool = False


def read_page(request: Element, tag: str) -> Page:
    """Raises SoapFault, Refusal."""
    view = request.find(tag)
    if view is None:
        return Page()
    most = view.get("MaxEntriesReturned")
    size = None if most is None else whole_text(most, view)
    if size == 0:
        raise Refusal("ErrorInvalidPagingMaxRows", "A page holds at least one row.")
    offset = whole_text(attribute(view, "Offset"), view)
    return Page(offset, size, attribute(view, "BasePoint", ("Beginning", "End")) == "End")


def paged(rows: Sequence[Row], page: Page, tag: str, show: Callable[[Row], Element]) -> Element:
    """The m:RootFolder with one page. Its paging offset is where the next page begins."""
    total = len(rows)
    if page.from_end:
        end = max(0, total - page.offset)
        start = 0 if page.size is None else max(0, end - page.size)
        is_last, following = start == 0, total - start
    else:
        start = min(page.offset, total)
        end = total if page.size is None else min(total, start + page.size)
        is_last, following = end >= total, end
    return make(
        f"{M}RootFolder",
        make(tag, *(show(row) for row in rows[start:end])),
        IndexedPagingOffset=str(following),
        TotalItemsInView=str(total),
        IncludesLastItemInRange=boolean(is_last),
    )


def unpaged(
    rows: Sequence[Row], tag: str, show: Callable[[Row], Element], most: int | None
) -> Element:
    """For views without offsets."""
    shown = rows if most is None else rows[:most]
    return make(
        f"{M}RootFolder",
        make(tag, *(show(row) for row in shown)),
        TotalItemsInView=str(len(rows)),
        IncludesLastItemInRange=boolean(len(shown) == len(rows)),
    )
