"""One bad id among many: whose fault a refusal is, and what it costs to find out."""

import pytest
from exchangelib import errors as codes

from mailboxes.protocols.base import Authentication
from mailboxes.protocols.errors import (
    ActionRefused,
    ConnectionLost,
    FolderMissing,
    LoginRefused,
    MessageGone,
    MessageTooLarge,
    MessageUnreadable,
    PassingFault,
    ServerBusy,
    UnexpectedReply,
)
from mailboxes.protocols.ews.conversation import Conversation
from mailboxes.protocols.ews.operations import M, T, refusal_in
from mailboxes.protocols.ews.settings import Access, ExchangeSettings
from mailboxes.protocols.phases import Phase

KEYS = [f"k{number}" for number in range(50)]


@pytest.fixture
def talk():
    settings = ExchangeSettings(
        address="ada@example.com",
        access=Access.OWN,
        authentication=Authentication.BASIC,
        credentials=None,
        url="https://mail.example.com/EWS/Exchange.asmx",
    )
    return Conversation(settings, None)


class Server:
    """Refuses a whole request that names one of `bad`, in the words of `code`."""

    def __init__(self, bad, code="ErrorInvalidIdMalformed"):
        self.bad = set(bad)
        self.code = code
        self.asked = []

    def __call__(self, keys):
        self.asked.append(list(keys))
        if self.bad & set(keys):
            error = PassingFault("refused")
            error.server_code = self.code
            raise error
        return [f"answer to {key}" for key in keys]


def ask(talk, server, keys=KEYS):
    return talk.ask_each(Phase.FETCH, keys, server)


def test_all_in_one_request(talk):
    server = Server([])
    assert ask(talk, server) == {key: f"answer to {key}" for key in KEYS}
    assert len(server.asked) == 1


def test_more_than_a_request_takes_is_asked_in_parts(talk):
    server = Server([])
    keys = [f"k{number}" for number in range(250)]
    assert list(ask(talk, server, keys)) == keys
    assert [len(each) for each in server.asked] == [100, 100, 50]


def test_nothing_asked_for_is_no_request(talk):
    server = Server([])
    assert ask(talk, server, []) == {}
    assert server.asked == []


@pytest.mark.parametrize("bad", ["k0", "k17", "k49"])
@pytest.mark.parametrize(
    "code", ["ErrorInvalidIdMalformed", "ErrorInternalServerError", "SOAPFault"]
)
def test_one_that_spoils_a_request_is_found_by_halving(talk, bad, code):
    server = Server([bad], code)
    answers = ask(talk, server)
    assert list(answers) == KEYS
    assert [key for key in KEYS if isinstance(answers[key], codes.EWSError)] == [bad]
    assert len(server.asked) <= 13


def test_many_malformed_ids_are_each_told(talk):
    answers = ask(talk, Server(KEYS[10:20]))
    assert sum(isinstance(each, codes.ErrorInvalidIdMalformed) for each in answers.values()) == 10


def test_server_that_refuses_everything_is_not_asked_for_each(talk):
    server = Server(KEYS, "ErrorInternalServerError")
    with pytest.raises(PassingFault):
        ask(talk, server)
    assert len(server.asked) < 10


@pytest.mark.parametrize(
    "error", [ConnectionLost("gone"), ServerBusy("later"), LoginRefused("no"), UnexpectedReply("?")]
)
def test_what_is_no_refusal_is_raised_at_once(talk, error):
    asked = []

    def server(keys):
        asked.append(keys)
        raise error

    with pytest.raises(type(error)):
        ask(talk, server)
    assert len(asked) == 1


@pytest.mark.parametrize("bad", [0, 17, 49])
def test_what_the_server_did_not_look_at_is_asked_again(talk, bad):
    def server(keys):
        if KEYS[bad] not in keys:
            return list(keys)
        place = keys.index(KEYS[bad])
        stopped = [codes.ErrorBatchProcessingStopped("stopped")] * (len(keys) - place - 1)
        return [*keys[:place], codes.ErrorItemCorrupt("bad"), *stopped]

    answers = ask(talk, server)
    assert [key for key in KEYS if answers[key] != key] == [KEYS[bad]]


def test_server_that_looks_at_nothing_is_not_asked_for_ever(talk):
    answers = talk.ask_each(
        Phase.FETCH, KEYS, lambda keys: [codes.ErrorBatchProcessingStopped("stopped")] * len(keys)
    )
    assert len(answers) == 50


def test_refusal_of_a_kind_that_is_about_messages_is_told_for_the_rest(talk):
    asked = []

    def server(keys):
        asked.append(keys)
        error = ActionRefused("no")
        error.server_code = "ErrorAccessDenied"
        raise error

    answers = talk.ask_each(Phase.APPLY, KEYS, server)
    assert all(isinstance(answers[key], codes.ErrorAccessDenied) for key in KEYS)
    assert len(asked) < 10


def test_too_few_answers_belong_to_nobody(talk):
    with pytest.raises(UnexpectedReply):
        talk.ask_each(Phase.FETCH, KEYS, lambda keys: ["one"])


def test_answer_about_another_message_is_not_taken(talk):
    answer = M.GetItemResponseMessage(M.Items(T.Message(T.ItemId(Id="other"))))
    with pytest.raises(ConnectionLost):
        talk.check_item(Phase.FETCH, "wanted", answer)
    talk.check_item(Phase.FETCH, "other", answer)
    talk.check_item(Phase.FETCH, "wanted", codes.ErrorItemNotFound("gone"))


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("ErrorItemNotFound", codes.ErrorItemNotFound),
        ("SOAPFault", codes.SOAPError),
        ("ErrorInventedYesterday", codes.SOAPError),
        ("ErrorServerBusy", type(None)),
        ("ErrorNonExistentMailbox", type(None)),
        ("", type(None)),
    ],
)
def test_refusals_are_told_from_troubles_of_all(code, kind):
    error = UnexpectedReply("words")
    error.server_code = code
    assert type(refusal_in(error)) is kind


@pytest.mark.parametrize(
    ("refusal", "kind"),
    [
        (codes.ErrorItemNotFound, MessageGone),
        (codes.ErrorInvalidIdMalformed, MessageGone),
        (codes.ErrorMessageSizeExceeded, MessageTooLarge),
        (codes.ErrorCorruptData, MessageUnreadable),
        (codes.ErrorAccessDenied, MessageUnreadable),
    ],
)
def test_why_a_message_cannot_be_had(talk, refusal, kind):
    error = talk.message_error(refusal("words"), Phase.FETCH)
    assert type(error) is kind
    assert isinstance(error.__cause__, refusal)
    assert refusal.__name__ in error.detail


@pytest.mark.parametrize(
    "refusal",
    [
        codes.ErrorFolderNotFound,
        codes.ErrorItemNotFound,
        codes.ErrorFolderPropertyRequestFailed,
        codes.ErrorSyncFolderNotFound,
        codes.ErrorInvalidIdMalformed,
    ],
)
def test_ways_to_say_that_a_folder_is_gone(talk, refusal):
    assert isinstance(talk.folder_error(refusal("words"), "f", Phase.LIST), FolderMissing)
