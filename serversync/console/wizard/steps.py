"""PURE  the steps of the wizard, and where somebody who comes back goes on."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from django.utils.translation import gettext_lazy as _


class Step(StrEnum):
    SERVER = "server"
    TEST = "test"
    DEFAULT = "default"
    PEOPLE = "people"
    DONE = "done"


NAMES: dict[Step, Any] = {
    Step.SERVER: _("Server"),
    Step.TEST: _("Test"),
    Step.DEFAULT: _("Default profile"),
    Step.PEOPLE: _("Users and queues"),
    Step.DONE: _("Done"),
}

#: What one does there.
DOES: dict[Step, Any] = {
    Step.SERVER: _("Which kind of server, where it is, and how to log in."),
    Step.TEST: _("One account is tried in both directions; what fails says why."),
    Step.DEFAULT: _("Whether users and queues that are made get it at once."),
    Step.PEOPLE: _("Whose mail: those that there are, new ones, their credentials, approval."),
    Step.DONE: _("Test & Enable of each mailbox as it goes, and what happens next."),
}


@dataclass(frozen=True, slots=True)
class Facts:
    """How far one profile has come. `passed`: its last test did, and nothing was changed since; `begun`: a
    mailbox of it is being tested, or was."""

    stored: bool = False
    passed: bool = False
    is_default: bool = False
    has_mailboxes: bool = False
    begun: bool = False


@dataclass(frozen=True, slots=True)
class Place:
    step: Step
    because: Any


def place(facts: Facts) -> Place:
    """Where to go on. Steps that were passed over on purpose are not asked again."""
    if not facts.stored:
        return Place(Step.SERVER, _("Nothing is stored yet."))
    if facts.begun:
        return Place(Step.DONE, _("Its mailboxes are tested, or were."))
    if facts.is_default:
        return Place(Step.PEOPLE, _("It is the default. No mailbox of it was tested yet."))
    if facts.passed:
        return Place(Step.DEFAULT, _("Its servers answer as they should."))
    return Place(Step.TEST, _("Its connection has not passed a test as it is now."))


def finished(facts: Facts) -> frozenset[Step]:
    """The steps that bear a tick."""
    ticks = {
        Step.SERVER: facts.stored,
        Step.TEST: facts.passed,
        Step.DEFAULT: facts.is_default,
        Step.PEOPLE: facts.has_mailboxes,
        Step.DONE: facts.begun,
    }
    return frozenset(step for step, done in ticks.items() if done)
