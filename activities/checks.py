"""System checks of this room."""

from collections.abc import Sequence
from typing import Any

from django.apps import AppConfig
from django.core.checks import CheckMessage, Tags, Warning, register

from activities import triggers


@register(Tags.database)
def changes_are_noted(
    app_configs: Sequence[AppConfig] | None, databases: Sequence[str] | None = None, **_: Any
) -> list[CheckMessage]:
    """Of databases that are asked about, and whose tables are there."""
    return [found for using in databases or () for found in of_database(using)]


def of_database(using: str) -> list[CheckMessage]:
    if not triggers.is_migrated(using) or not (missing := triggers.missing(using)):
        return []
    return [
        Warning(
            f"{len(missing)} of the triggers that note changes of records are missing in the "
            f"database “{using}”, such as {min(missing)}: what changes there is not synchronized.",
            hint="Run `manage.py migrate`, which makes them anew; everything counts as changed then.",
            id="serversync.W003",
        )
    ]
