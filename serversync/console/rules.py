"""The rules of docs/behaviour.md as a page, so that a rule number anywhere can be looked up."""

import re
from dataclasses import dataclass, field
from functools import lru_cache

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.translation import gettext as _

_HEADING = re.compile(r"^#{2,4}\s+(.*)")
_RULE = re.compile(r"^- \*\*(R\d{1,2}\.\d{1,2}[a-z]?)\*\*\s*(.*)")


@dataclass(slots=True)
class Rule:
    number: str
    text: str


@dataclass(slots=True)
class Chapter:
    name: str
    rules: list[Rule] = field(default_factory=list)


@lru_cache(maxsize=1)
def chapters() -> list[Chapter]:
    """Empty where the documents were not installed with the site."""
    path = settings.BASE_DIR / "docs" / "behaviour.md"
    if not path.exists():
        return []
    found: list[Chapter] = [Chapter("")]
    rule: Rule | None = None
    for line in path.read_text().splitlines():
        if heading := _HEADING.match(line):
            found.append(Chapter(heading[1]))
            rule = None
        elif start := _RULE.match(line):
            rule = Rule(start[1], start[2])
            found[-1].rules.append(rule)
        elif rule is not None and line.startswith("  "):
            rule.text = f"{rule.text} {line.strip()}"
        else:
            rule = None
    for chapter in found:
        for rule in chapter.rules:
            rule.text = rule.text.replace("**", "").replace("`", "").replace("*", "")
    return [chapter for chapter in found if chapter.rules]


@lru_cache(maxsize=1)
def _numbers() -> frozenset[str]:
    return frozenset(rule.number for chapter in chapters() for rule in chapter.rules)


def known(number: str) -> bool:
    return number in _numbers()


def page(request: HttpRequest, context: dict[str, object]) -> HttpResponse:
    return TemplateResponse(
        request,
        "console/rules.html",
        {**context, "title": _("Rules"), "chapters": chapters()},
    )
