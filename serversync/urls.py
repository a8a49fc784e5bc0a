"""One door: the console. And the mark, where browsers look for it without being told; and two addresses for
machines."""

from django.contrib import admin
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.templatetags.static import static
from django.urls import path

from serversync.monitoring.views import healthz, metrics_page


def favicon(request: HttpRequest) -> HttpResponse:
    return HttpResponseRedirect(static("console/mark.svg"))


urlpatterns = [
    path("favicon.ico", favicon),
    path("healthz", healthz, name="healthz"),
    path("metrics", metrics_page, name="metrics"),
    path("", admin.site.urls),
]
