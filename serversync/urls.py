"""One door: the console. And the mark, where browsers look for it without being told."""

from django.contrib import admin
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.templatetags.static import static
from django.urls import path


def favicon(request: HttpRequest) -> HttpResponse:
    return HttpResponseRedirect(static("console/mark.svg"))


urlpatterns = [path("favicon.ico", favicon), path("", admin.site.urls)]
