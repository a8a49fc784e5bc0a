from django.apps import AppConfig
from django.contrib.admin.apps import AdminConfig
from django.utils.translation import gettext_lazy as _


class ServersyncConfig(AppConfig):
    name = "serversync"
    verbose_name = _("Synchronization")


class ConsoleAdminConfig(AdminConfig):
    """Django's admin with our site instead of its default one."""

    default_site = "serversync.console.site.ConsoleSite"
    default = False
