"""Writing on the screen of e-mails: the form, the preview, sending and undoing, answers."""

from typing import TYPE_CHECKING, Any

from django.contrib import messages
from django.db import IntegrityError
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils import timezone
from django.utils.translation import gettext as __
from django.utils.translation import ngettext

from activities.admin import STATUS_KIND
from activities.bounced import bounced
from activities.models import Email
from mailboxes import access
from mailboxes.causes import cause_of
from mailboxes.models import Organization
from mailboxes.screens import actor_of, badge
from serversync import outbox
from serversync.console.compose import ComposeForm
from serversync.console.path import path_of_email
from serversync.models import Submission
from serversync.outbox.drafts import check_editable
from serversync.outbox.preview import preview_of

if TYPE_CHECKING:
    from django.db.models import QuerySet

    from activities.admin import EmailListScreen as Base
else:
    Base = object

PREVIEW = "activities_email_preview"


class Writing(Base):
    """Mix in before the screen of emails."""

    def get_urls(self) -> list[Any]:
        view = self.admin_site.admin_view(self.preview)
        return [path("<uuid:pk>/preview/", view, name=PREVIEW), *super().get_urls()]

    # -- the form

    def compose(self, request: HttpRequest, email: Email | None) -> HttpResponse:
        if email is None and (email := self._made_before(request)) is not None:
            try:
                check_editable(email)
            except outbox.Refused as refused:
                self._explain(request, refused, messages.WARNING)
                return self._to(email)
        form = ComposeForm(
            request.POST or None, request.FILES or None, actor=actor_of(request), email=email
        )
        if "_template" in request.POST:
            form = form.with_template()
            self._tell_of_template(request, form)
        elif "_signature" in request.POST:
            form = form.with_signature()
        elif request.method == "POST" and form.is_valid():
            return self._save(request, email, form)
        return self._form(request, email, form)

    def _made_before(self, request: HttpRequest) -> Email | None:
        """What this form, as it was opened, has made already."""
        key = request.POST.get("new_id", "")
        email: Email | None = self.get_object(request, key) if key else None
        if email is None or not self.has_view_permission(request, email):
            return None
        may = not email.status.is_editable or self.has_change_permission(request, email)
        return email if may else None

    def _form(self, request: HttpRequest, email: Email | None, form: ComposeForm) -> HttpResponse:
        attempts = list(Submission.objects.filter(email=email)) if email else []
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": (email.activity.subject or __("(no subject)")) if email else __("New email"),
            "email": email,
            "form": form,
            "status": badge(email.status.label, STATUS_KIND[email.status]) if email else None,
            "error": cause_of(email.last_error_code, email.last_error_text)
            if email and email.last_error_code
            else None,
            "submissions": attempts,
            "path": path_of_email(email, request.user, [], attempts, timezone.now())
            if email and attempts
            else [],
            "has_delete_permission": email is not None
            and self.has_delete_permission(request, email),
        }
        return TemplateResponse(request, "console/compose.html", context)

    def _tell_of_template(self, request: HttpRequest, form: ComposeForm) -> None:
        inserted = form.inserted
        if inserted is None:
            return
        if inserted.lacks_case:
            words = __(
                "The template is one for cases: choose a case as regarding, and insert it again."
            )
            self.message_user(request, words, messages.WARNING)
        elif inserted.empty:
            words = ngettext(
                "This stayed empty: %(names)s.",
                "These stayed empty: %(names)s.",
                len(inserted.empty),
            )
            names = ", ".join(inserted.empty)
            self.message_user(request, words % {"names": names}, messages.WARNING)

    def _save(self, request: HttpRequest, email: Email | None, form: ComposeForm) -> HttpResponse:
        try:
            saved = form.save(timezone.now())
        except outbox.Refused as refused:
            self._explain(request, refused)
            return self._to(form.saved) if form.saved else self._form(request, email, form)
        except IntegrityError:  # pressed twice, and the other request was faster
            if form.cleaned_data["new_id"] is None:
                raise
            return HttpResponseRedirect(
                reverse("admin:activities_email_change", args=[form.cleaned_data["new_id"]])
            )
        if email is None:
            self.log_addition(request, saved, [{"added": {}}])
        else:
            self.log_change(request, saved, [{"changed": {"fields": form.changed_words()}}])
        if "_send" in request.POST:
            confirmed = form.cleaned_data["despite_do_not_email"]
            return self._send(request, saved, despite_do_not_email=confirmed)
        if "_preview" in request.POST:
            return HttpResponseRedirect(reverse(f"admin:{PREVIEW}", args=[saved.pk]))
        self.message_user(request, __("The draft was saved."), messages.SUCCESS)
        return self._to(saved)

    # -- the preview

    def preview(self, request: HttpRequest, pk: Any) -> HttpResponse:
        """As its recipients will see it. What must be asked before it is sent is asked on the form."""
        email = self._readable(request, pk)
        if not (email.status.is_editable and self.has_change_permission(request, email)):
            return self._to(email)
        organization = Organization.objects.current()
        found = preview_of(email, actor_of(request), organization, timezone.now())
        asks = bool(found.reasons or bounced(found.addresses))
        if request.method == "POST":
            return self._to(email) if asks else self._send(request, email)
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": __("Preview"),
            "email": email,
            "preview": found,
            "asks": asks,
            "files": [file for file in email.activity.attachments.all() if not file.is_inline],
        }
        return TemplateResponse(request, "console/preview.html", context)

    # -- sending

    def _send(
        self, request: HttpRequest, email: Email, *, despite_do_not_email: bool = False
    ) -> HttpResponse:
        try:
            submitted = outbox.submit(
                email,
                actor=actor_of(request),
                now=timezone.now(),
                despite_do_not_email=despite_do_not_email,
                undoable=True,
            )
        except outbox.Refused as refused:
            words = __("It was not sent, but saved as a draft.")
            self.message_user(request, words, messages.WARNING)
            self._explain(request, refused)
            return self._to(email)
        self.log_change(request, email, __("Submitted for sending."))
        for words in submitted.warnings:
            self.message_user(request, words, messages.WARNING)
        self.message_user(request, _sent_words(submitted), messages.SUCCESS)
        return self._to(email)

    def _explain(
        self, request: HttpRequest, refused: outbox.Refused, level: int = messages.ERROR
    ) -> None:
        for reason in refused.reasons:
            self.message_user(request, reason, level)

    def _to(self, email: Email) -> HttpResponse:
        return HttpResponseRedirect(reverse("admin:activities_email_change", args=[email.pk]))

    def cancel(self, request: HttpRequest, queryset: "QuerySet[Email]") -> HttpResponse:
        email = self.within_reach(request, queryset, "change").first()
        if email is None:
            return HttpResponseRedirect(reverse("admin:activities_email_changelist"))
        if outbox.cancel(email, now=timezone.now()):
            self.log_change(request, email, __("Taken back before it was sent."))
            self.message_user(request, __("It is a draft again."), messages.SUCCESS)
        else:
            words = __("Too late: it is being sent, or was sent already.")
            self.message_user(request, words, messages.WARNING)
        return self._to(email)

    # -- answers: each makes a draft and opens it

    def reply(self, request: HttpRequest, queryset: "QuerySet[Email]") -> HttpResponse:
        return self._answer(request, queryset, outbox.reply)

    def reply_all(self, request: HttpRequest, queryset: "QuerySet[Email]") -> HttpResponse:
        return self._answer(request, queryset, outbox.reply, everyone=True)

    def forward(self, request: HttpRequest, queryset: "QuerySet[Email]") -> HttpResponse:
        return self._answer(request, queryset, outbox.forward)

    if TYPE_CHECKING:

        def _readable(self, request: HttpRequest, pk: Any) -> Email: ...

    def _answer(
        self, request: HttpRequest, queryset: "QuerySet[Email]", make: Any, **how: Any
    ) -> HttpResponse:
        if not self.has_add_permission(request):
            return self._refused(request)
        email = queryset.select_related("activity").get()
        draft = make(email, actor=actor_of(request), now=timezone.now(), **how)
        self.log_addition(request, draft, [{"added": {}}])
        return self._to(draft)

    def _refused(self, request: HttpRequest) -> HttpResponse:
        self.message_user(request, str(access.refusal(Email, "add")), messages.ERROR)
        return HttpResponseRedirect(reverse("admin:activities_email_changelist"))


def _sent_words(submitted: outbox.Submitted) -> str:
    later = submitted.email.delayed_email_send_time
    if submitted.undo_until is not None:
        return __("The email is in the send queue. You can undo it for a moment.")
    if submitted.warnings or (later is not None and later > timezone.now()):
        return __("The email is in the send queue.")
    return __("The email is in the send queue and leaves within seconds when a worker runs.")
