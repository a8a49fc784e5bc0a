"""What attendees answered, as a word with a sign: neither colour nor sign alone says it."""

from django.utils.html import format_html
from django.utils.safestring import SafeString

from activities.choices import AttendeeResponse, ParticipationType
from activities.models import ActivityParty

_SIGNS = {
    AttendeeResponse.NONE: ("…", "quiet"),
    AttendeeResponse.ORGANIZER: ("★", "info"),
    AttendeeResponse.TENTATIVE: ("?", "warn"),
    AttendeeResponse.ACCEPTED: ("✓", "good"),
    AttendeeResponse.DECLINED: ("✕", "bad"),
}
_INVITED = (ParticipationType.REQUIRED_ATTENDEE, ParticipationType.OPTIONAL_ATTENDEE)


def answer_words(row: ActivityParty) -> SafeString | str:
    """Of whoever is invited to something; "" of others."""
    if row.participation_type_mask not in _INVITED:
        return ""
    answer = AttendeeResponse(row.response)
    sign, kind = _SIGNS[answer]
    return format_html(
        '<span class="badge badge-{}"><span aria-hidden="true">{}</span> {}</span>',
        kind,
        sign,
        answer.label,
    )
