"""Which folder rules may be made, whether they still work, whose record a message takes."""

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from uuid import uuid4

import pytest

from mailboxes.choices import IncomingDeliveryMethod, ServerType
from mailboxes.protocols.base import RemoteFolder
from tracking.choices import FolderState, LinkBecause
from tracking.folders import (
    Filed,
    LinkDecision,
    RuleFacts,
    RuleLine,
    kind_fault,
    link_decision,
    rule_faults,
    rule_state,
)

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
TREE = (
    RemoteFolder("f-customers", ("Customers",), 12),
    RemoteFolder("f-north", ("Customers", "North"), 3),
)
EXCHANGE = [kind for kind in ServerType if kind.is_exchange]
CLEO, CONTOSO, GIL = (7, "cleo"), (8, "contoso"), (9, "gil")
ADA, BEN = uuid4(), uuid4()
TO_CLEO, TO_CONTOSO = (
    RuleLine(uuid4(), ADA, CLEO),
    RuleLine(uuid4(), ADA, CONTOSO),
)


def site(**columns):
    settings = {
        "is_folder_based_tracking_enabled": True,
        "max_folder_based_tracking_mappings": 25,
        "allow_folder_tracking_for_queues": False,
        "allow_folder_tracking_for_imap": False,
    } | columns
    return SimpleNamespace(**settings, effective=settings.__getitem__)


def box(serves="user", method=IncomingDeliveryMethod.SERVER_SIDE_SYNC):
    return SimpleNamespace(
        incoming_email_delivery_method=method,
        is_forward_mailbox=serves == "forward",
        serves_user=serves == "user",
        serves_queue=serves == "queue",
    )


def faults(folder="f-north", server_type=ServerType.EXCHANGE_SERVER, mailbox=None, **facts):
    organization = facts.pop("organization", None) or site()
    return rule_faults(
        RuleFacts(
            **{
                "mailbox": mailbox or box(),
                "server_type": server_type,
                "organization": organization,
                "folder": folder,
                "tree": TREE,
            }
            | facts
        )
    )


def moved(into, regarding, *, given=None, mailbox=None, **facts):
    """An e-mail that another rule, or nothing, had filed, and that now lies in this rule's folder."""
    given = regarding if given is None else given
    return link_decision(Filed(regarding, given, mailbox, **facts), into)


# -- which rules may be made


@pytest.mark.rule("R7.1")
@pytest.mark.parametrize("kind", EXCHANGE)
def test_exchange_mailboxes_of_users_are_tracked_by_folder(kind):
    assert faults(server_type=kind) == {}


@pytest.mark.rule("R7.1")
def test_switched_off_there_are_no_rules():
    off = site(is_folder_based_tracking_enabled=False)
    assert "R7.1" in str(faults(organization=off)["mailbox"])


@pytest.mark.rule("R7.1", "R10.15")
def test_queues_only_where_the_organization_allows_them():
    assert "queues" in str(faults(mailbox=box("queue"))["mailbox"])
    allowed = site(allow_folder_tracking_for_queues=True)
    assert faults(mailbox=box("queue"), organization=allowed) == {}


@pytest.mark.rule("R7.30", "R10.15")
def test_imap_only_where_the_organization_allows_it():
    assert "R7.30" in str(faults(server_type=ServerType.IMAP_SMTP)["mailbox"])
    allowed = site(allow_folder_tracking_for_imap=True)
    assert faults(server_type=ServerType.IMAP_SMTP, organization=allowed) == {}


@pytest.mark.rule("R7.1")
def test_never_pop3_nor_forward_nor_retired_mailboxes():
    everything = site(allow_folder_tracking_for_queues=True, allow_folder_tracking_for_imap=True)
    assert "POP3" in str(
        faults(server_type=ServerType.POP3_SMTP, organization=everything)["mailbox"]
    )
    for serves in ("forward", "nobody"):
        assert "neither" in str(faults(mailbox=box(serves), organization=everything)["mailbox"])


@pytest.mark.rule("R7.1")
def test_only_mail_that_is_read_by_server_side_synchronization():
    by_outlook = box(method=IncomingDeliveryMethod.OUTLOOK)
    assert "server-side" in str(faults(mailbox=by_outlook)["mailbox"])
    assert "no server profile" in str(faults(server_type=None)["mailbox"])


def test_the_engine_asks_the_same_without_folders():
    assert kind_fault(box(), ServerType.EXCHANGE_ONLINE, site()) is None
    assert kind_fault(box("queue"), ServerType.EXCHANGE_ONLINE, site()) is not None


