"""The screen of stored bytes."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from activities.models import StoredBytes
from mailboxes.screens import ReadOnlyScreen, bytes_in_words


class StoredBytesScreen(ReadOnlyScreen):
    """Sizes and digests. The bytes are had from the e-mail or item that they belong to."""

    list_display = ["sha256", "octets", "place", "created_on", "unreferenced_since"]
    list_filter = ["place"]
    search_fields = ["=sha256"]
    fields = ["sha256", "octets", "place", "created_on", "unreferenced_since"]

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).defer("content")

    @admin.display(description=_("size"), ordering="size")
    def octets(self, stored: StoredBytes) -> str:
        return bytes_in_words(stored.size)
