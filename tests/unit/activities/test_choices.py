from activities.choices import AttendeeResponse, EmailKind
from activities.mime.message import MessageKind
from mailboxes.protocols.items import Response


def test_every_sort_of_mail_can_be_stored():
    assert EmailKind.values == [kind.value for kind in MessageKind]


def test_every_answer_of_an_attendee_can_be_stored():
    assert AttendeeResponse.values == [answer.value for answer in Response]
