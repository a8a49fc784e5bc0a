from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class TrackingConfig(AppConfig):
    name = "tracking"
    verbose_name = _("Tracking")

    def ready(self) -> None:
        from mailboxes import history
        from tracking import access  # noqa: F401 - registers the row rules
        from tracking.models import ConvertRule, MailboxTrackingFolder

        history.watch(MailboxTrackingFolder)
        history.watch(ConvertRule, also=("state_code",))
