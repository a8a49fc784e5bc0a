"""Servers whose lists have no end: they don't understand where a page begins, or mean harm."""

import itertools

import pytest

from mailboxes.protocols.base import INBOX
from mailboxes.protocols.errors import UnexpectedReply
from mailboxes.protocols.ews import folders, searching
from mailboxes.protocols.ews.messages import Folder
from mailboxes.protocols.ews.operations import M, T


class Talk:
    """Always has one more page."""

    def __init__(self, page):
        self.page = page
        self.asked = 0
        self.numbers = itertools.count()

    def folder(self, _folder):
        return T.FolderId(Id="id")

    def root(self):
        self.asked += 1
        return M.Answer(M.RootFolder(self.page(self), IncludesLastItemInRange="false"))

    def need(self, *_args, **_options):
        return self.root()

    def ask_each(self, _phase, group, _ask, at_once):
        return {folder: self.root() for folder in group}


def test_folders_without_an_end(monkeypatch):
    monkeypatch.setattr(folders, "MOST_FOLDERS", 100)
    talk = Talk(
        lambda talk: T.Folders(
            *(T.Folder(T.FolderId(Id=f"f{next(talk.numbers)}")) for _ in range(10))
        )
    )
    with pytest.raises(UnexpectedReply, match="more than 100 folders"):
        folders.below(talk, T.FolderId(Id="root"), deep=True)
    assert talk.asked == 11


def test_messages_without_an_end(monkeypatch):
    monkeypatch.setattr(searching, "MOST_PAGES", 7)
    talk = Talk(lambda _: T.Items(T.Message(T.ItemId(Id="always the same"))))
    with pytest.raises(UnexpectedReply, match="no end"):
        list(searching.Search(talk).run([INBOX]))
    assert talk.asked == 7
    talk.asked = 0
    assert len(list(searching.Search(talk).run([INBOX], pages=3))) == 3


def test_folders_that_lie_in_each_other_for_ever():
    deep = [Folder(f"f{number}", f"f{number + 1}", "x", "", 1) for number in range(2000)]
    found = folders.tree(deep)
    assert max(len(one.path) for one in found) == folders.DEEPEST
    circle = [Folder("a", "b", "A", "", 1), Folder("b", "a", "B", "", 1)]
    assert [one.path for one in folders.tree(circle)] == [("B", "A"), ("A", "B")]
