"""The three words that sum up what a connection came to."""

import pytest

from serversync.connections import Status, judged

PASSED, FAILED, NOT_REACHED = Status.PASSED, Status.FAILED, Status.NOT_REACHED


def steps(*names: str, failed: str = ""):
    return [{"step": name, "ms": 1, "ok": name != failed} for name in (*names, failed) if name]


@pytest.mark.rule("R2.22")
@pytest.mark.parametrize(
    "made, words",
    [
        (steps("resolve", "connect", "tls", "greet", "login", "list"), (PASSED, PASSED, PASSED)),
        (steps("resolve", "connect", "tls", "greet", "login"), (PASSED, PASSED, PASSED)),
        (steps(failed="settings"), (FAILED, NOT_REACHED, NOT_REACHED)),
        (steps("authorize", failed="resolve"), (FAILED, PASSED, NOT_REACHED)),
        (steps("resolve", "connect", failed="tls"), (FAILED, NOT_REACHED, NOT_REACHED)),
        (steps("resolve", "connect", "greet", failed="login"), (PASSED, FAILED, NOT_REACHED)),
        (steps(failed="authorize"), (NOT_REACHED, FAILED, NOT_REACHED)),
        (steps("resolve", "connect", "tls", "login", failed="open"), (PASSED, PASSED, FAILED)),
    ],
)
def test_validation_authorization_and_execution_are_told_apart(made, words):
    result = judged("incoming", "imap.example.com 993", 5, made)
    assert (result.validation, result.authorization, result.execution) == words
