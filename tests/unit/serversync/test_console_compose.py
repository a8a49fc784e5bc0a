import pytest
from django.core.exceptions import ValidationError

from activities.html import html_of
from activities.mime.reply import forward_html, quote_html
from serversync.console.compose import split_quoted
from serversync.console.composefields import AddressesField
from serversync.console.downloads import as_attachment


@pytest.mark.parametrize(
    "quoted",
    [
        quote_html("<p>Hello</p>", "On Monday, Ada wrote:"),
        forward_html("<p>Hello</p>", [("From", "ada@example.com"), ("Subject", "Hi")]),
    ],
)
def test_what_was_taken_over_is_told_from_what_was_typed(quoted):
    assert split_quoted(html_of("One\nTwo") + quoted) == (html_of("One\nTwo"), quoted)
    assert split_quoted(quoted) == ("", quoted)
    assert split_quoted("<p>no quote</p>") == ("<p>no quote</p>", "")


def test_addresses_come_with_and_without_names_once_each():
    found = AddressesField().clean(
        '"Example, Ada" <ada@example.com>; ben@example.com, ADA@example.com'
    )
    assert [(a.address, a.name) for a in found] == [
        ("ada@example.com", "Example, Ada"),
        ("ben@example.com", ""),
    ]
    assert AddressesField().clean("") == ()


@pytest.mark.parametrize("text", ["ada", "ada@", "ada at example.com", "Ada <nowhere>"])
def test_what_is_no_address_is_refused(text):
    with pytest.raises(ValidationError, match="is not an email address"):
        AddressesField().clean(text)


def test_a_download_is_never_a_page():
    answer = as_attachment(b"<script>", "../..\\evil\r\nname.html")
    assert answer["Content-Type"] == "application/octet-stream"
    assert answer["Content-Disposition"] == 'attachment; filename="evilname.html"'
    assert "sandbox" in answer["Content-Security-Policy"]
    assert answer["X-Content-Type-Options"] == "nosniff"
