"""What our own machines write on their mail, so that other machines, and ours, don't answer it.

The only place for these fields. An automatic answer, a notice and a probe each say what they are by
Auto-Submitted (RFC 3834, 5), ask Exchange for silence in its own words, and bear our own field. That is
the brake of a loop: of a message that comes back with our field nothing is made and nothing answered
(R3.59), so a loop between two sites like this one ends with its first round. Machines that keep none of
these fields are stopped by number.
"""

from enum import StrEnum

OWN_HEADER = "X-Serversync"

Fields = tuple[tuple[str, str], ...]


class Machine(StrEnum):
    """Which kind of our own mail it is. The value stands in our field, before anything else."""

    ANSWER = "answer"  # to a message, by a rule
    NOTICE = "notice"  # of the site itself, to nobody's message
    PROBE = "probe"  # of Test & Enable


#: Kind -> Auto-Submitted, X-Auto-Response-Suppress, Precedence.
_WORDS: dict[Machine, tuple[str, str, str]] = {
    # Receipts, too, would come back to an answer. Precedence is no standard, but responders that are
    # older than RFC 3834 heed it (there, 3.1.8).
    Machine.ANSWER: ("auto-replied", "OOF, AutoReply, RN, NRN", "auto_reply"),
    # A receipt may have been asked for; and any word of precedence has a password reset taken for bulk.
    Machine.NOTICE: ("auto-generated", "OOF, AutoReply", ""),
    Machine.PROBE: ("auto-generated", "All", ""),
}


def fields_of(machine: Machine, signature: str = "") -> Fields:
    """The fields of mail of this kind. `signature`: what our field says behind the kind."""
    submitted, suppressed, precedence = _WORDS[machine]
    found = [("Auto-Submitted", submitted), ("X-Auto-Response-Suppress", suppressed)]
    if precedence:
        found.append(("Precedence", precedence))
    return (*found, (OWN_HEADER, f"{machine.value} {signature}".rstrip()))
