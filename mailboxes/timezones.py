"""Times as their readers live: typed and shown in the time zone of the user's settings, else the site's."""

from collections.abc import Callable
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _


class OwnTimeZone:
    """Middleware, behind that of authentication. One statement, for whoever is signed in."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        settings = getattr(request.user, "settings", None)
        with timezone.override(zone(settings.time_zone) if settings else None):
            return self.get_response(request)


def zone(name: str) -> ZoneInfo | None:
    """None for what is no name of a zone here."""
    try:
        return ZoneInfo(name) if name else None
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None


def check_zone(name: str) -> None:
    if name and zone(name) is None:
        raise ValidationError(
            _("“%(name)s” is no time zone. Write an IANA name, such as Europe/Berlin."),
            params={"name": name},
        )
