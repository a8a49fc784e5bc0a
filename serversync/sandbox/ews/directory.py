"""Who is who, and what a client asks about the server itself: ConvertId, ResolveNames, time zones."""

from serversync.sandbox.ews import soap
from serversync.sandbox.ews.call import Call, operation
from serversync.sandbox.ews.ids import read_id
from serversync.sandbox.ews.soap import (
    Element,
    M,
    Refusal,
    T,
    attribute,
    children,
    make,
    required,
    schema,
)
from serversync.sandbox.ews.store import Account
from serversync.sandbox.ews.timezones import ZONES, definition

ID_FORMATS = ("EwsLegacyId", "EwsId", "EntryId", "HexEntryId", "StoreId", "OwaId")
MOST_RESOLUTIONS = 100


@operation("ConvertId")
def convert_id(call: Call) -> Element:
    """Ids here have one form alone; clients ask this to learn how to sign in, and the version."""
    target = attribute(call.request, "DestinationFormat", ID_FORMATS)

    def convert(wanted: Element) -> list[Element]:
        source = attribute(wanted, "Format", ID_FORMATS)
        remote = read_id(attribute(wanted, "Id"))
        owner = call.store.account_of(remote.account)
        attribute(
            wanted, "Mailbox"
        )  # must be there, and may be anybody's: the id tells whose it is
        if owner is None:
            raise Refusal("ErrorNonExistentMailbox")
        if (source, target) != ("EwsId", "EwsId"):
            raise Refusal(
                "ErrorUnsupportedTypeForConversion", "Ids are kept in the form EwsId alone."
            )
        return [make(f"{M}AlternateId", Id=str(remote), Format=target, Mailbox=owner.address)]

    return call.each(children(required(call.request, f"{M}SourceIds")), convert)


@operation("ResolveNames")
def resolve_names(call: Call) -> Element:
    entries = call.request.findall(f"{M}UnresolvedEntry")
    if not entries or (len(entries) > 1 and call.quirks.one_unresolved_entry):
        raise schema("A request resolves one entry.", call.request)
    full = soap.truth(attribute(call.request, "ReturnFullContactData"))

    def resolve(entry: Element) -> list[Element]:
        hits = matching(call, (entry.text or "").strip())
        if not hits:
            raise Refusal("ErrorNameResolutionNoResults", "No results were found.")
        found = _resolutions(hits, full)
        if len(hits) > 1:
            raise Refusal(
                "ErrorNameResolutionMultipleResults",
                "Multiple results were found.",
                more=[found],
                response_class="Warning",
            )
        return [found]

    return call.each(entries, resolve)


def matching(call: Call, text: str) -> list[Account]:
    """By the beginning of a name or address; "smtp:" asks for an exact address."""
    if not text:
        return []
    if text.lower().startswith("smtp:"):
        exact = call.store.account(text[5:].strip())
        return [exact] if exact else []
    wanted = text.lower()
    return [
        account
        for account in call.store.accounts()
        if account.address.startswith(wanted)
        or any(alias.startswith(wanted) for alias in account.aliases)
        or any(
            word.startswith(wanted)
            for word in [account.name.lower(), *account.name.lower().split()]
        )
    ]


def _resolutions(hits: list[Account], full: bool) -> Element:
    shown = hits[:MOST_RESOLUTIONS]
    return make(
        f"{M}ResolutionSet",
        *(
            make(f"{T}Resolution", mailbox_of(account), _contact(account) if full else None)
            for account in shown
        ),
        TotalItemsInView=str(len(shown)),
        IncludesLastItemInRange=soap.boolean(len(shown) == len(hits)),
    )


def mailbox_of(account: Account) -> Element:
    return make(
        f"{T}Mailbox",
        make(f"{T}Name", account.name),
        make(f"{T}EmailAddress", account.address),
        make(f"{T}RoutingType", "SMTP"),
        make(f"{T}MailboxType", "PublicDL" if account.is_group else "Mailbox"),
    )


def _contact(account: Account) -> Element:
    addresses = [account.address, *account.aliases][:3]
    entries = [
        make(f"{T}Entry", f"SMTP:{address}", Key=f"EmailAddress{number}")
        for number, address in enumerate(addresses, start=1)
    ]
    return make(
        f"{T}Contact",
        make(f"{T}DisplayName", account.name),
        make(f"{T}EmailAddresses", *entries),
        make(f"{T}ContactSource", "ActiveDirectory"),
    )


@operation("ExpandDL")
def expand_dl(call: Call) -> Element:
    wanted = required(call.request, f"{M}Mailbox")

    def expand() -> list[Element]:
        group = call.store.account(wanted.findtext(f"{T}EmailAddress") or "")
        if group is None or not group.is_group:
            raise Refusal("ErrorNameResolutionNoResults", "No such distribution list.")
        members = [_member(call, address) for address in group.members]
        return [
            make(
                f"{M}DLExpansion",
                *members,
                TotalItemsInView=str(len(members)),
                IncludesLastItemInRange="true",
            )
        ]

    return call.alone(expand)


def _member(call: Call, address: str) -> Element:
    known = call.store.account(address)
    if known is not None:
        return mailbox_of(known)
    return make(
        f"{T}Mailbox",
        make(f"{T}Name", address),
        make(f"{T}EmailAddress", address),
        make(f"{T}RoutingType", "SMTP"),
        make(f"{T}MailboxType", "OneOff"),
    )


@operation("GetServerTimeZones")
def get_server_time_zones(call: Call) -> Element:
    full = call.request.get("ReturnFullTimeZoneData", "true") in ("true", "1")
    asked = [one.text or "" for one in children(call.request.find(f"{M}Ids"))]
    chosen = [zone for zone in ZONES if not asked or zone.windows_id in asked]
    return call.alone(
        lambda: [make(f"{M}TimeZoneDefinitions", *(definition(zone, full) for zone in chosen))]
    )
