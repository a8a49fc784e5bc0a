"""Django's own command, which also finds texts marked with `__` (gettext at once, beside lazy `_`)."""

from django.core.management.commands import makemessages


class Command(makemessages.Command):
    xgettext_options = [*makemessages.Command.xgettext_options, "--keyword=__"]