@pytest.mark.rule("R7.3")
def test_one_rule_more_than_the_limit_is_refused():
    others = {f"f{number}" for number in range(24)}
    assert faults(others=others) == {}
    assert "25" in str(faults(others=others | {"f24"})["mailbox"])
    assert (
        faults(others=others | {"f24"}, organization=site(max_folder_based_tracking_mappings=26))
        == {}
    )


@pytest.mark.rule("R7.4")
def test_the_folder_lies_below_the_inbox_at_any_depth():
    assert faults("f-customers") == faults("f-north") == {}
    assert "below the inbox" in str(faults("f-archive")["exchange_folder_id"])
    for inbox in ("INBOX", "Inbox"):
        assert "R7.4" in str(faults(inbox, tree=None)["exchange_folder_id"])


@pytest.mark.rule("R7.5")
def test_a_folder_is_taken_on_trust_until_the_folders_were_read():
    assert faults("anything", tree=None) == {}
    assert rule_state("anything", TREE, exists=False) == FolderState.MISSING


@pytest.mark.rule("R7.2")
def test_a_rule_needs_a_folder_that_has_none_yet():
    assert "Choose the folder" in str(faults("")["exchange_folder_id"])
    assert "already" in str(faults(others={"f-north"})["exchange_folder_id"])


# -- does it still work


@pytest.mark.rule("R7.11")
def test_folder_renamed_or_moved_below_the_inbox_is_still_tracked():
    renamed = [RemoteFolder("f-north", ("Customers", "Northern"), 3)]
    elsewhere = [RemoteFolder("f-north", ("Archive", "2026", "North"), 3)]
    for tree in (renamed, elsewhere):
        assert rule_state("f-north", tree, exists=None) == FolderState.ACTIVE


@pytest.mark.rule("R7.11")
def test_folder_moved_elsewhere_switches_the_rule_off_until_it_is_back():
    outside = rule_state("f-north", TREE[:1], exists=True)
    assert outside == FolderState.OUTSIDE
    assert rule_state("f-north", TREE, exists=None, before=outside) == FolderState.ACTIVE


@pytest.mark.rule("R7.5")
def test_folder_that_the_server_does_not_have_makes_the_rule_invalid():
    assert rule_state("f-north", TREE[:1], exists=False) == FolderState.MISSING
    assert (
        rule_state("f-north", [], exists=False, before=FolderState.OUTSIDE) == FolderState.MISSING
    )


def test_folder_that_is_gone_from_the_tree_is_not_called_deleted_unasked():
    assert rule_state("f-north", TREE[:1], exists=None) == FolderState.OUTSIDE


@pytest.mark.rule("R7.11")
def test_folder_made_again_with_the_same_name_is_another_one():
    by_id = [RemoteFolder("f-other", ("Customers", "North"), 0)]
    assert rule_state("f-north", by_id, exists=False) == FolderState.MISSING
    # Where the name is the id, only what was seen in between tells.
    by_name = [RemoteFolder("INBOX/North", ("North",), 0)]
    gone = rule_state("INBOX/North", [], exists=False)
    assert rule_state("INBOX/North", by_name, exists=None, before=gone) == FolderState.MISSING


# -- whose record a message takes


@pytest.mark.rule("R7.10")
def test_a_message_takes_the_record_of_the_folder():
    new = link_decision(Filed(), TO_CLEO)
    assert new == LinkDecision(LinkBecause.RULE, CLEO, links=True)
    # It goes before what the conversation says (R3.49).
    correlated = link_decision(Filed(regarding=GIL, given=GIL), TO_CLEO)
    assert correlated == LinkDecision(LinkBecause.RULE, CLEO, links=True)


@pytest.mark.rule("R7.8")
def test_several_folders_may_point_to_one_record():
    other = RuleLine(uuid4(), ADA, CLEO)
    decided = moved(other, CLEO, mailbox=ADA, rule=TO_CLEO.id)
    assert decided == LinkDecision(LinkBecause.ALREADY, links=True)


def test_what_is_as_it_should_be_is_not_written_again():
    decided = moved(TO_CLEO, CLEO, mailbox=ADA, rule=TO_CLEO.id)
    assert decided == LinkDecision(LinkBecause.ALREADY)


@pytest.mark.rule("R7.10")
def test_a_regarding_set_by_hand_is_overwritten_while_the_message_lies_there():
    by_hand = Filed(GIL, CLEO, ADA, TO_CLEO.id)
    assert link_decision(by_hand, TO_CLEO) == LinkDecision(LinkBecause.RULE, CLEO, links=True)


