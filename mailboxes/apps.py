from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class MailboxesConfig(AppConfig):
    name = "mailboxes"
    verbose_name = _("Mailboxes")

    def ready(self) -> None:
        from mailboxes import checks, search, signals  # noqa: F401 - registers the checks

        signals.connect()
        search.connect()
