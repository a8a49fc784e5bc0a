"""Repair the address index (R3.30). Runs nightly; by hand after writing addresses past the site."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from mailboxes.search import enabled_models, reindex


class Command(BaseCommand):
    help = (
        "Compares the address index with every email-enabled record and repairs what differs. "
        "Prints how many index rows were wrong."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "models", nargs="*", help="labels such as activities.Contact; all without"
        )

    def handle(self, *args: Any, models: list[str], **options: Any) -> None:
        known = {model._meta.label_lower: model for model in enabled_models()}
        unknown = [label for label in models if label.lower() not in known]
        if unknown:
            raise CommandError(
                f"Not email enabled: {', '.join(unknown)}. Choose from "
                f"{', '.join(model._meta.label for model in known.values())}."
            )
        chosen = [known[label.lower()] for label in models] or list(known.values())
        for model in chosen:
            self.stdout.write(f"{model._meta.label}: {reindex(model)} row(s) repaired")
