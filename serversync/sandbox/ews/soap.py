"""The envelope: namespaces, reading a request safely, writing answers, refusing.

Two ways to refuse, as the service has them: `SoapFault` for a whole request, `Refusal` for one of the
things that it asked for. The code is one of the service's own, such as ErrorItemNotFound.
"""

import base64
import binascii
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from lxml import etree

from serversync.sandbox.ews.versions import Release

Element = etree._Element

S = "{http://schemas.xmlsoap.org/soap/envelope/}"
T = "{http://schemas.microsoft.com/exchange/services/2006/types}"
M = "{http://schemas.microsoft.com/exchange/services/2006/messages}"
E = "{http://schemas.microsoft.com/exchange/services/2006/errors}"
PREFIXES = {"s": S[1:-1], "t": T[1:-1], "m": M[1:-1]}

CONTENT_TYPE = "text/xml; charset=utf-8"
#: What XML 1.0 can't carry; the service drops it.
NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class SoapFault(Exception):
    """The whole request is refused. `values`: what goes into MessageXml, e.g. BackOffMilliseconds."""

    def __init__(self, code: str, text: str = "", values: Mapping[str, str] | None = None) -> None:
        super().__init__(code)
        self.code = code
        self.text = text or TEXTS.get(code, code)
        self.values = dict(values or {})


class Refusal(Exception):
    """One id, item or folder of a request is refused. `more`: elements that the answer has anyway."""

    def __init__(
        self,
        code: str,
        text: str = "",
        *,
        more: Iterable[Element] = (),
        values: Mapping[str, str] | None = None,
        response_class: str = "Error",
    ) -> None:
        super().__init__(code)
        self.code = code
        self.text = text or TEXTS.get(code, code)
        self.more = list(more)
        self.values = dict(values or {})
        self.response_class = response_class


TEXTS = {
    "ErrorAccessDenied": "Access is denied. Check credentials and try again.",
    "ErrorAccountDisabled": "The account is disabled.",
    "ErrorChangeKeyRequired": "The change key is required for this operation.",
    "ErrorChangeKeyRequiredForWriteOperations": "The change key is required for write operations.",
    "ErrorFolderExists": "A folder with the specified name already exists.",
    "ErrorFolderNotFound": "The specified folder could not be found in the store.",
    "ErrorImpersonateUserDenied": "The account does not have permission to impersonate the requested user.",
    "ErrorInvalidChangeKey": "The change key is invalid.",
    "ErrorInvalidIdMalformed": "Id is malformed.",
    "ErrorInvalidSyncStateData": "Synchronization state data is corrupt or otherwise invalid.",
    "ErrorIrresolvableConflict": "The send or update operation could not be performed because the change key "
    "passed in the request does not match the current change key for the item.",
    "ErrorItemNotFound": "The specified object was not found in the store.",
    "ErrorMimeContentInvalid": "MIME content is invalid.",
    "ErrorMimeContentInvalidBase64String": "MIME content is not a valid base64 string.",
    "ErrorNonExistentMailbox": "The SMTP address has no mailbox associated with it.",
    "ErrorQuotaExceeded": "The mailbox has exceeded its quota.",
    "ErrorSendAsDenied": "The user account which was used to submit this request does not have the right to "
    "send mail on behalf of the specified sending account.",
    "ErrorServerBusy": "The server cannot service this request right now. Try again later.",
    "ErrorSubmissionQuotaExceeded": "The submission quota of the mailbox has been exceeded.",
}


# -- building --------------------------------------------------------------------------------------


def make(tag: str, *content: "Element | str | None", **attributes: str) -> Element:
    """An element with children or one text; None among the content is left out."""
    element = etree.Element(tag, attributes)
    for part in content:
        if isinstance(part, str):
            element.text = NOT_XML.sub("", part)
        elif part is not None:
            element.append(part)
    return element


def boolean(value: bool) -> str:
    return "true" if value else "false"


def stamp(value: datetime, digits: int = 0) -> str:
    """Whole seconds in UTC, unless a quirk wants `digits` of a fraction."""
    value = value.astimezone(UTC)
    fraction = f".{value.microsecond:06d}".ljust(digits + 1, "0")[: digits + 1] if digits else ""
    return value.replace(microsecond=0, tzinfo=None).isoformat() + fraction + "Z"


def success(operation: str, *content: Element | None) -> Element:
    return make(
        f"{M}{operation}ResponseMessage",
        make(f"{M}ResponseCode", "NoError"),
        *content,
        ResponseClass="Success",
    )


def refused(operation: str, refusal: Refusal, *content: Element | None) -> Element:
    """MessageText, ResponseCode, DescriptiveLinkKey, MessageXml, then the empty container."""
    return make(
        f"{M}{operation}ResponseMessage",
        make(f"{M}MessageText", refusal.text),
        make(f"{M}ResponseCode", refusal.code),
        make(f"{M}DescriptiveLinkKey", "0"),
        _message_xml(f"{M}MessageXml", refusal.values),
        *(refusal.more or content),
        ResponseClass=refusal.response_class,
    )


