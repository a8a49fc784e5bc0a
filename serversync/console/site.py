"""The one admin site: its front page, and a navigation by task on every page."""

from typing import Any

from django.contrib import admin
from django.contrib.auth.views import PasswordChangeView
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from mailboxes.redirect import redirect_address
from serversync.console import (
    actquestions,
    actwhy,
    alertgroups,
    allsettings,
    balance,
    calendar,
    conflicts,
    connections,
    directions,
    entering,
    front,
    importing,
    live,
    monitor,
    navigation,
    own,
    quarantine,
    rules,
    signin,
    testdialog,
    verbose,
    whatif,
    wizard,
)


class ConsoleSite(admin.AdminSite):
    site_header = _("Server-side synchronization")
    site_title = _("serversync")
    index_title = _("Overview")
    index_template = "console/front.html"
    site_url = None
    login_form = entering.SignInForm

    def each_context(self, request: HttpRequest) -> dict[str, Any]:
        context = super().each_context(request)
        context["redirected_to"] = redirect_address()
        if context["has_permission"]:
            context["navigation"] = navigation.sections(self, request)
        return context

    def get_urls(self) -> list[Any]:
        return [
            path("rules/", self.admin_view(self.rules), name="rules"),
            *live.urls(self),
            *entering.urls(self),
            *own.urls(self),
            *signin.urls(self),
            *quarantine.urls(self),
            *alertgroups.urls(self),
            *verbose.urls(self),
            *balance.urls(self),
            *monitor.urls(self),
            *conflicts.urls(self),
            *calendar.urls(self),
            *allsettings.urls(self),
            *whatif.urls(self),
            *actquestions.urls(self),
            *actwhy.urls(self),
            *directions.urls(self),
            *testdialog.urls(self),
            *connections.urls(self),
            *wizard.urls(self),
            *importing.urls(self),
            *super().get_urls(),
        ]

    def login(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Whoever may not look at all mailboxes lands at the own one."""
        answer = super().login(request, extra_context)
        front = reverse("admin:index", current_app=self.name)
        entered = request.method == "POST" and answer.status_code == 302
        if entered and answer.headers["Location"] == front and own.lands_here(request.user):
            # The answer itself goes on: it carries the new token against forgery.
            answer.headers["Location"] = reverse("admin:my_mailbox", current_app=self.name)
        return answer

    def password_change(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> Any:
        """Django's page, with a form that lets nobody guess."""
        request.current_app = self.name
        view = PasswordChangeView.as_view(
            form_class=entering.OwnPasswordForm,
            success_url=reverse("admin:password_change_done"),
            template_name="registration/password_change_form.html",
            extra_context={**self.each_context(request), **(extra_context or {})},
        )
        return view(request)

    def rules(self, request: HttpRequest) -> HttpResponse:
        return rules.page(request, self.each_context(request))

    def index(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> TemplateResponse:
        context = front.overview(self, request, timezone.now())
        return super().index(request, {**context, **(extra_context or {})})
