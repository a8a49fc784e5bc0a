from time import process_time

import pytest

from tracking.names import Name, name_of


@pytest.mark.parametrize(
    ("display", "first", "middle", "last"),
    [
        ("Ada Example", "Ada", "", "Example"),
        ("Example, Ada", "Ada", "", "Example"),
        ("  'Ada  Example' ", "Ada", "", "Example"),
        ("Ada Maria Example", "Ada", "Maria", "Example"),
        ("Ludwig van der Example", "Ludwig", "", "van der Example"),
        ("Ada", "", "", "Ada"),
        ("Ada Example (Customer Ltd)", "Ada", "", "Example"),
        ("Ada Example via Forum", "Ada", "", "Example"),
        ("Customer, Ltd, Berlin", "Customer,", "Ltd,", "Berlin"),
        ("山田 太郎", "太郎", "", "山田"),
        ("山田\u3000太郎", "太郎", "", "山田"),
        ("山田太郎様", "", "", "山田太郎"),
        ("やまだ　たろう（営業部）", "たろう", "", "やまだ"),
        ("エイダ・レイ", "エイダ", "", "レイ"),
        ("김 철수", "철수", "", "김"),
        ("Ada\u202e Example", "Ada", "", "Example"),
    ],
)
def test_name_is_taken_apart(display, first, middle, last):
    name = name_of(display, "x@customer.example")

    assert (name.first, name.middle, name.last) == (first, middle, last)


def test_salutation_has_a_column_of_its_own():
    assert name_of("Dr. Ada Example", "x@y.example") == Name(
        first="Ada", last="Example", salutation="Dr."
    )
    assert name_of("Example, Dr. Ada", "x@y.example").salutation == "Dr."


@pytest.mark.parametrize(
    ("display", "address", "full"),
    [
        ("", "ada.example@customer.example", "Ada Example"),
        ("", "info@customer.example", "info"),
        ("ada.example@customer.example", "ada.example@customer.example", "Ada Example"),
        ("", "ada+news@customer.example", "ada"),
        ("", "x12.y@customer.example", "x12.y"),
        ("   ", '"a b"@customer.example', "a b"),
        ("''", "+@customer.example", "+"),
        ("()", "ben@customer.example", "ben"),
    ],
)
def test_without_a_name_the_local_part_is_taken(display, address, full):
    assert name_of(display, address).full == full


@pytest.mark.parametrize(
    "display", ["x" * 300, "a " * 300, ",", ", ,", "\x00\x01", "・", "様", "Dr."]
)
def test_whatever_stands_there_there_is_a_last_name_and_no_column_overflows(display):
    name = name_of(display, "ada@customer.example")

    assert name.last
    assert all(len(part) <= 50 for part in (name.first, name.middle, name.last))


@pytest.mark.parametrize("filling", [" ", "\u200b", "\u00a0", "(", "via ", "\u3000("])
def test_a_display_name_without_an_end_holds_nobody_up(filling):
    began = process_time()

    name_of(f"x{filling * 30_000}y", "ada@customer.example")

    assert process_time() - began < 1  # looked through as a whole, blanks take more than ten