def answer(operation: str, messages: Iterable[Element]) -> Element:
    return make(f"{M}{operation}Response", make(f"{M}ResponseMessages", *messages))


def envelope(body: Element, release: Release | None) -> bytes:
    """`release` None leaves the version header out."""
    root = etree.Element(f"{S}Envelope", nsmap=PREFIXES)
    if release is not None:
        root.append(make(f"{S}Header", make(f"{T}ServerVersionInfo", **release.header())))
    root.append(make(f"{S}Body", body))
    return etree.tostring(root, xml_declaration=True, encoding="utf-8")


def fault(refusal: SoapFault) -> Element:
    element = etree.Element(f"{S}Fault", nsmap={"a": T[1:-1]})
    etree.SubElement(element, "faultcode").text = f"a:{refusal.code}"
    etree.SubElement(element, "faultstring").text = NOT_XML.sub("", refusal.text)
    detail = etree.SubElement(element, "detail")
    detail.append(make(f"{E}ResponseCode", refusal.code))
    detail.append(make(f"{E}Message", refusal.text))
    if (values := _message_xml(f"{T}MessageXml", refusal.values)) is not None:
        detail.append(values)
    return element


def _message_xml(tag: str, values: Mapping[str, str]) -> Element | None:
    if not values:
        return None
    return make(tag, *(make(f"{T}Value", value, Name=name) for name, value in values.items()))


# -- reading ---------------------------------------------------------------------------------------


def parse(data: bytes) -> Element:
    """Raises SoapFault. No entities, no network, no document types."""
    parser = etree.XMLParser(
        resolve_entities=False, no_network=True, huge_tree=True, remove_comments=True
    )
    try:
        root = etree.fromstring(data, parser)
    except (etree.XMLSyntaxError, ValueError) as error:
        raise SoapFault("ErrorSchemaValidation", f"The request is no XML: {error}") from error
    docinfo: Any = root.getroottree().docinfo
    if docinfo.doctype:
        raise SoapFault("ErrorSchemaValidation", "A document type is not allowed here.")
    if root.tag != f"{S}Envelope":
        raise SoapFault("ErrorSchemaValidation", "The request is no SOAP 1.1 envelope.")
    return root


def local(element: Element) -> str:
    return etree.QName(element).localname


def children(parent: Element | None) -> list[Element]:
    """The elements inside, without comments and processing instructions."""
    return [] if parent is None else [child for child in parent if isinstance(child.tag, str)]


def required(parent: Element, tag: str) -> Element:
    if (found := parent.find(tag)) is None:
        name = etree.QName(tag).localname
        raise schema(
            f"The element '{local(parent)}' has incomplete content: '{name}' is missing.", parent
        )
    return found


def attribute(
    element: Element, name: str, allowed: Iterable[str] | None = None, default: str | None = None
) -> str:
    """Raises SoapFault if it is missing without a default, or none of `allowed`."""
    value = element.get(name, default)
    if value is None:
        raise schema(f"The required attribute '{name}' is missing.", element)
    if allowed is not None and value not in allowed:
        raise schema(
            f"The '{name}' attribute is invalid - the value '{value}' is invalid.", element
        )
    return value


def schema(text: str, element: Element | None = None) -> SoapFault:
    line = str((element is not None and element.sourceline) or 1)
    values = {"LineNumber": line, "LinePosition": "1", "Violation": text}
    return SoapFault(
        "ErrorSchemaValidation", f"The request failed schema validation: {text}", values
    )


def truth(text: str | None, default: bool = False) -> bool:
    """Clients write 0 and 1, too."""
    return default if text is None else text.strip().lower() in ("true", "1")


def whole(element: Element | None, default: int, least: int = 0, most: int = 2**31 - 1) -> int:
    if element is None:
        return default
    return whole_text(element.text or "", element, least, most)


def whole_text(text: str, element: Element, least: int = 0, most: int = 2**31 - 1) -> int:
    try:
        number = int(text)
    except ValueError:
        raise schema(f"The value '{text}' is invalid for '{local(element)}'.", element) from None
    if not least <= number <= most:
        raise schema(f"The value '{text}' of '{local(element)}' is out of range.", element)
    return number


def binary(text: str | None, code: str) -> bytes:
    """Base64 as the service takes it: line breaks allowed, nothing else. Raises Refusal with `code`."""
    try:
        return base64.b64decode("".join((text or "").split()), validate=True)
    except (binascii.Error, ValueError):
        raise Refusal(code) from None


def moment(text: str | None) -> datetime | None:
    """A date and time; without an offset it is taken for UTC. None if it is none."""
    try:
        value = datetime.fromisoformat((text or "").strip())
    except ValueError:
        return None
    return value if value.tzinfo else value.replace(tzinfo=UTC)
