"""What Exchange tells of items and folders, in the spellings of several servers."""

from datetime import UTC, datetime

import pytest
from lxml import etree

from mailboxes.protocols.ews import folders, messages
from mailboxes.protocols.ews.actions import Change
from mailboxes.protocols.ews.messages import Folder
from mailboxes.protocols.ews.operations import M, T

FIVE = datetime(2026, 1, 5, 8, 30, 15, tzinfo=UTC)


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("2026-01-05T08:30:15Z", FIVE),
        ("2026-01-05T08:30:15", FIVE),
        ("2026-01-05T10:30:15+02:00", FIVE),
        ("2026-01-05T03:00:15-05:30", FIVE),
        ("2026-01-05T08:30:15.250000Z", FIVE.replace(microsecond=250000)),
        ("2026-01-05T08:30:15.123456789Z", FIVE.replace(microsecond=123456)),
        ("2026-01-05T08:30:15.5+00:00", FIVE.replace(microsecond=500000)),
        ("0001-01-01T00:00:00+02:00", None),
        ("2026-02-30T08:30:15Z", None),
        ("2026-01-05T08:30:15+99:99", None),
        ("yesterday", None),
        ("", None),
    ],
)
def test_times(written, expected):
    assert messages.moment(written) == expected


def item(*properties):
    return T.Message(T.ItemId(Id="one", ChangeKey="x"), *properties)


@pytest.mark.parametrize(
    "missing", [(), ("DateTimeReceived",), ("DateTimeReceived", "DateTimeCreated")]
)
def test_time_of_receipt_has_substitutes(missing):
    names = ("DateTimeReceived", "DateTimeCreated", "LastModifiedTime")
    present = [T(name, "2026-01-05T08:30:15Z") for name in names if name not in missing]
    assert messages.remote_item(item(*present)).received_at == FIVE


def test_item_with_nothing_but_its_id():
    listed = messages.remote_item(item())
    assert (listed.remote_id, listed.size, listed.received_at) == ("one", 0, None)
    assert (listed.message_id, listed.marks) == ("", frozenset())


def sync(last, *changes):
    return M.SyncFolderItemsResponseMessage(
        M.SyncState(" abc= "), M.IncludesLastItemInRange(last), M.Changes(*changes)
    )


def test_changes_are_sorted_by_kind():
    answer = messages.changes(
        sync(
            "false",
            T.Create(T.Message(T.ItemId(Id="new"), T.Size("12"))),
            T.Create(T.MeetingRequest(T.ItemId(Id="meeting"))),
            T.Update(
                T.Message(T.ItemId(Id="old"), T.Categories(T.String("Red"), T.String("Blue")))
            ),
            T.Delete(T.ItemId(Id="left")),
            T.ReadFlagChange(T.ItemId(Id="read"), T.IsRead("true")),
        )
    )
    assert [each.remote_id for each in answer.created] == ["new", "meeting"]
    assert answer.created[0].size == 12
    assert [each.marks for each in answer.updated] == [{"Red", "Blue"}]
    assert answer.deleted == ["left"]
    assert (answer.state, answer.last, answer.any) == ("abc=", False, True)


def test_changes_that_name_nothing_are_passed_over():
    strange = (T.Create(), T.Update(T.Message()), T.Delete(), T.Delete(T.ItemId()), T.Invented())
    answer = messages.changes(sync("true", *strange))
    assert (answer.created, answer.updated, answer.deleted) == ([], [], [])
    assert answer.any


@pytest.mark.parametrize("last", ["true", "1", "True"])
def test_answer_without_changes(last):
    answer = messages.changes(sync(last))
    assert answer.last
    assert not answer.any


def test_bad_base64_is_no_content():
    assert messages.mime_of(item(T.MimeContent("SGVsbG8=", CharacterSet="UTF-8"))) == b"Hello"
    assert messages.mime_of(item(T.MimeContent(""))) == b""
    assert messages.mime_of(item(T.MimeContent("SGV"))) is None
    assert messages.mime_of(item()) is None


def test_first_header_of_a_name_is_unfolded():
    headers = etree.fromstring(
        f'<t:Message xmlns:t="{T.Message().nsmap["t"]}"><t:InternetMessageHeaders>'
        '<t:InternetMessageHeader HeaderName="Date">Mon,\r\n  5 Jan 2026</t:InternetMessageHeader>'
        '<t:InternetMessageHeader HeaderName="Date">another</t:InternetMessageHeader>'
        "</t:InternetMessageHeaders></t:Message>"
    )
    assert messages.header(headers, "date") == "Mon, 5 Jan 2026"
    assert messages.header(headers, "subject") == ""


def test_folders_get_their_paths_in_whatever_order_they_come():
    found = [
        Folder("c", "b", "Köln", "IPF.Note", 3),
        Folder("x", "inbox", "Dates", "IPF.Appointment", 1),
        Folder("b", "inbox", "Customers", "", 0),
    ]
    tree = folders.tree(found)
    assert [(each.folder, each.path, each.messages) for each in tree] == [
        ("c", ("Customers", "Köln"), 3),
        ("b", ("Customers",), 0),
    ]


def test_folders_in_a_ring_are_no_endless_tree():
    ring = [Folder("a", "b", "A", "", 0), Folder("b", "a", "B", "", 0)]
    assert {each.folder for each in folders.tree(ring)} == {"a", "b"}


@pytest.mark.parametrize(
    ("marks", "unmarks", "present", "expected"),
    [
        (["Tracked"], [], ["Red"], ["Red", "Tracked"]),
        (["tracked"], [], ["Tracked"], ["Tracked"]),
        ([], ["TRACKED"], ["Red", "Tracked", "Blue"], ["Red", "Blue"]),
        ([], ["Tracked"], ["Red"], ["Red"]),
        (["New"], ["Old"], ["Old", "Red"], ["Red", "New"]),
    ],
)
def test_only_our_marks_come_and_go(marks, unmarks, present, expected):
    assert Change(marks, unmarks).categories(present) == expected
