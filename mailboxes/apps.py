from django.apps import AppConfig
from django.db.models.signals import post_migrate, pre_migrate
from django.utils.translation import gettext_lazy as _


class MailboxesConfig(AppConfig):
    name = "mailboxes"
    verbose_name = _("Mailboxes")

    def ready(self) -> None:
        from mailboxes import checks, search, signals  # noqa: F401 - registers the checks
        from mailboxes.history import watched

        signals.connect()
        search.connect()
        pre_migrate.connect(
            watched.before_migration, sender=self, dispatch_uid="history-before-migration"
        )
        post_migrate.connect(
            watched.after_migration, sender=self, dispatch_uid="history-after-migration"
        )
