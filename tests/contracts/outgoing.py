"""What every outgoing adapter promises, as tests to be inherited."""

from collections.abc import Callable, Sequence
from typing import Protocol

import pytest

from mailboxes.protocols.base import Envelope, OutgoingServer
from mailboxes.protocols.errors import MessageDeferred, MessageRefused, MessageTooLarge
from tests.contracts.inbox import message


class SubmissionAccount(Protocol):
    """`accepted`: addresses that work. `limit`: octets."""

    accepted: tuple[str, str]
    limit: int
    password: str

    def server(self) -> OutgoingServer: ...

    def arrived(self, count: int) -> Sequence[bytes]:
        """The bodies that reached the first accepted address, once there are `count`."""


class OutgoingAccount(SubmissionAccount, Protocol):
    """`refused` answers 5xx, `deferred` 4xx."""

    refused: str
    deferred: str


class Handing:
    """Counts the hand-overs."""

    def __init__(self, action: Callable[[], None] = lambda: None) -> None:
        self.count = 0
        self._action = action

    def __call__(self) -> None:
        self.count += 1
        self._action()


class SubmissionContract:
    """The part that any protocol can do. What they differ in:

    `reply`: how the answer to a message that was taken begins. `refuses_early`: before the hand-over,
    where the server can. `finds_sent`: it files copies and finds them.
    """

    reply = "250"
    refuses_early = True
    finds_sent = False

    def envelope(self, *recipients: str, body: bytes = b"Hello.\r\n") -> Envelope:
        return Envelope("<1@example.com>", "ada@example.com", recipients, message(1, body))

    def test_accepted_message_arrives_and_is_handed_over_once(self, account):
        handing = Handing()
        sent = account.server().send(self.envelope(account.accepted[0]), handing)
        assert handing.count == 1
        assert sent.reply.startswith(self.reply)
        assert [(each.address, each.accepted) for each in sent.recipients] == [
            (account.accepted[0], True)
        ]
        assert account.arrived(1) == [b"Hello.\r\n"]

    @pytest.mark.parametrize(
        "body",
        [b".\r\n..\r\n.dots\r\n", b"no end of line", b"x" * 300_000 + b"\r\n", b""],
        ids=["dots", "no end of line", "300 KB", "empty"],
    )
    def test_body_arrives_as_it_is(self, account, body):
        account.server().send(self.envelope(account.accepted[0], body=body), Handing())
        assert [each.rstrip() for each in account.arrived(1)] == [body.rstrip()]

    def test_message_over_the_size_limit_is_refused(self, account):
        handing = Handing()
        large = self.envelope(account.accepted[0], body=b"x" * account.limit + b"\r\n")
        server = account.server()
        with pytest.raises(MessageTooLarge):
            server.send(large, handing)
        assert handing.count == (0 if self.refuses_early else 1)
        server.send(self.envelope(account.accepted[0]), Handing())
        assert account.arrived(1) == [b"Hello.\r\n"]

    def test_refused_hand_over_stops_the_message(self, account):
        def lease_lost() -> None:
            raise LookupError("lease lost")

        server = account.server()
        with pytest.raises(LookupError):
            server.send(self.envelope(account.accepted[0]), Handing(lease_lost))
        server.send(self.envelope(account.accepted[0], body=b"second\r\n"), Handing())
        assert account.arrived(1) == [b"second\r\n"]

    def test_recipient_named_twice_gets_one(self, account):
        sent = account.server().send(
            self.envelope(account.accepted[0], account.accepted[0]), Handing()
        )
        assert len(sent.recipients) == 1
        assert len(account.arrived(1)) == 1

    def test_open_is_idempotent_and_close_may_be_repeated(self, account):
        server = account.server()
        assert server.open() is server
        assert server.open() is server
        server.close()
        server.close()
        assert server.find_sent("<1@example.com>") is (False if self.finds_sent else None)

    def test_repr_holds_no_password(self, account):
        assert account.password not in repr(account.server())

    def test_what_was_sent_is_found_where_the_server_can_tell(self, account):
        server = account.server()
        envelope = self.envelope(account.accepted[0])
        sent = server.send(envelope, Handing())
        assert sent.filed_copy is self.finds_sent
        assert server.find_sent(envelope.message_id) is (True if self.finds_sent else None)
        assert server.find_sent("<other@example.com>") is (False if self.finds_sent else None)

    def test_one_server_serves_a_batch(self, account):
        server = account.server().open()
        for _number in range(3):
            server.send(self.envelope(account.accepted[0]), Handing())
        server.close()
        assert len(account.arrived(3)) == 3


class OutgoingContract(SubmissionContract):
    """Where each recipient gets an answer of its own (SMTP)."""

    @pytest.mark.rule("R5.16")
    def test_refused_recipients_do_not_keep_the_others_from_it(self, account):
        recipients = (account.refused, account.accepted[0], account.deferred)
        sent = account.server().send(self.envelope(*recipients), Handing())
        refused, accepted, deferred = sent.recipients
        assert (refused.accepted, refused.permanent, refused.code // 100) == (False, True, 5)
        assert accepted.accepted
        assert (deferred.accepted, deferred.permanent, deferred.code // 100) == (False, False, 4)
        assert len(account.arrived(1)) == 1

    def test_message_refused_to_all_is_not_handed_over(self, account):
        handing = Handing()
        with pytest.raises(MessageRefused) as caught:
            account.server().send(self.envelope(account.refused), handing)
        assert handing.count == 0
        assert [each.address for each in caught.value.recipients] == [account.refused]

    def test_one_deferred_recipient_keeps_the_message_waiting(self, account):
        handing = Handing()
        with pytest.raises(MessageDeferred) as caught:
            account.server().send(self.envelope(account.refused, account.deferred), handing)
        assert handing.count == 0
        assert [each.permanent for each in caught.value.recipients] == [True, False]

    def test_one_server_serves_a_batch_with_refusals_in_it(self, account):
        server = account.server().open()
        for recipient in (account.refused, account.deferred):
            with pytest.raises((MessageRefused, MessageDeferred)):
                server.send(self.envelope(recipient), Handing())
            server.send(self.envelope(account.accepted[0]), Handing())
        server.close()
        assert len(account.arrived(2)) == 2
