"""What pages of records show of their synchronization."""

from typing import Any

from django import template

from serversync.act.records import table_of
from serversync.console.actlinks import panel_of_record

register = template.Library()


@register.inclusion_tag("console/act/record.html", takes_context=True)
def synchronized(context: Any, record: Any) -> dict[str, Any]:
    """The panel "Synchronized with"; nothing for records that take no part, or aren't stored yet."""
    request = context.get("request")
    if request is None or record is None or record.pk is None or table_of(record) is None:
        return {}
    return {"act_panel": panel_of_record(record, request.user)}
