"""The user's list of categories: one entry is ours, the rest stays as it is, octet by octet."""

import pytest

from mailboxes.protocols.base import Category
from mailboxes.protocols.ews import categories
from mailboxes.protocols.ews.categories import Unreadable

OURS = Category("11111111-2222-3333-4444-555555555555", "Tracked")
RED = b'<category name="Red &amp; \xc3\xbcber" color=\'0\' guid="{2B7FAC5F-0000-0000-0000-000000000001}"  renameOnFirstUse="1" />'
LIST = (
    b'<?xml version="1.0"?>\r\n<!-- kept -->\r\n'
    b'<categories default="Red" lastSavedSession="5" xmlns="CategoryList.xsd">\r\n  '
    + RED
    + b"\r\n</categories>\r\n"
)
PREFIXED = (
    b'<c:categories xmlns:c="CategoryList.xsd"><c:category name="A" guid="{a}"></c:category>'
    b"</c:categories>"
)
UTF16 = LIST.replace(b'"1.0"', b'"1.0" encoding="UTF-16"').decode().encode("utf-16")
LISTS = pytest.mark.parametrize(
    "document",
    [
        LIST,
        PREFIXED,
        UTF16,
        categories.EMPTY,
        b'<categories xmlns="CategoryList.xsd"/>',
        b"<categories/>",
    ],
    ids=["Outlook", "prefixed", "UTF-16", "empty", "no content", "no namespace"],
)


@LISTS
def test_added_category_is_found_and_the_others_stay(document):
    before = categories.entries(document)
    changed = categories.add(document, OURS)
    assert categories.find(changed, OURS) == OURS
    assert categories.entries(changed)[:-1] == before


def test_adding_changes_no_octet_of_the_others():
    changed = categories.add(LIST, OURS)
    head, tail = LIST.split(b"</categories>")
    assert changed.startswith(head)
    assert changed.endswith(b"</categories>" + tail)


@LISTS
def test_removing_what_was_added_leaves_what_was_there(document):
    changed = categories.remove(categories.add(document, OURS), OURS.id)
    assert categories.entries(changed) == categories.entries(document)


def test_adding_and_removing_gives_the_same_octets():
    assert categories.remove(categories.add(LIST, OURS), OURS.id) == LIST


def test_removing_one_of_the_others_by_its_id_in_any_spelling():
    changed = categories.remove(LIST, "2b7fac5f-0000-0000-0000-000000000001")
    assert changed == LIST.replace(RED, b"")


@pytest.mark.rule("R7.22")
def test_renamed_category_is_found_by_its_id():
    renamed = categories.add(LIST, OURS).replace(b'"Tracked"', b'"In CRM"')
    assert categories.find(renamed, OURS) == Category(OURS.id, "In CRM")


def test_category_of_that_name_is_taken_for_ours():
    same = Category("99999999-2222-3333-4444-555555555555", "TRACKED")
    assert categories.find(categories.add(LIST, OURS), same) == OURS


@pytest.mark.parametrize("name", ['Ben & "Ada" <1>', "追跡済み", "it's"])
def test_names_with_special_characters_stay_whole(name):
    wanted = Category(OURS.id, name)
    assert categories.find(categories.add(LIST, wanted), wanted) == wanted


def test_comments_that_look_like_categories_mislead_nobody():
    document = LIST.replace(b"</categories>", b"</categories><!-- </categories> -->")
    assert categories.find(categories.add(document, OURS), OURS) == OURS


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"no XML",
        b"<other/>",
        b'<!DOCTYPE c [<!ENTITY x SYSTEM "file:///etc/passwd">]><c>&x;</c>',
    ],
)
def test_other_documents_are_not_touched(document):
    with pytest.raises(Unreadable):
        categories.add(document, OURS)
