"""How long a session lasts, and what it may open before the second factor was given."""

from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

from django.conf import settings
from django.contrib import messages
from django.contrib.auth import logout
from django.contrib.auth.signals import user_logged_in
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import Resolver404, resolve, reverse
from django.utils import timezone
from django.utils.translation import gettext as _

from serversync.people import secondfactor

SINCE, SEEN, REQUIRED = "since", "seen", "second_factor_required"
REFRESH = 60  # seconds between two notes of when somebody was last seen

#: Open to somebody who has given the password, and not yet the second factor.
BEFORE_FACTOR = {"login", "logout", "second_factor", "second_factor_setup", "jsi18n"}

#: What open pages ask for by themselves: nobody need be there, so it keeps no session alive.
ASKED_BY_SCRIPTS = {"live", "test_connection_state"}


def connect() -> None:
    user_logged_in.connect(_begins, dispatch_uid="session-begins")


def _begins(request: HttpRequest, user: Any, **_: Any) -> None:
    now = int(timezone.now().timestamp())
    request.session[SINCE] = request.session[SEEN] = now
    request.session[REQUIRED] = secondfactor.must_have(user)


# -- decisions -----------------------------------------------------------------------------------


def is_over(since: int, seen: int, now: int, *, longest: int, idle: int) -> bool:
    """All in seconds."""
    return now - since >= longest or now - seen >= idle


def page_before(*, has_factor: bool, passed: bool, required: bool) -> str:
    """The name of the page that has to be gone through first; "": none."""
    if has_factor:
        return "" if passed else "second_factor"
    return "second_factor_setup" if required else ""


# -- the edge ------------------------------------------------------------------------------------


class Gate:
    """Middleware, behind that of authentication."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if request.user.is_authenticated:
            answer = self._too_old(request) or self._without_factor(request)
            if answer is not None:
                return answer
        return self.get_response(request)

    def _too_old(self, request: HttpRequest) -> HttpResponse | None:
        session, now = request.session, int(timezone.now().timestamp())
        since, seen = session.get(SINCE, now), session.get(SEEN, now)
        idle = settings.SESSION_IDLE_MINUTES * 60
        if is_over(since, seen, now, longest=settings.SESSION_COOKIE_AGE, idle=idle):
            logout(request)
            return None  # goes on as nobody, to the page that asks to sign in
        if _name_of(request) in ASKED_BY_SCRIPTS:
            return None
        if SEEN not in session or now - seen >= REFRESH:
            session[SINCE], session[SEEN] = since, now
            session[REQUIRED] = secondfactor.must_have(request.user)  # type: ignore[arg-type]
        return None

    def _without_factor(self, request: HttpRequest) -> HttpResponse | None:
        user: Any = request.user
        if not user.is_authenticated:
            return None
        page = page_before(
            has_factor=user.second_factor_since is not None,
            passed=secondfactor.has_passed(request),
            required=bool(request.session.get(REQUIRED)),
        )
        if not page or _name_of(request) in BEFORE_FACTOR:
            return None
        if page == "second_factor_setup":
            words = _("Your organization asks for a second factor. Set it up to go on.")
            messages.warning(request, words)
        target = request.get_full_path() if request.method == "GET" else ""
        query = f"?{urlencode({'next': target})}" if target else ""
        return HttpResponseRedirect(reverse(f"admin:{page}") + query)


def _name_of(request: HttpRequest) -> str:
    try:
        return resolve(request.path_info).url_name or ""
    except Resolver404:
        return ""
