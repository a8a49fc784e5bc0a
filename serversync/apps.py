from django.apps import AppConfig
from django.contrib.admin.apps import AdminConfig
from django.utils.translation import gettext_lazy as _


class ServersyncConfig(AppConfig):
    name = "serversync"
    verbose_name = _("Synchronization")

    def ready(self) -> None:
        from mailboxes import history
        from serversync import access  # noqa: F401 - registers the row rules
        from serversync.models import SavedQuery, SyncAttributeMapping
        from serversync.people import audit, sessions

        history.watch(SavedQuery)
        history.watch(SyncAttributeMapping)
        audit.connect()
        sessions.connect()


class ConsoleAdminConfig(AdminConfig):
    """Django's admin with our site instead of its default one."""

    default_site = "serversync.console.site.ConsoleSite"
    default = False

    def ready(self) -> None:
        super().ready()
        # Models and the rooms' screens are loaded only now.
        from django.contrib import admin

        from serversync.console.registry import register_screens

        register_screens(admin.site)
