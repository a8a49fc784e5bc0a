"""PURE  Files of an appointment on both sides, and what both had when they were last equal -> what to carry where
(R6.34).

A file is its name and what is in it. One that was never on both sides is added to the other; one that was, and is
missing on a side, was taken away there, and goes on the other side as well. One that was replaced is another file.
"""

from collections.abc import Mapping, Set
from dataclasses import dataclass, field, replace
from typing import Any

LONGEST_NAME = 255
UNNAMED = "attachment"
#: Where the base of a link keeps what is known of files; the verb of revisions that tell of them.
KEY = "files"


def named(name: str) -> str:
    """As both sides can hold it."""
    return "".join(each for each in name if each.isprintable())[:LONGEST_NAME] or UNNAMED


@dataclass(frozen=True, slots=True, order=True)
class FileId:
    """`digest`: SHA-256 of the content; of a file that was not read, for it is too large, its size."""

    name: str
    digest: str


Files = Set[FileId]


# -- what to carry ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Moves:
    """`base`: what both sides have afterwards."""

    add_here: frozenset[FileId] = field(default_factory=frozenset)
    remove_here: frozenset[FileId] = field(default_factory=frozenset)
    add_there: frozenset[FileId] = field(default_factory=frozenset)
    remove_there: frozenset[FileId] = field(default_factory=frozenset)
    base: frozenset[FileId] = field(default_factory=frozenset)

    @property
    def to_server(self) -> bool:
        return bool(self.add_there or self.remove_there)

    @property
    def to_store(self) -> bool:
        return bool(self.add_here or self.remove_here)

    def without(self, undone: Files) -> "Moves":
        """The server didn't take these; they are as they were."""
        return replace(
            self,
            add_there=self.add_there - undone,
            remove_there=self.remove_there - undone,
            base=(self.base - (self.add_there & undone)) | (self.remove_there & undone),
        )


def moves(
    base: Files,
    here: Files,
    there: Files,
    *,
    to_store: bool,
    to_server: bool,
    removes_here: bool = True,
) -> Moves:
    """`to_store`, `to_server`: this side may be written now. `removes_here`: what the item lacks is taken off
    here. What can't be carried over stays as it is, its base too, so that it is as soon as it can be."""
    new_there, gone_there = there - here - base, (here & base) - there
    new_here, gone_here = here - there - base, (there & base) - here
    found = Moves(
        add_here=frozenset(new_there if to_store else ()),
        remove_here=frozenset(gone_there if to_store and removes_here else ()),
        add_there=frozenset(new_here if to_server else ()),
        remove_there=frozenset(gone_here if to_server else ()),
    )
    agreed = (here & there) | found.add_here | found.add_there
    waits = (gone_there | gone_here) - found.remove_here - found.remove_there
    return replace(found, base=frozenset(agreed | waits))


# -- what is remembered ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Known:
    """What was last known of both sides. `both`: what both had. `ids`: files of the item, by the server's ids, as of
    its version `version`; "" where that isn't known. `left_out`: what stays on one side, as it is too large or blocked by
    `rules`. `tries`: how often in a row a file was not taken."""

    both: frozenset[FileId] = field(default_factory=frozenset)
    ids: Mapping[str, FileId] = field(default_factory=dict)
    left_out: frozenset[FileId] = field(default_factory=frozenset)
    version: str = ""
    rules: str = ""
    tries: int = 0

    def under(self, rules: str) -> "Known":
        """What other rules left out is read again."""
        if rules == self.rules:
            return self
        ids = {key: file for key, file in self.ids.items() if file not in self.left_out}
        return Known(self.both, ids, version="" if self.left_out else self.version, rules=rules)

    def data(self) -> dict[str, Any]:
        return {
            "both": [_data(file) for file in sorted(self.both)],
            "ids": {key: _data(file) for key, file in sorted(self.ids.items())},
            "left_out": [_data(file) for file in sorted(self.left_out)],
            "version": self.version,
            "rules": self.rules,
            "tries": self.tries,
        }


def known(base: Mapping[str, Any] | None) -> Known:
    """As the base of a link tells it."""
    told = (base or {}).get(KEY)
    if not told:
        return Known()
    return Known(
        frozenset(FileId(*one) for one in told["both"]),
        {key: FileId(*one) for key, one in told["ids"].items()},
        frozenset(FileId(*one) for one in told["left_out"]),
        told["version"],
        told["rules"],
        told["tries"],
    )


def kept(base: Mapping[str, Any] | None) -> dict[str, Any]:
    """What a new base takes over of the former one."""
    return {KEY: base[KEY]} if base and KEY in base else {}


def added_ids(
    before: Mapping[str, FileId], names: Mapping[str, str], new: Files
) -> dict[str, FileId]:
    """Ids of files that were just added. `names`: id -> name, of all that the item has now. Where two are called
    alike nobody can tell without reading them, so they aren't told."""
    fresh = {key: name for key, name in names.items() if key not in before}
    called = list(fresh.values())
    by_name = {file.name: file for file in new}
    alike = {file.name for file in new if sum(one.name == file.name for one in new) > 1}
    return {
        key: by_name[name]
        for key, name in fresh.items()
        if name in by_name and name not in alike and called.count(name) == 1
    }


def _data(file: FileId) -> list[str]:
    return [file.name, file.digest]
