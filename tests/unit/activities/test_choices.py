from activities.choices import EmailKind
from activities.mime.message import MessageKind


def test_every_sort_of_mail_can_be_stored():
    assert EmailKind.values == [kind.value for kind in MessageKind]
