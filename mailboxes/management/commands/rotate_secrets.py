"""Re-encrypt every stored secret with the first of FIELD_ENCRYPTION_KEYS."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from mailboxes.secrets import SecretUnreadable, rotate


class Command(BaseCommand):
    help = (
        "Re-encrypts every stored password, client secret and token with the first key of "
        "FIELD_ENCRYPTION_KEYS. Put the new key first, keep the former ones behind it, run this, "
        "then remove them. Safe to run while the site works, and to run again."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--batch", type=int, default=500, help="rows per statement")

    def handle(self, *args: Any, batch: int, **options: Any) -> None:
        unreadable = 0
        for result in rotate(batch=batch):
            unreadable += len(result.unreadable)
            if result.rotated or result.unreadable:
                self.stdout.write(f"{result.label}: {result.rotated} re-encrypted")
            for key, column in result.unreadable:
                self.stderr.write(f"{result.label} {key}: {column} can't be opened with any key")
        if unreadable:
            raise CommandError(
                f"{unreadable} secret(s) stay as they are. Put the key that they were stored with "
                "back behind the new one and run this again, or enter them again."
            ) from SecretUnreadable()
        self.stdout.write(self.style.SUCCESS("All secrets are under the first key."))
