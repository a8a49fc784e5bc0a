"""PURE  what addresses are compared by, wherever two of them meet: index, headers, forms (R3.31)."""

from string import whitespace

_AROUND = whitespace + "\xa0\u3000<>"  # with the blanks that people paste


def address_key(address: str) -> str:
    """Bare, lower case, without trailing dots; "" where nothing is left to compare."""
    if "<" in address:  # with a display name, which may itself hold anything
        address = address.rpartition("<")[2].partition(">")[0]
    return address.strip(_AROUND).rstrip(_AROUND + ".").lower()
