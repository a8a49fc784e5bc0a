"""Where somebody who comes back to the wizard goes on."""

import pytest

from serversync.console.wizard.steps import Facts, Step, finished, place


@pytest.mark.parametrize(
    ("facts", "step"),
    [
        (Facts(), Step.SERVER),
        (Facts(stored=True), Step.TEST),
        (Facts(stored=True, has_mailboxes=True), Step.TEST),
        (Facts(stored=True, passed=True), Step.DEFAULT),
        (Facts(stored=True, passed=True, is_default=True), Step.PEOPLE),
        (Facts(stored=True, is_default=True), Step.PEOPLE),
        (Facts(stored=True, begun=True), Step.DONE),
        (Facts(stored=True, passed=True, is_default=True, begun=True), Step.DONE),
    ],
)
def test_one_goes_on_with_the_first_step_that_nobody_passed_over(facts, step):
    assert place(facts).step == step
    assert str(place(facts).because)


def test_ticks_say_what_is_true_not_what_was_visited():
    facts = Facts(stored=True, is_default=True, has_mailboxes=True)
    assert finished(facts) == {Step.SERVER, Step.DEFAULT, Step.PEOPLE}
