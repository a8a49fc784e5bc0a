from datetime import UTC, datetime, timedelta

import pytest

from mailboxes.screens import bytes_in_words, distance

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "now"),
        (-30, "now"),
        (30, "in a moment"),
        (-60, "1 min ago"),
        (300, "in 5 min"),
        (-44 * 60, "44 min ago"),
        (-3600, "1 h ago"),
        (26 * 3600, "in 26 h"),
        (-3 * 86400, "3 days ago"),
        (-30 * 86400, "2026-01-31"),
    ],
)
def test_a_time_is_told_as_a_person_says_it(seconds, words):
    assert distance(NOW + timedelta(seconds=seconds), NOW) == words


@pytest.mark.parametrize(
    ("size", "words"), [(0, "0 B"), (1023, "1023 B"), (2048, "2 KB"), (5 * 1024 * 1024, "5.0 MB")]
)
def test_a_size_is_told_in_its_largest_unit(size, words):
    assert bytes_in_words(size) == words
