"""What a failure says to whom."""

import pytest

from serversync.console.differences import line_of
from serversync.errortexts import shown_decision, shown_error


@pytest.mark.rule("R8.30")
@pytest.mark.parametrize(
    ("code", "text", "shown"),
    [
        ("HookFailed", "site.hooks.check: ValueError: Secret plans", "site.hooks.check"),
        ("HookFailed", "site.hooks.check: Secret plans", "site.hooks.check"),
        ("HookFailed", "Secret plans: no", ""),
        ("IncomingMailboxInternalCrmError", "ValueError: Secret plans", "ValueError"),
        ("IncomingMailboxInternalCrmError", "Secret plans", ""),
        ("RecordNotStorable", "Value 'Secret plans' is not a valid choice.", ""),
        ("MessageUnreadable", "The server says: no", "The server says: no"),
    ],
)
def test_what_may_quote_mail_is_cut_to_what_stands_in_front(code, text, shown):
    assert shown_error(code, text, may_read=False) == shown
    assert shown_error(code, text, may_read=True) == text
    data = {"reason": code, "failure": {"code": code, "text": text}}
    assert shown_decision(data)["failure"] == {"code": code, "text": shown}


def test_a_decision_without_a_failure_stays_as_it_is():
    assert shown_decision({"outcome": "tracked"}) == {"outcome": "tracked"}


@pytest.mark.rule("R8.30")
def test_differences_hide_a_case_that_is_called_as_the_mail_that_made_it():
    case = {"kind": "activities.incident", "id": "1", "name": "My salary (CAS-1)"}
    made = [{"said": "case", "why": "rule", "case": "CAS-1", "rule": "Claims"}]
    data = {"outcome": "tracked", "reason": "AcceptAll", "regarding": case, "made": made}
    hidden = line_of("***", None, [], data, data, may_read=False)
    assert "My salary" not in repr(hidden)
    assert "CAS-1" in repr(hidden.after)
    assert "My salary" in repr(line_of("It", None, [], data, data, may_read=True))
