"""Import: a file is read, what it would do is shown row by row, and done on a yes.

    choose kind and file ──> dry run (counts, each row with its reason) ──yes──> progress ──> result

Each import belongs to whoever brought it. What rows may do is decided by the importer's own permissions.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils import timezone
from django.utils.text import capfirst
from django.utils.translation import gettext as __
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_safe

from mailboxes import access
from mailboxes.screens import actor_of, may_type_secrets
from serversync import clusters
from serversync.choices import ImportKind, ImportState, Verdict
from serversync.console.downloads import as_attachment
from serversync.importing import files, held
from serversync.importing.columns import COLUMNS, EMPTY_IT, KEYS
from serversync.importing.reading import ENCODINGS, MOST_BYTES, MOST_ROWS, XLSX, Unreadable
from serversync.importing.world import MODELS
from serversync.models import Import

if TYPE_CHECKING:
    from serversync.console.site import ConsoleSite

PER_PAGE = 100
LATEST = 10
SLOW = timedelta(minutes=15)  # after that a person may go on in place of the worker
LOOKS = {
    Verdict.CREATE: "good",
    Verdict.UPDATE: "info",
    Verdict.UNCHANGED: "quiet",
    Verdict.REFUSED: "bad",
    Verdict.HELD_BACK: "warn",
}
STATE_LOOKS = {
    ImportState.PLANNED: "warn",
    ImportState.APPLYING: "info",
    ImportState.APPLIED: "good",
}


def urls(site: "ConsoleSite") -> list[Any]:
    pages = Pages(site)
    view = site.admin_view
    return [
        path("import/", view(pages.start), name="import"),
        path("import/template/", view(require_safe(pages.template)), name="import_template"),
        path("import/<uuid:pk>/", view(pages.look), name="import_look"),
        path("import/<uuid:pk>/csv/", view(require_safe(pages.export)), name="import_csv"),
    ]


def kinds_for(user: Any) -> list[ImportKind]:
    """Those of which the user may make or change any."""
    return [
        kind
        for kind, model in MODELS.items()
        if any(access.reach_of(user, model, deed) is not None for deed in ("add", "change"))
    ]


def start_page(kind: ImportKind | None = None) -> str:
    url = reverse("admin:import")
    return f"{url}?kind={kind.value}" if kind else url


def page_of(model: Any, user: Any) -> str:
    """The start page for records of a model; "" where they aren't imported, or not by this user."""
    kinds = (kind for kind in kinds_for(user) if MODELS[kind] is model)
    return next((start_page(kind) for kind in kinds), "")


