"""Coming in: the form that asks for name and password, and the pages of the second factor."""

from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import messages
from django.contrib.admin.forms import AdminAuthenticationForm, AdminPasswordChangeForm
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils import timezone
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext as __
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters

from mailboxes.models import SystemUser
from mailboxes.screens import actor_of
from mailboxes.secrets import Secret, SecretUnreadable
from serversync.people import audit, secondfactor, throttling
from serversync.people.choices import AuditKind

if TYPE_CHECKING:
    from serversync.console.site import ConsoleSite


class SignInForm(AdminAuthenticationForm):
    """The same words whether or not there is such an account, and whether it or the password was wrong."""

    def clean(self) -> dict[str, Any]:
        account = self.cleaned_data.get("username") or ""
        if not (account and self.cleaned_data.get("password")):
            return dict(super().clean())
        now = timezone.now()
        brakes = throttling.of_sign_in(account, audit.address_of(self.request))
        held = throttling.begin(brakes, now)
        if held is not None:
            raise ValidationError(too_many(held.total_seconds()), code="held")
        try:
            cleaned = dict(super().clean())
        except ValidationError:
            self._failed(account, brakes)
            raise
        throttling.succeeded(brakes, now)
        return cleaned

    def _failed(self, account: str, brakes: throttling.Brakes) -> None:
        """Whose account it was, if there is one: what else was typed could be a password."""
        now = timezone.now()
        user = SystemUser.objects.filter(domain_name=account).first()
        audit.record(AuditKind.SIGN_IN_FAILED, about=user, request=self.request, now=now)
        wait = round(throttling.wait_of(brakes, now).total_seconds())
        if wait:
            detail = f"{wait} s"
            audit.record(
                AuditKind.THROTTLED, about=user, detail=detail, request=self.request, now=now
            )


class OwnPasswordForm(AdminPasswordChangeForm):
    """The old password is asked for lest somebody take over a browser that was left: it isn't to be guessed."""

    def clean_old_password(self) -> str:
        now = timezone.now()
        brakes = throttling.of_own_password(self.user.pk)
        held = throttling.begin(brakes, now)
        if held is not None:
            raise ValidationError(too_many(held.total_seconds()), code="held")
        old = str(super().clean_old_password())
        throttling.succeeded(brakes, now)
        return old


def too_many(seconds: float) -> str:
    whole = max(1, round(seconds))
    if whole < 60:
        words = ngettext("%(count)d second", "%(count)d seconds", whole) % {"count": whole}
    else:
        minutes = -(-whole // 60)
        words = ngettext("%(count)d minute", "%(count)d minutes", minutes) % {"count": minutes}
    return __("Too many attempts failed. Try again in %(time)s.") % {"time": words}


class CodeForm(forms.Form):
    code = forms.CharField(
        label=_("Code"),
        max_length=20,
        help_text=_("Six digits of your authenticator app, or one of your recovery codes."),
        widget=forms.TextInput(
            attrs={"autocomplete": "one-time-code", "autofocus": True, "class": "code-field"}
        ),
    )


class NewFactorForm(forms.Form):
    password = forms.CharField(
        label=_("Your password"),
        strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "current-password"}),
    )
    code = forms.CharField(
        label=_("Code that the app shows"),
        max_length=8,
        widget=forms.TextInput(
            attrs={
                "autocomplete": "one-time-code",
                "inputmode": "numeric",
                "class": "code-field",
            }
        ),
    )


# -- the pages -----------------------------------------------------------------------------------


def urls(site: "ConsoleSite") -> list[Any]:
    pages = Pages(site)
    ask = never_cache(sensitive_post_parameters()(pages.ask))
    setup = never_cache(sensitive_post_parameters()(pages.setup))
    return [
        path("second-factor/", site.admin_view(ask), name="second_factor"),
        path("second-factor/setup/", site.admin_view(setup), name="second_factor_setup"),
    ]