@pytest.mark.rule("R7.10", "R10.14")
@pytest.mark.parametrize(
    "by_hand",
    [
        Filed(GIL, CLEO, ADA, TO_CLEO.id),
        Filed(None, CLEO, ADA, TO_CLEO.id),
        Filed(GIL, None),
        Filed(GIL, CONTOSO),
    ],
    ids=["another", "none", "before the folder", "over the conversation's"],
)
def test_keep_manual_regarding_keeps_what_was_set_by_hand(by_hand):
    assert link_decision(by_hand, TO_CLEO, keep_manual=True) == LinkDecision(LinkBecause.BY_HAND)


@pytest.mark.rule("R10.14")
@pytest.mark.parametrize("filed", [Filed(), Filed(GIL, GIL), Filed(CONTOSO, CONTOSO, ADA, uuid4())])
def test_keep_manual_regarding_keeps_nothing_that_no_hand_set(filed):
    assert link_decision(filed, TO_CLEO, keep_manual=True).regarding == CLEO


@pytest.mark.rule("R7.11")
def test_without_a_record_earlier_links_stay_and_new_messages_get_none():
    without = RuleLine(TO_CLEO.id, ADA, None)
    earlier = moved(without, CLEO, mailbox=ADA, rule=without.id)
    assert earlier == link_decision(Filed(), without) == LinkDecision(LinkBecause.NO_RECORD)


@pytest.mark.rule("R7.11")
def test_record_changed_relinks_all_messages_of_the_folder():
    changed = RuleLine(TO_CLEO.id, ADA, CONTOSO)
    old = Filed(CLEO, CLEO, ADA, TO_CLEO.id, in_folder_since=NOW - timedelta(days=90))
    assert link_decision(old, changed) == LinkDecision(LinkBecause.RULE, CONTOSO, links=True)


@pytest.mark.rule("R10.28")
def test_record_changed_for_new_messages_only_leaves_the_old_ones():
    changed = RuleLine(TO_CLEO.id, ADA, CONTOSO, relink_from=NOW)
    before, after = NOW - timedelta(minutes=1), NOW + timedelta(minutes=1)
    old = Filed(CLEO, CLEO, ADA, TO_CLEO.id, in_folder_since=before)
    assert link_decision(old, changed) == LinkDecision(LinkBecause.BEFORE_CHANGE)
    for since in (after, None):
        new = link_decision(Filed(in_folder_since=since), changed)
        assert new.regarding == CONTOSO
    # Tracked long ago, moved into the folder only now: new there.
    assert (
        moved(changed, GIL, mailbox=ADA, rule=uuid4(), in_folder_since=after).regarding == CONTOSO
    )


@pytest.mark.rule("R7.11")
def test_message_moved_to_a_folder_with_a_record_is_relinked():
    decided = moved(TO_CONTOSO, CLEO, mailbox=ADA, rule=TO_CLEO.id)
    assert decided == LinkDecision(LinkBecause.RULE, CONTOSO, links=True)


@pytest.mark.rule("R7.11")
def test_message_moved_to_a_folder_without_one_keeps_its_link():
    without = RuleLine(uuid4(), ADA, None)
    assert moved(without, CLEO, mailbox=ADA, rule=TO_CLEO.id) == LinkDecision(LinkBecause.NO_RECORD)


@pytest.mark.rule("R7.11")
def test_of_two_users_folders_the_first_keeps_the_link():
    bens = RuleLine(uuid4(), BEN, CONTOSO)
    decided = moved(bens, CLEO, mailbox=ADA, rule=TO_CLEO.id)
    assert decided == LinkDecision(LinkBecause.FIRST_FOLDER)
    # Also once that rule is removed: messages keep what they have.
    assert moved(bens, CLEO, mailbox=ADA) == LinkDecision(LinkBecause.FIRST_FOLDER)


def test_copies_in_two_folders_of_one_mailbox_do_not_take_turns():
    here = moved(TO_CONTOSO, CLEO, mailbox=ADA, rule=TO_CLEO.id, lies_there=True)
    assert here == LinkDecision(LinkBecause.FIRST_FOLDER)
    assert moved(TO_CLEO, CLEO, mailbox=ADA, rule=TO_CLEO.id, lies_there=True) == LinkDecision(
        LinkBecause.ALREADY
    )


@pytest.mark.parametrize("state", [FolderState.OUTSIDE, FolderState.MISSING])
def test_a_rule_that_is_off_files_nothing(state):
    off = RuleLine(uuid4(), ADA, CLEO, state)
    assert link_decision(Filed(), off) == LinkDecision(LinkBecause.RULE_OFF)
