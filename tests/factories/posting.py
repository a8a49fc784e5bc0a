"""What a browser would post from a page's form."""

from typing import Any


def form_data(client, url: str, name: str = "adminform") -> dict[str, Any]:
    """The values that the form at `url` shows, by the names of its boxes."""
    form = client.get(url).context[name]
    return values_of(getattr(form, "form", form))


def values_of(form) -> dict[str, Any]:
    """The same of a form that no page has shown yet."""
    data: dict[str, Any] = {}
    for bound in form:
        value, widget = bound.value(), bound.field.widget
        widget = getattr(widget, "widget", widget)  # what a chooser is wrapped in
        if hasattr(widget, "decompress"):
            for number, part in enumerate(widget.decompress(value)):
                data[f"{bound.html_name}_{number}"] = part or ""
        elif getattr(widget, "allow_multiple_selected", False):
            data[bound.html_name] = list(value or [])
        elif isinstance(value, bool):
            if value:
                data[bound.html_name] = "on"
        elif bound.name.endswith(("password", "secret", "private_key")) or value is None:
            data[bound.html_name] = ""
        else:
            data[bound.html_name] = value
    return data
