from django.apps import AppConfig
from django.db.models.signals import post_migrate, pre_migrate
from django.utils.translation import gettext_lazy as _


class ActivitiesConfig(AppConfig):
    name = "activities"
    verbose_name = _("Activities")

    def ready(self) -> None:
        from activities import access, checks, triggers  # noqa: F401 - registers rules and checks

        pre_migrate.connect(
            triggers.before_migration, sender=self, dispatch_uid="changes-before-migration"
        )
        post_migrate.connect(
            triggers.after_migration, sender=self, dispatch_uid="changes-after-migration"
        )
