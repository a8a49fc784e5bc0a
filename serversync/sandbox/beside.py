"""May the sandbox run on this site? Only beside profiles that are its own, or none."""

import shutil
from pathlib import Path
from urllib.parse import urlsplit

from django.conf import settings
from django.core.management.base import CommandError
from django.db import DatabaseError, connection, transaction
from django.utils.translation import gettext as _

from mailboxes.models import EmailServerProfile
from serversync.sandbox.certificates import load_authority

IMAP_PROFILE = "Sandbox IMAP"
POP3_PROFILE = "Sandbox POP3"
EXCHANGE_PROFILE = "Sandbox Exchange"
OWN_PROFILES = (IMAP_PROFILE, POP3_PROFILE, EXCHANGE_PROFILE)
LOOPBACK = ("127.0.0.1", "localhost", "::1")


def sandbox_folder() -> Path:
    """Where the sandbox of this site keeps its mail: beside an SQLite database, else in var/."""
    name = str(connection.settings_dict["NAME"])
    if connection.vendor == "sqlite" and name and ":memory:" not in name:
        path = Path(name)
        return path.with_name(f"{path.stem}-sandbox")
    return Path(settings.BASE_DIR) / "var" / f"{name or 'site'}-sandbox"


def refuse_foreign_profiles(folder: Path) -> None:
    """Raises CommandError beside a real server's profile: the sandbox's mail must never mix with
    anybody's own, nor its answers leave for real addresses."""
    try:
        with transaction.atomic():
            rows = list(
                EmailServerProfile.objects.values_list(
                    "name",
                    "incoming_server_location",
                    "outgoing_server_location",
                    "ca_certificate",
                )
            )
    except DatabaseError:  # not migrated yet, so there is nothing to protect
        return
    own_ca = load_authority(folder).pem if folder.exists() else None
    foreign = [
        name
        for name, incoming, outgoing, ca in rows
        if name not in OWN_PROFILES
        or _host(incoming) not in LOOPBACK
        or _host(outgoing) not in LOOPBACK
        or (own_ca is not None and ca != own_ca)
    ]
    if foreign:
        raise CommandError(
            _(
                "This site has server profiles that are not the sandbox's: %(names)s. The sandbox "
                "runs only on a site of its own. Point DATABASE_URL to another database, for "
                "example sqlite:///var/demo/site.sqlite3, and run again."
            )
            % {"names": ", ".join(foreign)}
        )


def _host(location: str) -> str:
    """Of a mail server, or of a web service."""
    return urlsplit(location).hostname or "" if "://" in location else location


def forget_without_site(folder: Path) -> None:
    """A new site starts with new mail: what an earlier one's sandbox kept is removed."""
    has_profiles = EmailServerProfile.objects.filter(name__in=OWN_PROFILES).exists()
    if not has_profiles and (folder / "authority.pem").exists():
        shutil.rmtree(folder)
