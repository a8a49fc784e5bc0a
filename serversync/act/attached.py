"""PURE  Files of an appointment on both sides, and what both had when they were last equal -> what to carry where
(R6.34).

A file is its name and what is in it. One that was never on both sides is added to the other; one that was, and is
missing on a side, was taken away there, and goes on the other side as well.
"""

from collections.abc import Set
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, order=True)
class FileId:
    """`digest`: SHA-256 of the content; of a file that is too large to be read, its size."""

    name: str
    digest: str


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


Files = Set[FileId]


def moves(base: Files, here: Files, there: Files, *, to_store: bool, to_server: bool) -> Moves:
    """`to_store`, `to_server`: this side may be written now. What can't be carried over stays as it is, its
    base too, so that it is as soon as it can be."""
    new_there, gone_there = there - here - base, (here & base) - there
    new_here, gone_here = here - there - base, (there & base) - here
    found = Moves(
        add_here=frozenset(new_there if to_store else ()),
        remove_here=frozenset(gone_there if to_store else ()),
        add_there=frozenset(new_here if to_server else ()),
        remove_there=frozenset(gone_here if to_server else ()),
    )
    agreed = (here & there) | found.add_here | found.add_there
    waits = (gone_there | gone_here) - found.remove_here - found.remove_there
    return Moves(
        found.add_here,
        found.remove_here,
        found.add_there,
        found.remove_there,
        frozenset(agreed | waits),
    )
