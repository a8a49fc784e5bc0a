"""Connecting a mailbox at its provider: the page for its owner, the way there, and the way back (R1.21).

    page ──POST──> leave for the provider ──the person agrees there──> back ──> page, with the result
      └───POST──> disconnect

What the provider sends back counts only in the session that left for it, and once. Nothing of a token or
a code is in any address or page of ours but the one that the provider calls, which answers by leading on.
"""

import uuid
from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_POST, require_safe

from mailboxes import access, services, signin
from mailboxes.authorities import Issuer, grant_of
from mailboxes.causes import cause_of
from mailboxes.choices import OAuthGrant
from mailboxes.models import EmailServerProfile, Mailbox
from mailboxes.places import is_kept_back
from mailboxes.protocols.errors import ServerError
from mailboxes.secrets import SecretUnreadable
from mailboxes.signin import Arrangement, Outlook
from serversync import waking

if TYPE_CHECKING:
    from serversync.console.site import ConsoleSite

PENDING = "sign_ins"  # in the session: state -> what `begin_sign_in` wants kept
MOST_PENDING = 5  # windows in which somebody has begun at the same time

PROVIDERS = {Issuer.GOOGLE: "Google", Issuer.MICROSOFT: "Microsoft"}

#: The end of a scope, and what it lets this site do.
RIGHTS = (
    ("mail.google.com/", gettext_lazy("read, send and delete mail; Google has no smaller right")),
    ("IMAP.AccessAsUser.All", gettext_lazy("read mail and change it (IMAP)")),
    ("POP.AccessAsUser.All", gettext_lazy("read mail and delete it (POP3)")),
    ("SMTP.Send", gettext_lazy("send mail (SMTP)")),
    ("EWS.AccessAsUser.All", gettext_lazy("all that is in the mailbox (Exchange)")),
    ("offline_access", gettext_lazy("do so while you are away, until you disconnect")),
    ("openid", gettext_lazy("see which account you chose")),
    ("email", ""),
    ("profile", ""),
)

#: How a forecast is shown: kind of badge, word, sentence.
STATES = {
    Outlook.GOOD: ("good", gettext_lazy("Connected"), gettext_lazy("The sign-in is renewed by itself.")),
    Outlook.NEVER: ("warn", gettext_lazy("Not connected"), gettext_lazy("Nobody has signed in yet.")),
    Outlook.REFUSED: (
        "bad",
        gettext_lazy("Over"),
        gettext_lazy("The provider takes the sign-in no more: it expired, was revoked, or the password changed."),
    ),
    Outlook.ENDS: (
        "warn",
        gettext_lazy("Ends soon"),
        gettext_lazy("The provider gave no right to renew it, so it has to be done again."),
    ),
    Outlook.IDLE: (
        "warn",
        gettext_lazy("Ends soon"),
        gettext_lazy("It wasn't used for long, and the provider drops it then."),
    ),
    Outlook.SECRET_ENDS: (
        "warn",
        gettext_lazy("Connected"),
        gettext_lazy("The client secret of the server profile ends soon; an administrator renews it there."),
    ),
    Outlook.NOT_ARRANGED: (
        "bad",
        gettext_lazy("Not possible yet"),
        gettext_lazy("The server profile lacks what the provider wants to know."),
    ),
    Outlook.NOT_NEEDED: (
        "quiet",
        gettext_lazy("Not needed"),
        gettext_lazy("This mailbox opens by other means than its owner's sign-in."),
    ),
}  # fmt: skip


#: Outlooks that only the owner of a mailbox cures.
WAITING = (Outlook.NEVER, Outlook.REFUSED, Outlook.ENDS, Outlook.IDLE)


@dataclass(frozen=True, slots=True)
class SignIn:
    """The state of one mailbox's sign-in, for its pages. Never a token."""

    outlook: Outlook
    at: datetime | date | None
    by_owner: bool
    account: str
    since: datetime | None
    expires: datetime | None
    has_tokens: bool
    kept_back: bool

    @property
    def kind(self) -> str:
        return "bad" if self.kept_back else STATES[self.outlook][0]

    @property
    def word(self) -> Any:
        return _("Kept back") if self.kept_back else STATES[self.outlook][1]

    @property
    def meaning(self) -> Any:
        if self.kept_back:
            return cause_of("SecretsKeptBack").meaning
        return STATES[self.outlook][2]


def sign_in_of(mailbox: Mailbox, now: datetime) -> SignIn | None:
    """None where nobody signs in: the mailbox opens by other means, and keeps no token either."""
    forecast = signin.forecast(mailbox, now)
    profile = mailbox.email_server_profile
    has_tokens = bool(mailbox.oauth_access_token or mailbox.oauth_refresh_token)
    needed = forecast.outlook == Outlook.NOT_ARRANGED or forecast.by_owner
    if not (needed or has_tokens):
        return None
    return SignIn(
        outlook=forecast.outlook,
        at=forecast.at,
        by_owner=needed,
        account=mailbox.oauth_signed_in_as,
        since=mailbox.oauth_signed_in_on,
        expires=mailbox.oauth_token_expires_on if has_tokens else None,
        has_tokens=has_tokens,
        kept_back=bool(has_tokens and profile and is_kept_back(mailbox, profile)),
    )


