"""Addresses that several records share: a report of all of them, and a word when one is saved (R10.8).

What an address stands for, the decision about a message says; here it is asked beforehand, by the same
functions. Records that the reader may not see are counted and not named.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.contrib import messages
from django.contrib.contenttypes.models import ContentType
from django.core.paginator import Page, Paginator
from django.db.models import Model
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import path
from django.utils.functional import cached_property
from django.utils.text import capfirst
from django.utils.translation import gettext as __
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_safe

from activities.admin import record_link
from activities.mime.message import Address
from mailboxes import access, conflicts
from mailboxes.addresses import address_key
from mailboxes.choices import Reach
from mailboxes.conflicts import Severity, Shared
from mailboxes.models import EmailSearch, Organization
from mailboxes.search import email_columns, enabled_models
from tracking.addresses import look_up
from tracking.folders import Record
from tracking.records import shown
from tracking.resolution import Match, Resolution, resolve_sender, rules_of

if TYPE_CHECKING:
    from mailboxes.screens import Screen as Base
    from serversync.console.site import ConsoleSite
else:
    Base = object

PER_PAGE = 50
NAMED = 5  # records that a word of warning names
SHOWN = 10  # records of one address in the list

MEANINGS: dict[Severity, Any] = {
    Severity.PARTY_AND_RECORD: _(
        "Mail from it counts as one of them only; mail to it is accepted as the user's or the queue's, "
        "and every one becomes a party (R3.28, R3.32, R3.36). Leave it at one."
    ),
    Severity.PARTIES: _(
        "Both are asked whether they accept mail to it, and the more permissive filter decides (R3.28)."
    ),
    Severity.TOO_MANY: _(
        "It stands for nobody (R3.34). Take it off the records that don't need it."
    ),
    Severity.ONE_TYPE: _(
        "Mail from it counts as that of the oldest active one (R3.32). Perhaps they are the same person "
        "or company."
    ),
    Severity.SEVERAL_TYPES: _(
        "Mail from it counts as that of the first in the order of types (R3.32)."
    ),
}


def urls(site: "ConsoleSite") -> list[Any]:
    def view(request: HttpRequest) -> HttpResponse:
        return page(request, site.each_context(request))

    return [path("conflicts/", site.admin_view(require_safe(view)), name="conflicts")]


@dataclass(frozen=True, slots=True)
class Part:
    """Addresses of one severity."""

    name: Any
    meaning: Any
    count: int
    url: str
    current: bool


@dataclass(frozen=True, slots=True)
class Holder:
    """One record with the address. `words`: a link, or that it is out of sight."""

    kind: str
    words: Any
    active: bool
    chosen: bool


@dataclass(frozen=True, slots=True)
class Conflict:
    """One address: who has it, whom mail from it counts as, and why."""

    shared: Shared
    holders: Sequence[Holder]
    chosen: Holder | None
    because: Any

    @property
    def unnamed(self) -> int:
        return self.shared.records - len(self.holders)


class KnownCount(Paginator):  # type: ignore[type-arg]
    """Pages of what was counted already, by severity."""

    def __init__(self, severity: Severity | None, words: str, number: int) -> None:
        super().__init__([], PER_PAGE)
        self.severity, self.words, self.number = severity, words, number

    @cached_property
    def count(self) -> int:
        return self.number

    def page(self, number: Any) -> Any:
        number = self.validate_number(number)
        start = (number - 1) * self.per_page
        found = conflicts.portion(start, start + self.per_page, self.severity, self.words)
        return Page(found, number, self)


def page(request: HttpRequest, context: dict[str, Any]) -> HttpResponse:
    """The index names everybody's addresses, so only reach over all rows opens it."""
    if access.reach_of(request.user, EmailSearch) != Reach.ALL:
        raise access.refusal(EmailSearch, "view")
    words = request.GET.get("q", "").replace("\0", "")[:320]
    severity = _severity(request.GET.get("severity"))
    counts = conflicts.counts(words)
    number = sum(counts.values()) if severity is None else counts[severity]
    listed = KnownCount(severity, words, number).get_page(request.GET.get("page"))
    query = request.GET.copy()
    query.pop("page", None)
    return TemplateResponse(
        request,
        "console/conflicts.html",
        {
            **context,
            "title": __("Shared addresses"),
            "parts": _parts(request, counts, severity),
            "severity": severity,
            "words": words,
            "page": listed,
            "query": query.urlencode(),
            "conflicts": _conflicts(list(listed), request.user),
            "total": number,
        },
    )


def _severity(told: str | None) -> Severity | None:
    return Severity(int(told)) if told in {str(s.value) for s in Severity} else None


