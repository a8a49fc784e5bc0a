"""The catalogues: complete, compiled, and with the placeholders of the originals."""

import re
from pathlib import Path

import polib
import pytest
from django.conf import settings
from django.utils import translation

from mailboxes.conditions import explain

CATALOGUES = sorted(Path(settings.BASE_DIR).glob("locale/*/LC_MESSAGES/django.po"))
PLACEHOLDER = re.compile(r"%\(\w+\)[sd]|%[sd]|\{\w*\}")
RULE = re.compile(r"R\d+\.\d+[a-z]?")


def catalogues() -> list:
    return [pytest.param(path, id=path.parent.parent.name) for path in CATALOGUES]


def texts(entry: polib.POEntry) -> list[str]:
    return list(entry.msgstr_plural.values()) if entry.msgid_plural else [entry.msgstr]


def test_japanese_stands_beside_english() -> None:
    assert [path.parent.parent.name for path in CATALOGUES] == ["ja"]


@pytest.mark.parametrize("path", catalogues())
def test_every_text_is_translated(path: Path) -> None:
    left = [
        entry.msgid
        for entry in polib.pofile(str(path))
        if "fuzzy" in entry.flags or not all(texts(entry))
    ]
    assert left == []


@pytest.mark.parametrize("path", catalogues())
def test_placeholders_and_rule_numbers_are_kept(path: Path) -> None:
    for entry in polib.pofile(str(path)):
        original = entry.msgid_plural or entry.msgid
        for text in texts(entry):
            assert sorted(PLACEHOLDER.findall(text)) == sorted(PLACEHOLDER.findall(original)), text
            assert set(RULE.findall(text)) == set(RULE.findall(original)), text


@pytest.mark.parametrize("path", catalogues())
def test_the_compiled_catalogue_is_the_written_one(path: Path) -> None:
    written = {(e.msgctxt, e.msgid): texts(e) for e in polib.pofile(str(path))}
    compiled = {(e.msgctxt, e.msgid): texts(e) for e in polib.mofile(str(path.with_suffix(".mo")))}
    assert compiled == written


def test_a_condition_speaks_japanese() -> None:
    english = explain("InvalidCredentials").sentence()
    with translation.override("ja"):
        assert explain("InvalidCredentials").sentence() != english
