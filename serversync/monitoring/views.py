"""The two addresses that machines ask. Neither needs a session; what they tell depends on the token."""

import hmac
from typing import Any

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4

from serversync.monitoring import checks, metrics

#: Anybody may ask, and as often as he likes.
RECENT = checks.Recently(seconds=2.0)


@never_cache
@require_safe
def healthz(request: HttpRequest) -> HttpResponse:
    """200 if all is well, else 503. `?check=database`: only that, for what restarts a web process."""
    names = [name for name in request.GET.getlist("check") if name in checks.NAMES]
    found = RECENT.run(timezone.now(), names)
    ok = all(check.ok for check in found)
    told = {check.name: _told(check, knows_token(request)) for check in found}
    return JsonResponse({"ok": ok, "checks": told}, status=200 if ok else 503)


def _told(check: checks.Check, in_full: bool) -> Any:
    if in_full:
        return {"ok": check.ok, "says": check.says}
    return "ok" if check.ok else "not ok"


@never_cache
@require_safe
def metrics_page(request: HttpRequest) -> HttpResponse:
    """Where there is no token there is no such page."""
    if not settings.METRICS_TOKEN:
        raise Http404
    if not knows_token(request):
        refusal = HttpResponse("A bearer token is needed.\n", "text/plain; charset=utf-8", 401)
        refusal["WWW-Authenticate"] = 'Bearer realm="metrics"'
        return refusal
    return HttpResponse(metrics.exposition(timezone.now()), CONTENT_TYPE_PLAIN_0_0_4)


def knows_token(request: HttpRequest) -> bool:
    """Compared in constant time."""
    scheme, _space, token = request.headers.get("Authorization", "").partition(" ")
    expected = settings.METRICS_TOKEN
    return (
        bool(expected)
        and scheme.lower() == "bearer"
        and hmac.compare_digest(token.strip().encode(), expected.encode())
    )
