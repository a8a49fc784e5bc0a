"""Pages of pairs, batches and revisions: all template, no form."""

from typing import Any

from django.http import HttpRequest

from serversync.console.mailboxes.rows import OfMailbox


class PageOfMailbox(OfMailbox):
    """Columns are told by the template alone, so none is made a form field of."""

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        return []