def _parts(
    request: HttpRequest, counts: Mapping[Severity, int], current: Severity | None
) -> list[Part]:
    def url(severity: Severity) -> str:
        query = request.GET.copy()
        query.pop("page", None)
        query.pop("severity", None)
        if severity != current:
            query["severity"] = str(severity.value)
        return f"?{query.urlencode()}"

    return [
        Part(severity.label, MEANINGS[severity], count, url(severity), severity == current)
        for severity, count in counts.items()
        if count or severity == current
    ]


def _conflicts(rows: Sequence[Shared], reader: Any) -> list[Conflict]:
    """Who stands behind the addresses of a page: statements for each kind of record, not for each row."""
    book = look_up([row.address for row in rows])
    rules = rules_of(Organization.objects.current())
    resolved = {row.address: resolve_sender(Address(row.address), book, rules) for row in rows}
    seen = _Seen([match for row in rows for match in book.at(row.address)], reader)
    return [_conflict(row, book.at(row.address), resolved[row.address], seen) for row in rows]


def _conflict(
    row: Shared, matches: Sequence[Match], resolved: Resolution, seen: "_Seen"
) -> Conflict:
    holders = [_holder(match, resolved, seen) for match in matches]
    chosen = next((holder for holder in holders if holder.chosen), None)
    return Conflict(row, holders[:SHOWN], chosen, resolved.because.label)


def _holder(match: Match, resolved: Resolution, seen: "_Seen") -> Holder:
    record = seen.record(match)
    words: Any = __("a record that you can't see")
    if record is not None:
        words = record_link(seen.kinds[match.kind], match.id, str(record))
    chosen = resolved.match is not None and _same(match, resolved.match)
    return Holder(seen.name_of(match), words, match.active, chosen)


def _same(one: Match, other: Match) -> bool:
    return (one.kind, one.id) == (other.kind, other.id)


class _Seen:
    """Records behind matches, as far as this reader may see them."""

    def __init__(self, matches: Iterable[Match], reader: Any) -> None:
        self.kinds = {
            model._meta.label_lower: kind
            for model, kind in ContentType.objects.get_for_models(*enabled_models()).items()
        }
        self._shown = shown({self._ref(match) for match in matches}, reader)

    def _ref(self, match: Match) -> Record:
        return (self.kinds[match.kind].pk, match.id)

    def record(self, match: Match) -> Model | None:
        found = self._shown.get(self._ref(match))
        return found.record if found else None

    def name_of(self, match: Match) -> str:
        return capfirst(self.kinds[match.kind].name)


# -- when an address is saved --------------------------------------------------------------------


class WarnsOfSharedAddresses(Base):
    """Mix in before the screen of an email-enabled model: says so when an address is another's, too."""

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        changed = set(form.changed_data) & set(email_columns(type(obj)))
        for words in warnings_of(obj, changed, request.user):
            self.message_user(request, words, messages.WARNING)


def warnings_of(record: Model, columns: Iterable[str], reader: Any) -> list[str]:
    """A sentence for each address of these columns that other records have as well."""
    addresses = sorted({address_key(getattr(record, name) or "") for name in columns} - {""})
    if not addresses:
        return []
    book = look_up(addresses)
    rules = rules_of(Organization.objects.current())
    mine = Match(kind=record._meta.label_lower, id=str(record.pk), name="")
    found = []
    for address in addresses:
        resolved = resolve_sender(Address(address), book, rules)
        counting = [match for match in book.at(address) if match not in resolved.ignored]
        others = [match for match in counting if not _same(match, mine)]
        if book.exceeds(address):
            found.append(
                __("More than 100 records have %(address)s: it stands for nobody (R3.34).")
                % {"address": address}
            )
        elif others:
            seen = _Seen(counting, reader)
            found.append(
                __("%(address)s is also the address of %(others)s. %(outcome)s")
                % {
                    "address": address,
                    "others": _names(others, seen),
                    "outcome": _outcome(resolved, mine, seen),
                }
            )
    return found


def _names(others: Sequence[Match], seen: _Seen) -> str:
    known = [match for match in others if seen.record(match) is not None]
    words = [f"{seen.record(match)} ({seen.name_of(match).lower()})" for match in known[:NAMED]]
    rest = len(others) - len(words)
    if rest:
        words.append(
            ngettext("%(count)d other record", "%(count)d other records", rest) % {"count": rest}
        )
    return ", ".join(words)


def _outcome(resolved: Resolution, mine: Match, seen: _Seen) -> str:
    chosen = resolved.match
    if chosen is None:
        return __("Mail from it will count as nobody's: %(why)s (R3.35).") % {
            "why": resolved.because.label
        }
    if _same(chosen, mine):
        return __("Mail from it will count as that of this record (R3.32).")
    record = seen.record(chosen)
    if record is None:
        return __("Mail from it will count as that of another record (R3.32).")
    return __("Mail from it will count as that of %(name)s (R3.32).") % {"name": record}