def own_to_connect(user: Any, now: datetime) -> Mailbox | None:
    """The user's own mailbox, if it waits for the user to connect it."""
    mailbox = (
        Mailbox.objects.filter(regarding_user=user, email_server_profile__isnull=False)
        .select_related("email_server_profile")
        .first()
    )
    state = sign_in_of(mailbox, now) if mailbox and mailbox.is_active_state else None
    waits = state is not None and (state.kept_back or state.outlook in WAITING)
    return mailbox if waits else None


# -- the pages -----------------------------------------------------------------------------------


def urls(site: "ConsoleSite") -> list[Any]:
    """`connect/back/` is what providers are told, so it must stay."""

    def page(view: Any) -> Any:
        return site.admin_view(view)

    pages = Pages(site)
    return [
        path("connect/back/", pages.back, name="sign_in_back"),
        path("connect/<uuid:key>/", page(require_safe(pages.show)), name="sign_in"),
        path("connect/<uuid:key>/leave/", page(require_POST(pages.leave)), name="sign_in_leave"),
        path("connect/<uuid:key>/end/", page(require_POST(pages.end)), name="sign_in_end"),
    ]


def back_address(request: HttpRequest) -> str:
    """Where providers send the browser back to: to be registered there, letter by letter."""
    return request.build_absolute_uri(reverse("admin:sign_in_back"))


class Pages:
    """The four views."""

    def __init__(self, site: "ConsoleSite") -> None:
        self.site = site

    def show(self, request: HttpRequest, key: uuid.UUID) -> HttpResponse:
        mailbox = _mailbox(request, key)
        now = timezone.now()
        arrangement, missing = _arrangement(mailbox)
        context = {
            **self.site.each_context(request),
            "title": _("Connect %(mailbox)s") % {"mailbox": mailbox},
            "mailbox": mailbox,
            "account": signin.login_name(mailbox),
            "sign_in": sign_in_of(mailbox, now),
            "missing": missing,
            "may_connect": signin.may_sign_in(request.user, mailbox),  # type: ignore[arg-type]
            "may_end": _may_end(request, mailbox),
            "may_see_mailbox": access.may(request.user, "view", mailbox),
            "who": _who(mailbox),
            "address": request.build_absolute_uri(request.path),
        }
        if arrangement is not None:
            context |= {
                "provider": _provider(arrangement),
                "host": urlsplit(arrangement.authority.authorization_endpoint).hostname,
                "rights": _rights(arrangement.authority.scopes),
            }
        return TemplateResponse(request, "console/connect.html", context)

    def leave(self, request: HttpRequest, key: uuid.UUID) -> HttpResponse:
        """A page of its own, for a form of ours may lead nowhere else (its content security policy)."""
        mailbox = _mailbox(request, key)
        if not signin.may_sign_in(request.user, mailbox):  # type: ignore[arg-type]
            raise PermissionDenied
        try:
            url, pending = signin.begin_sign_in(
                mailbox,
                request.user,  # type: ignore[arg-type]
                back_address(request),
                timezone.now(),
            )
        except (ServerError, SecretUnreadable) as error:
            _tell(request, error)
            return _to_page(mailbox)
        _remember(request, pending)
        parts = urlsplit(url)
        if parts.scheme != "https":
            raise Http404
        context = {
            **self.site.each_context(request),
            "title": _("To %(host)s") % {"host": parts.hostname},
            "mailbox": mailbox,
            "url": url,
            "host": parts.hostname,
        }
        return TemplateResponse(request, "console/leave.html", context)

    def back(self, request: HttpRequest) -> HttpResponse:
        """What the provider calls. Answers by leading on, so that the code stays in no window."""
        if request.method != "GET" or not self.site.has_permission(request):
            return HttpResponseRedirect(reverse("admin:login"))  # without the code
        pending = _take(request, request.GET.get("state", ""))
        if pending is None:
            words = _("This sign-in was begun elsewhere, or it is done already. Begin it again.")
            messages.error(request, words)
            return HttpResponseRedirect(reverse("admin:index"))
        try:
            mailbox = signin.finish_sign_in(
                pending,
                actor=request.user,  # type: ignore[arg-type]
                state=request.GET.get("state", ""),
                code=request.GET.get("code", ""),
                error=request.GET.get("error", ""),
                description=request.GET.get("error_description", ""),
                issuer=request.GET.get("iss", ""),
                now=timezone.now(),
            )
        except PermissionDenied as refusal:
            messages.error(request, str(refusal))
            return HttpResponseRedirect(reverse("admin:index"))
        except (ServerError, SecretUnreadable) as error:
            _tell(request, error)
            return HttpResponseRedirect(reverse("admin:sign_in", args=[pending["mailbox"]]))
        _welcome(request, mailbox)
        return _to_page(mailbox)

    def end(self, request: HttpRequest, key: uuid.UUID) -> HttpResponse:
        mailbox = _mailbox(request, key)
        if not _may_end(request, mailbox):
            raise PermissionDenied
        try:
            revoked = signin.sign_out(mailbox)
        except (ServerError, SecretUnreadable) as error:
            revoked = False
            _tell(request, error)
        services.signed_out(mailbox=mailbox, now=timezone.now(), actor=request.user)  # type: ignore[arg-type]
        if revoked:
            words = _("Disconnected. The provider has ended the sign-in.")
        else:
            words = _(
                "Disconnected: nothing is stored here any more. Remove this site's access on the "
                "account's own page at the provider, too."
            )
        messages.add_message(request, messages.SUCCESS if revoked else messages.WARNING, words)
        return _to_page(mailbox)


