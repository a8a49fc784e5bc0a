from time import process_time

import pytest

from activities.wording import fields_for, unknown_fields, word

VALUES = {"case.number": "CAS-1", "recipient.name": "<b>Rita</b> {{ case.number }}"}


def test_fields_are_replaced():
    worded = word("Your case {{case.number}}", "<p>Hello {{ recipient.first_name }}</p>", VALUES)

    assert worded.subject == "Your case CAS-1"
    assert worded.html == "<p>Hello </p>"


def test_a_value_is_neither_html_nor_a_template():
    worded = word("", "<p>{{ recipient.name }}</p>", VALUES)

    assert worded.html == "<p>&lt;b&gt;Rita&lt;/b&gt; {{ case.number }}</p>"


def test_subject_is_one_line():
    worded = word("A {{recipient.name}}", "", {"recipient.name": "b\r\nBcc: everybody"})

    assert worded.subject == "A b Bcc: everybody"
    assert len(word("x" * 900, "", {}).subject) == 800


@pytest.mark.parametrize(
    "body",
    [
        "{% load x %}{{ recipient.name.__class__ }}",
        "{{ recipient.name|safe }}",
        "{{ 7*7 }}{{ ''.__class__.__mro__ }}",
        "{{}}{{ }}{{{recipient}}}",
    ],
)
def test_nothing_but_names_is_understood(body):
    html = word("", body, {"recipient.name": "Rita"}).html

    assert "Rita" not in html
    assert "49" not in html


def test_what_runs_is_taken_out():
    html = word(
        "", "<p onclick='x()'>Hi</p><script>x()</script><a href='javascript:x'>a</a>", {}
    ).html

    assert html.startswith("<p>Hi</p>")
    assert "script" not in html
    assert "onclick" not in html


def test_names_that_a_template_can_not_have():
    text = "{{ case.number }} {{ recipient.name }} {{ recipient.salary }} {{ recipient.salary }}"

    assert unknown_fields(text, fields_for("")) == ["case.number", "recipient.salary"]
    assert unknown_fields(text, fields_for("incident")) == ["recipient.salary"]
    assert set(fields_for("")) < set(fields_for("incident"))


def test_braces_that_are_never_closed_hold_nobody_up():
    began = process_time()

    assert unknown_fields("{{" + " " * 20_000, ()) == []
    assert unknown_fields("{{ " * 20_000, ()) == []

    assert process_time() - began < 1
