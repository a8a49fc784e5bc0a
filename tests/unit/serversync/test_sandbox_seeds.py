"""The seeded mail and the readers of mail files, without any server."""

import email
import re
from datetime import UTC, datetime, timedelta

from serversync.sandbox import seeds
from serversync.sandbox.faults import Fault, Faults, Kind, greylist
from serversync.sandbox.mailfiles import as_stored, message_files, messages

NOW = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)
SEPARATOR = b"From ada@example.com Tue Mar  3 12:00:00 2026\n"


def test_seeds_are_some_eighty_different_messages_in_the_order_of_their_times():
    made = seeds.seeds(NOW)
    assert 60 <= len(made) <= 90
    assert len({seed.name for seed in made}) == len(made)
    times = [seed.received_at for seed in made]
    assert times == sorted(times)
    assert times[-1] < NOW


def test_only_mail_from_before_the_start_date_is_older_than_it():
    start = NOW - timedelta(days=seeds.START_DAYS)
    old = {seed.name for seed in seeds.seeds(NOW) if seed.received_at < start}
    assert old == {"before_the_start_date_by_imap", "before_the_start_date_by_pop3"}


def test_every_address_is_in_an_example_domain():
    for seed in seeds.seeds(NOW):
        found = re.findall(rb"[\w.-]+@[\w-]+(?:\.[\w-]+)+", seed.mime)
        assert all(address.endswith(b".example") for address in found), seed.name


def test_answers_come_after_what_they_answer():
    made = {seed.name: seed for seed in seeds.seeds(NOW)}
    answer = email.message_from_bytes(made["answer_to_known_mail"].mime)
    assert answer["In-Reply-To"] == seeds.FIRST_QUESTION
    assert made["first_question"].received_at < made["answer_to_known_mail"].received_at


def test_a_fault_strikes_as_often_as_it_should():
    faults = Faults()
    faults.add(greylist("ben@"), Fault(kind=Kind.DROP, protocol="pop3", at=3))
    assert faults.strike("smtp", "", "RCPT", "TO:<ada@example.com>", 5) is None
    assert faults.strike("smtp", "", "RCPT", "TO:<ben@example.com>", 5) is not None
    assert faults.strike("smtp", "", "RCPT", "TO:<ben@example.com>", 6) is None
    assert faults.strike("pop3", "", "UIDL", "", 2) is None
    assert [faults.strike("pop3", "", "UIDL", "", 3) is not None for _ in "12"] == [True, True]


def test_an_mbox_is_split_at_its_separators_alone(tmp_path):
    file = tmp_path / "mbox"
    file.write_bytes(
        SEPARATOR
        + b"Subject: one\n\nA line.\n\nFrom then on nothing.\n>From quoted\n\n"
        + SEPARATOR
        + b"Subject: two\n\nLast line\n"
    )
    assert list(messages(file)) == [
        b"Subject: one\r\n\r\nA line.\r\n\r\nFrom then on nothing.\r\nFrom quoted\r\n",
        b"Subject: two\r\n\r\nLast line\r\n",
    ]


def test_a_single_message_stays_whole_whatever_it_says(tmp_path):
    file = tmp_path / "one.eml"
    file.write_bytes(b"Subject: x\r\n\r\n\r\n" + SEPARATOR + b"more\r\r\n\x00")
    assert list(messages(file)) == [
        b"Subject: x\r\n\r\n\r\n" + as_stored(SEPARATOR) + b"more\r\r\n\x00"
    ]


def test_files_of_a_folder_are_messages_and_hidden_ones_are_not(tmp_path):
    for name in ("a", "sub/b", ".hidden", "sub/.index"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    assert [file.name for file in message_files(tmp_path)] == ["a", "b"]
    (tmp_path / "c.eml").write_bytes(b"")
    assert [file.name for file in message_files(tmp_path)] == ["c.eml"]


def test_a_maildir_is_read_with_its_folders_but_without_what_is_being_delivered(tmp_path):
    for place in ("cur", "new", "tmp", ".Sent/cur"):
        (tmp_path / place).mkdir(parents=True)
        (tmp_path / place / f"1.{place.replace('/', '-').strip('.')}").write_bytes(b"")
    (tmp_path / "cur" / ".nfs0001").write_bytes(b"")
    names = [file.name for file in message_files(tmp_path)]
    assert names == ["1.Sent-cur", "1.cur", "1.new"]
