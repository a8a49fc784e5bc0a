"""The shipped roles as groups."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from serversync.people import roles


class Command(BaseCommand):
    help = (
        "Makes the groups of the shipped roles and gives them what is new. What a site changed stays. Safe to "
        "run at each deploy, after migrate."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--show",
            action="store_true",
            help="only tell how the groups differ from what was shipped",
        )
        parser.add_argument(
            "--reset", choices=sorted(roles.ROLES), help="make this role's group as it was shipped"
        )

    def handle(self, *args: Any, show: bool, reset: str | None, **options: Any) -> None:
        if reset:
            group = roles.reset(reset)
            self.stdout.write(f"{reset}: group “{group}” is as shipped")
        elif not show:
            for key, given in roles.setup_groups().items():
                self.stdout.write(f"{key}: {len(given)} permissions given")
        for key in roles.ROLES:
            self._tell(key)

    def _tell(self, key: str) -> None:
        group = roles.group_of(key)
        if group is None:
            self.stdout.write(f"{key}: has no group here")
            return
        changes = roles.changes_of(group)
        assert changes is not None
        for sign, names in (("+", changes.extra), ("-", changes.missing)):
            for name in names:
                self.stdout.write(f"{key}: {sign} {name}")
        if changes.reach is not None:
            self.stdout.write(f"{key}: reach {changes.reach.name.lower()}")
