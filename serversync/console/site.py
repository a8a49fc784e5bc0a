"""The one admin site."""

from django.contrib import admin
from django.utils.translation import gettext_lazy as _


class ConsoleSite(admin.AdminSite):
    site_header = _("Server-side synchronization")
    site_title = _("serversync")
    index_title = _("Overview")
