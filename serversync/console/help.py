"""The help beside the fields of a form leads to the rules that it names."""

from typing import TYPE_CHECKING, Any

from django.http import HttpRequest

from serversync.templatetags.console import with_rules

if TYPE_CHECKING:
    from mailboxes.screens import Screen as Base
else:
    Base = object


class RuleLinks(Base):
    """Mix in before a Screen."""

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        field = super().formfield_for_dbfield(db_field, request, **kwargs)
        if field is not None and field.help_text:
            field.help_text = with_rules(field.help_text)
        return field
