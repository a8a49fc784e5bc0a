"""The surroundings of a soak: nothing of the developer's own site is used. Knows no models, for it comes before
Django."""

import os
from collections.abc import Mapping
from pathlib import Path

from cryptography.fernet import Fernet


def environment(folder: Path, database_url: str, *, workers: int, threads: int) -> dict[str, str]:
    """Of this process and of the clusters alike."""
    return {
        **os.environ,
        "ENV_FILE": os.devnull,
        "DJANGO_SETTINGS_MODULE": "serversync.settings",
        "SECRET_KEY": "of a soak, and of nothing else whatsoever, and long enough for it",
        "FIELD_ENCRYPTION_KEYS": Fernet.generate_key().decode(),
        "DATABASE_URL": database_url,
        "MAIL_STORAGE_DIR": str(folder / "mail"),
        "QUEUE_WORKERS": str(workers),
        "POLL_THREADS": str(threads),
        "LOG_LEVEL": "WARNING",
    }


def set_up(variables: Mapping[str, str]) -> None:
    """Django, the tables, the schedules."""
    os.environ.update(variables)
    import django
    from django.core.management import call_command

    django.setup()
    call_command("migrate", verbosity=0)
    call_command("setup_schedules", verbosity=0)