class FileForm(forms.Form):
    kind = forms.ChoiceField(label=_("What the rows are"))
    file = forms.FileField(
        label=_("File"),
        widget=forms.FileInput(attrs={"accept": ".csv,.tsv,.txt,.xlsx,text/csv"}),
        error_messages={"empty": _("The file is empty. Start from the template of this kind.")},
    )
    encoding = forms.ChoiceField(
        label=_("Encoding of a CSV file"),
        required=False,
        choices=[
            ("", _("Found out by itself")),
            *((key, name) for key, (_codec, name) in ENCODINGS.items()),
        ],
        help_text=_(
            "The dry run says how the file was read. Choose one if letters look wrong there."
        ),
    )

    def __init__(self, *args: Any, kinds: Sequence[ImportKind], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field: Any = self.fields["kind"]
        field.choices = [(kind.value, kind.label) for kind in kinds]

    def clean_file(self) -> Any:
        file = self.cleaned_data["file"]
        if file.size > MOST_BYTES:
            raise forms.ValidationError(
                _("The file is larger than %(most)d MB. Split it, and import the parts."),
                params={"most": MOST_BYTES // (1024 * 1024)},
            )
        return file


@dataclass(frozen=True, slots=True)
class Tab:
    words: Any
    count: int
    url: str
    current: bool
    look: str


@dataclass(frozen=True, slots=True)
class Line:
    """A row as it is shown. `differs`: it came to something else than was shown."""

    row: int
    name: str
    words: Any
    look: str
    url: str
    changes: Sequence[Any]
    reasons: Sequence[Any]
    differs: str


class Pages:
    def __init__(self, site: "ConsoleSite") -> None:
        self.site = site

    def _page(self, request: HttpRequest, template: str, **context: Any) -> HttpResponse:
        every = {**self.site.each_context(request), **context}
        return TemplateResponse(request, f"console/{template}.html", every)

    # -- the file

    def start(self, request: HttpRequest) -> HttpResponse:
        kinds = kinds_for(request.user)
        if not kinds:
            raise PermissionDenied
        if request.method == "POST":
            form = FileForm(request.POST, request.FILES, kinds=kinds)
            if form.is_valid() and (row := self._begin(request, form)):
                return HttpResponseRedirect(reverse("admin:import_look", args=[row.pk]))
        else:
            form = FileForm(kinds=kinds, initial={"kind": request.GET.get("kind", kinds[0])})
        rows = access.visible_to(request.user, Import.objects.all()).defer("content", "rows")
        return self._page(
            request,
            "import",
            title=__("Import"),
            form=form,
            kinds=[_told(kind) for kind in kinds],
            latest=[
                (row, STATE_LOOKS[ImportState(row.state)])
                for row in rows.filter(created_by=request.user.pk)[:LATEST]
            ],
            most_rows=MOST_ROWS,
            most_bytes=MOST_BYTES,
            empty_it=EMPTY_IT,
        )

    def _begin(self, request: HttpRequest, form: FileForm) -> Import | None:
        file = form.cleaned_data["file"]
        try:
            return held.begin(
                kind=ImportKind(form.cleaned_data["kind"]),
                content=file.read(),
                file_name=file.name,
                encoding=form.cleaned_data["encoding"],
                actor=actor_of(request),
                now=timezone.now(),
                secrets_allowed=may_type_secrets(request),
            )
        except Unreadable as error:
            form.add_error("file", str(error))
            return None

    def template(self, request: HttpRequest) -> HttpResponse:
        allowed = kinds_for(request.user)
        if not allowed:
            raise PermissionDenied
        wanted = request.GET.get("kind", allowed[0])
        kind = next((kind for kind in allowed if kind == wanted), allowed[0])
        form = XLSX if request.GET.get("form") == XLSX else "csv"
        return as_attachment(files.template(kind, form), f"{kind.value}.{form}")

    # -- one import

    def look(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        row = self._row(request, pk)
        if request.method == "POST":
            return self._answer(request, row)
        now = timezone.now()
        lines = row.rows
        chosen = request.GET.get("show", "")
        counts = held.counted(lines)
        shown = [line for line in lines if not chosen or held.outcome_of(line) == chosen]
        page = _number(request.GET.get("page"), len(shown))
        waiting = sum(map(held.is_waiting, lines))
        applying = row.state == ImportState.APPLYING
        return self._page(
            request,
            "import_look",
            title=row.file_name,
            row=row,
            state_look=STATE_LOOKS[ImportState(row.state)],
            tabs=list(_tabs(row, counts, chosen)),
            lines=[_line(row, line) for line in shown[page * PER_PAGE : (page + 1) * PER_PAGE]],
            chosen=chosen,
            page=page,
            next_page=page + 1 if len(shown) > (page + 1) * PER_PAGE else None,
            shown=len(shown),
            waiting=waiting,
            total=sum(line["verdict"] in (Verdict.CREATE, Verdict.UPDATE) for line in lines),
            done=sum(bool(line["did"]) for line in lines),
            is_mine=row.created_by_id == request.user.pk,
            may_apply=row.state == ImportState.PLANNED and waiting and not row.is_over(now),
            is_over=row.is_over(now),
            applying=applying,
            no_worker=applying and not clusters.alive(now),
            is_slow=applying and now - row.created_on > SLOW,
            again=start_page(ImportKind(row.kind)),
            listed=_listed(ImportKind(row.kind)),
        )

    def _answer(self, request: HttpRequest, row: Import) -> HttpResponse:
        if row.created_by_id != request.user.pk:
            raise PermissionDenied
        if "discard" in request.POST:
            if not held.discard(row):
                return HttpResponseRedirect(request.path)  # it was applied, and says so
            messages.success(request, __("Discarded. Nothing was imported."))
            return HttpResponseRedirect(start_page(ImportKind(row.kind)))
        if row.state == ImportState.APPLIED:
            return HttpResponseRedirect(request.path)
        if row.state == ImportState.APPLYING:
            held.apply_batch(row.pk, timezone.now())  # the job waits in the queue, or has failed
            return HttpResponseRedirect(request.path)
        try:
            held.start(row, timezone.now())
        except held.NotNow:
            self._tell_why_not(request, row)
        return HttpResponseRedirect(request.path)

    def _tell_why_not(self, request: HttpRequest, row: Import) -> None:
        """Nothing, where it is being applied: then the button was pressed twice."""
        if Import.objects.filter(pk=row.pk, state=ImportState.PLANNED).exists():
            words = __("It can't be applied any more. Upload the file again for a new dry run.")
            messages.error(request, words)

    def export(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        row = self._row(request, pk)
        name = f"import-{row.kind}-{row.created_on:%Y-%m-%d}.csv"
        return as_attachment(files.outcome(row.rows), name)

    def _row(self, request: HttpRequest, pk: UUID) -> Import:
        """Those of others don't exist here."""
        rows = access.visible_to(request.user, Import.objects.filter(pk=pk).defer("content"))
        row = rows.first()
        if row is None:
            raise Http404
        return row


# -- what is shown -------------------------------------------------------------------------------


def _told(kind: ImportKind) -> dict[str, Any]:
    keys = [column.label for column in COLUMNS[kind] if column.name in KEYS[kind]]
    url = f"{reverse('admin:import_template')}?kind={kind.value}"
    return {
        "kind": kind,
        "keys": keys,
        "csv": url,
        "xlsx": f"{url}&form={XLSX}",
        "columns": [(column.label, column.name, column.meaning) for column in COLUMNS[kind]],
    }


def _listed(kind: ImportKind) -> str:
    meta = MODELS[kind]._meta
    return reverse(f"admin:{meta.app_label}_{meta.model_name}_changelist")


def _tabs(row: Import, counts: Counter[str], chosen: str) -> Any:
    is_done = row.state == ImportState.APPLIED
    yield Tab(__("All"), sum(counts.values()), "?", not chosen, "quiet")
    for verdict in Verdict:
        if counts[verdict]:
            words = capfirst(
                str(files.DONE.get(verdict, verdict.label) if is_done else verdict.label)
            )
            url = f"?show={verdict.value}"
            yield Tab(words, counts[verdict], url, chosen == verdict, LOOKS[verdict])


def _line(row: Import, line: dict[str, Any]) -> Line:
    verdict = Verdict(held.outcome_of(line))
    url = ""
    if line["key"]:
        meta = MODELS[ImportKind(row.kind)]._meta
        url = reverse(f"admin:{meta.app_label}_{meta.model_name}_change", args=[line["key"]])
    return Line(
        line["row"],
        line["name"] or "–",
        files.result_words(line),
        LOOKS[verdict],
        url,
        [tuple(change[1:]) for change in files.changes_of(line)],
        line["reasons"],
        files.difference_words(line),
    )


def _number(text: str | None, length: int) -> int:
    number = int(text) if text and text.isdecimal() and len(text) < 6 else 0
    return min(number, max(0, (length - 1) // PER_PAGE))
