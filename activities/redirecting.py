"""A message for others, made into one for the address that all mail of a staging site goes to (R5.30).

Whoever reads it sees at once what it is: in the subject, at the top of the body, and in header fields
that a program can read. The same holds for the copy in sent items, which is made of the same bytes.
"""

import re
from collections.abc import Sequence
from dataclasses import replace

from django.utils.html import escape
from django.utils.translation import gettext as _

from activities.mime.message import Address, OutgoingMessage

#: Not X-Original-To: mail servers write that one, and it is read as evidence of whom they delivered to.
FIELDS = {"To": "X-Intended-To", "Cc": "X-Intended-Cc", "Bcc": "X-Intended-Bcc"}
MOST = 100  # addresses that a field or the body names; of more their number is told

_BODY_TAG = re.compile(r"<body\b[^>]*>", re.IGNORECASE)


def redirected(
    message: OutgoingMessage, address: str, bcc: Sequence[Address] = ()
) -> OutgoingMessage:
    """The same for `address` alone. It names all whom the message would have gone to, also the hidden
    ones: only that address sees them."""
    meant = {"To": message.to, "Cc": message.cc, "Bcc": tuple(bcc)}
    lists = {name: _listed(addresses) for name, addresses in meant.items() if addresses}
    lines = [
        _("This site redirects all mail to %(address)s. Nobody else got this message.")
        % {"address": address},
        *(f"{name}: {words}" for name, words in lists.items()),
    ]
    return replace(
        message,
        to=(Address(address),),
        cc=(),
        subject=f"{_('[Redirected]')} {message.subject}".rstrip(),
        html=_above_html(lines, message.html) if message.html else "",
        text=_above_text(lines, message.text) if message.text or not message.html else "",
        extra_headers=(
            *message.extra_headers,
            *((FIELDS[name], words) for name, words in lists.items()),
        ),
    )


def _listed(addresses: Sequence[Address]) -> str:
    words = [one.address for one in addresses[:MOST]]
    if more := len(addresses) - MOST:
        words += [_("and %(count)d more") % {"count": more}] if more > 0 else []
    return ", ".join(words)


def _above_text(lines: Sequence[str], text: str) -> str:
    return "\n".join([*lines, "-" * 64, "", text])


def _above_html(lines: Sequence[str], html: str) -> str:
    """Inside the body element if it is a whole document."""
    said = "<br>".join(escape(line) for line in lines)
    note = (
        '<div style="border:3px solid #b00020;padding:8px;margin:0 0 12px;background:#fff3f3;'
        f'color:#600010;font-family:sans-serif">{said}</div>'
    )
    found = _BODY_TAG.search(html)
    at = found.end() if found else 0
    return html[:at] + note + html[at:]