# -- pieces --------------------------------------------------------------------------------------


def _mailbox(request: HttpRequest, key: uuid.UUID) -> Mailbox:
    """Rows out of sight don't exist here; one's own is in sight without any permission."""
    mailbox = (
        Mailbox.objects.select_related(
            "email_server_profile",
            "regarding_user",
            "regarding_queue",
            "owning_user",
            "owning_team",
        )
        .filter(pk=key)
        .first()
    )
    if mailbox is None or not (
        signin.may_sign_in(request.user, mailbox)  # type: ignore[arg-type]
        or access.may(request.user, "view", mailbox)
    ):
        raise Http404
    return mailbox


def _may_end(request: HttpRequest, mailbox: Mailbox) -> bool:
    """Taking access away needs no owner: whoever may change the mailbox could empty it as well."""
    return signin.may_sign_in(request.user, mailbox) or access.may(  # type: ignore[arg-type]
        request.user, "change", mailbox
    )


def _arrangement(mailbox: Mailbox) -> tuple[Arrangement | None, str]:
    """How the profile comes by tokens, if owners sign in; and what it lacks for that."""
    profile = mailbox.email_server_profile
    retrieval = signin.oauth_retrieval(profile) if profile else None
    if profile is None or retrieval is None:
        return None, ""
    try:
        arrangement = signin.arrange(profile, retrieval)
    except ServerError as error:
        return None, error.detail
    except SecretUnreadable:
        return None, cause_of("SecretUnreadable").meaning
    return (arrangement if arrangement.by_owner else None), ""


def owners_sign_in(profile: EmailServerProfile) -> bool:
    """Does each owner connect the own mailbox of this profile?"""
    retrieval = signin.oauth_retrieval(profile)
    return retrieval is not None and grant_of(retrieval, profile.oauth_grant) == OAuthGrant.MAILBOX


def _provider(arrangement: Arrangement) -> str:
    authority = arrangement.authority
    return str(PROVIDERS.get(authority.issuer, _("the provider")))


def _rights(scopes: tuple[str, ...]) -> list[Any]:
    """What the provider will be asked to let us do, in words; unknown ones as they are."""
    found: list[Any] = []
    for scope in scopes:
        words = next((words for end, words in RIGHTS if scope.endswith(end)), scope)
        if words and words not in found:
            found.append(words)
    return found


def _who(mailbox: Mailbox) -> str:
    """Who may connect it, for those who may not."""
    if mailbox.regarding_user is not None:
        return str(mailbox.regarding_user)
    if mailbox.regarding_queue is not None:
        return _("%(owner)s, or a member of the queue who may change its mailbox") % {
            "owner": mailbox.owner
        }
    return str(mailbox.owner)


def _remember(request: HttpRequest, pending: dict[str, str]) -> None:
    kept = {**request.session.get(PENDING, {}), pending["state"]: pending}
    request.session[PENDING] = dict(list(kept.items())[-MOST_PENDING:])


def _take(request: HttpRequest, state: str) -> dict[str, str] | None:
    """Once only."""
    kept: dict[str, dict[str, str]] = dict(request.session.get(PENDING, {}))
    found = kept.pop(state, None)
    if found is not None:
        request.session[PENDING] = kept
        request.session.save()  # before anything else can fail
    return found


def _tell(request: HttpRequest, error: Exception) -> None:
    if isinstance(error, signin.SignInLost):
        messages.error(request, error.detail)
        return
    code = error.code if isinstance(error, ServerError) else "SecretUnreadable"
    cause = cause_of(code)
    detail = error.detail if isinstance(error, ServerError) else ""
    messages.error(
        request, " ".join(part for part in (cause.meaning, detail, cause.advice) if part)
    )


def _welcome(request: HttpRequest, mailbox: Mailbox) -> None:
    with transaction.atomic():
        tested = services.signed_in(
            mailbox=mailbox,
            now=timezone.now(),
            actor=request.user,  # type: ignore[arg-type]
        )
        if tested:
            waking.enqueue_tests([mailbox.pk])
    words = _("%(mailbox)s is connected.") % {"mailbox": mailbox}
    if tested:
        words += " " + _("What the missing sign-in had stopped is being tested, and goes on then.")
    else:
        words += " " + _("If it was never tested: Test & Enable is next.")
    messages.success(request, words)


def _to_page(mailbox: Mailbox) -> HttpResponseRedirect:
    return HttpResponseRedirect(reverse("admin:sign_in", args=[mailbox.pk]))