class Pages:
    """One asks for a code after the password; one sets the factor up, shows it, and removes it."""

    def __init__(self, site: "ConsoleSite") -> None:
        self.site = site

    def ask(self, request: HttpRequest) -> HttpResponse:
        user = actor_of(request)
        if user.second_factor_since is None or secondfactor.has_passed(request):
            return HttpResponseRedirect(onwards(request))
        form = CodeForm(request.POST or None)
        if request.method == "POST" and form.is_valid():
            code, address = form.cleaned_data["code"], audit.address_of(request)
            given = secondfactor.give(user, code, timezone.now(), address)
            if given.ok:
                secondfactor.note_passed(request)
                self._tell_of_codes(request, user, given)
                return HttpResponseRedirect(onwards(request))
            form.add_error("code", refusal(given))
        return self._page(request, "console/second_factor.html", form, __("Second factor"))

    def _tell_of_codes(
        self, request: HttpRequest, user: SystemUser, given: secondfactor.Given
    ) -> None:
        if given.recovery:
            left = secondfactor.codes_left(user)
            words = ngettext(
                "A recovery code is used up. %(count)d is left.",
                "A recovery code is used up. %(count)d are left.",
                left,
            )
            messages.warning(request, words % {"count": left})

    def setup(self, request: HttpRequest) -> HttpResponse:
        user = actor_of(request)
        if user.second_factor_since is None:
            return self._begin(request, user)
        if not secondfactor.has_passed(request):
            return HttpResponseRedirect(reverse("admin:second_factor"))
        return self._change(request, user)

    def _begin(self, request: HttpRequest, user: SystemUser) -> HttpResponse:
        """The key stays the same until it is confirmed, however often the page is loaded."""
        key = _pending_key(request)
        form = NewFactorForm(request.POST or None)
        if request.method == "POST" and form.is_valid():
            codes = self._try(request, user, key, form)
            if codes:
                request.session.pop(secondfactor.NEW_KEY, None)
                return self._codes(request, codes)
        uri = secondfactor.uri_of(key, user.domain_name)
        return self._page(
            request,
            "console/second_factor_new.html",
            form,
            __("Set up a second factor"),
            picture=secondfactor.picture_of(uri),
            key=" ".join(key[i : i + 4] for i in range(0, len(key), 4)),
            uri=uri,
        )

    def _try(
        self, request: HttpRequest, user: SystemUser, key: str, form: NewFactorForm
    ) -> list[str]:
        """Whoever finds a browser that somebody left must not make it theirs: the password is asked for."""
        now = timezone.now()
        brakes = throttling.of_second_factor(user.pk, audit.address_of(request))
        held = throttling.begin(brakes, now)
        if held is not None:
            form.add_error(None, too_many(held.total_seconds()))
            return []
        if not user.check_password(form.cleaned_data["password"]):
            form.add_error("password", __("This is not your password."))
            return []
        codes = secondfactor.set_up(request, user, key, form.cleaned_data["code"], now)
        if not codes:
            form.add_error("code", refusal(secondfactor.Given(False)))
            return []
        throttling.succeeded(brakes, now)
        return codes

    def _change(self, request: HttpRequest, user: SystemUser) -> HttpResponse:
        form = CodeForm(request.POST or None)
        required = secondfactor.must_have(user)
        if request.method == "POST" and form.is_valid():
            now = timezone.now()
            code, address = form.cleaned_data["code"], audit.address_of(request)
            given = secondfactor.give(user, code, now, address)
            if not given.ok:
                form.add_error("code", refusal(given))
            elif "remove" in request.POST and not required:
                secondfactor.remove(request, user, now)
                messages.success(request, __("The second factor is removed."))
                return HttpResponseRedirect(request.path)
            elif "codes" in request.POST:
                codes = secondfactor.new_codes(user)
                audit.record(AuditKind.CODES_RENEWED, about=user, now=now)
                return self._codes(request, codes)
        return self._page(
            request,
            "console/second_factor_kept.html",
            form,
            __("Second factor"),
            since=user.second_factor_since,
            left=secondfactor.codes_left(user),
            required=required,
        )

    def _codes(self, request: HttpRequest, codes: list[str]) -> HttpResponse:
        context = {
            **self.site.each_context(request),
            "title": __("Recovery codes"),
            "codes": codes,
            "onwards": onwards(request),
        }
        return TemplateResponse(request, "console/recovery_codes.html", context)

    def _page(
        self, request: HttpRequest, template: str, form: forms.Form, title: str, **more: Any
    ) -> HttpResponse:
        context = {
            **self.site.each_context(request),
            "title": title,
            "form": form,
            "next": request.POST.get("next", request.GET.get("next", "")),
            **more,
        }
        if template == "console/second_factor.html":
            context["navigation"] = []  # nothing of it opens yet
        return TemplateResponse(request, template, context)


def onwards(request: HttpRequest) -> str:
    """Where somebody wanted to go, if that is here."""
    wanted = request.POST.get("next") or request.GET.get("next") or ""
    here = url_has_allowed_host_and_scheme(
        wanted, {request.get_host()}, require_https=request.is_secure()
    )
    return wanted if wanted and here else reverse("admin:index")


def refusal(given: secondfactor.Given) -> str:
    if given.wait:
        return too_many(given.wait)
    return __(
        "This code is not right, or was used already. Look at the app for the present one, and at the clock "
        "of its device."
    )


def _pending_key(request: HttpRequest) -> str:
    """Encrypted in the session, for sessions are stored as they are."""
    stored = request.session.get(secondfactor.NEW_KEY)
    if stored:
        try:
            return Secret(stored).reveal()
        except SecretUnreadable:
            pass
    key = secondfactor.new_key()
    request.session[secondfactor.NEW_KEY] = Secret.conceal(key).token
    return key
