"""The rules of docs/behaviour as one page, so that a rule number anywhere can be looked up.

Reads the little Markdown that those files are written in: headings, rules as list items with an anchor,
tables, paragraphs, and inside them strong, emphasis, code and links.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.html import escape
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext as _

_HEADING = re.compile(r"^#{1,4}\s+(.*)")
_RULE = re.compile(r'^- (?:<a id="[^"]*"></a>)?\*\*(R\d{1,2}\.\d{1,2}[a-z]?)\*\*\s*(.*)')
_LINK = re.compile(r"\[([^\]]+)\]\(([^)\s]*)\)")
_INLINE = (
    (re.compile(r"`([^`]+)`"), r"<code>\1</code>"),
    (re.compile(r"\*\*([^*]+)\*\*"), r"<strong>\1</strong>"),
    (re.compile(r"\*([^*\s][^*]*)\*"), r"<em>\1</em>"),
)
OVERVIEW = "README.md"  # about the files themselves; the page has a navigation of its own


@dataclass(slots=True)
class Rule:
    number: str
    text: str

    @property
    def words(self) -> SafeString:
        return html_of(self.text)


@dataclass(slots=True)
class Part:
    """What stands together in a chapter: rules, a table (head and rows), or a paragraph."""

    rules: list[Rule] = field(default_factory=list)
    rows: list[list[SafeString]] = field(default_factory=list)
    text: str = ""

    @property
    def head(self) -> list[SafeString]:
        return self.rows[0]

    @property
    def body(self) -> list[list[SafeString]]:
        return self.rows[1:]

    @property
    def words(self) -> SafeString:
        return html_of(self.text)


@dataclass(slots=True)
class Chapter:
    name: str
    parts: list[Part] = field(default_factory=list)


@lru_cache(maxsize=1)
def chapters() -> list[Chapter]:
    """Empty where the documents were not installed with the site."""
    folder = settings.BASE_DIR / "docs" / "behaviour"
    found: list[Chapter] = []
    for path in sorted(folder.glob("*.md")):
        if path.name != OVERVIEW:
            found += chapters_of(path.read_text(encoding="utf-8"))
    return [chapter for chapter in found if chapter.parts]


def chapters_of(text: str) -> Iterator[Chapter]:
    chapter = Chapter("")
    for block in re.split(r"\n{2,}", text.strip()):
        for part in _parts_of(block):
            if isinstance(part, str):
                yield chapter
                chapter = Chapter(part)
            else:
                chapter.parts.append(part)
    yield chapter


def _parts_of(block: str) -> Iterator[Part | str]:
    """A heading is its text; anything else a part."""
    lines = block.splitlines()
    if heading := _HEADING.match(lines[0]):
        yield heading[1]
        lines = lines[1:]
    if not lines:
        return
    if lines[0].startswith("|"):
        cells = [[html_of(cell.strip()) for cell in line.split("|")[1:-1]] for line in lines]
        yield Part(rows=[cells[0], *cells[2:]])
    elif lines[0].startswith("- "):
        part = Part()
        for line in lines:
            if start := _RULE.match(line):
                part.rules.append(Rule(start[1], start[2]))
            elif part.rules:
                part.rules[-1].text += f" {line.strip()}"
        if part.rules:
            yield part
    else:
        yield Part(text=" ".join(lines))


def html_of(text: str) -> SafeString:
    """Escaped first, so that nothing but these marks becomes a tag."""
    html = _LINK.sub(_link, str(escape(text)))
    for mark, tag in _INLINE:
        html = mark.sub(tag, html)
    return mark_safe(html)


def _link(match: re.Match[str]) -> str:
    """To a rule: within this page. To another file of the documents: its words only."""
    words, target = match.groups()
    anchor = target.partition("#")[2]
    return f'<a href="#{anchor}">{words}</a>' if anchor else words


@lru_cache(maxsize=1)
def _numbers() -> frozenset[str]:
    return frozenset(
        rule.number for chapter in chapters() for part in chapter.parts for rule in part.rules
    )


def known(number: str) -> bool:
    return number in _numbers()


def page(request: HttpRequest, context: dict[str, object]) -> HttpResponse:
    return TemplateResponse(
        request,
        "console/rules.html",
        {**context, "title": _("Rules"), "chapters": chapters()},
    )
