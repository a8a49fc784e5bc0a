"""The documents that ship with the product: whole, linked, and of one mind with the code and the tests."""

import ast
import re
from collections import Counter
from functools import cache
from pathlib import Path

import pytest
from django.apps import apps
from django.contrib import admin
from django.db import models

from mailboxes.conditions import TABLE, Nature, Scope
from mailboxes.models import Organization
from serversync.console import navigation, rules
from serversync.schedules import NIGHT
from serversync.schedules import TABLE as PERIODIC
from tests.plugin import settings_variables

HERE = Path(__file__).resolve().parents[2]
DOCS = HERE / "docs"
BEHAVIOUR = DOCS / "behaviour"
ROOMS = ("mailboxes", "activities", "tracking", "serversync")
PAGES = sorted([HERE / "README.md", *DOCS.rglob("*.md")])

NUMBER = re.compile(r"(?<![\w.])R\d{1,2}\.\d{1,2}[a-z]?(?![\w.]*\d)")
ANCHOR = re.compile(r'<a id="([^"]+)"></a>')
RULE = re.compile(r'(?ms)^- <a id="([^"]+)"></a>(.*?)(?=^- |\n\n|\Z)')
NOT_BUILT, PARTLY = "**Not built yet.**", "**Partly built:**"


def name_of(path: Path) -> str:
    return str(path.relative_to(HERE))


@cache
def built() -> dict[str, str]:
    """Rule -> "yes", "partly" or "no", as docs/behaviour says of it or of its section."""
    found = {}
    for path in sorted(BEHAVIOUR.glob("[01]*.md")):
        below: int | None = None  # depth of the heading whose section is not built
        depth = 0
        for block in re.split(r"\n{2,}", path.read_text()):
            if heading := re.match(r"(#+) ", block):
                depth = len(heading[1])
                below = None if below is None or depth <= below else below
            if block.startswith(NOT_BUILT):
                below = depth
            for number, text in RULE.findall(block):
                state = (
                    "no" if below or NOT_BUILT in text else "partly" if PARTLY in text else "yes"
                )
                found[number] = state
    return found


def sources(*kinds: str) -> list[Path]:
    places = [HERE / room for room in ROOMS] + [HERE / "templates"]
    return sorted(path for place in places for kind in kinds for path in place.rglob(f"*.{kind}"))


# -- links ---------------------------------------------------------------------------------------


def anchors_of(path: Path) -> set[str]:
    text = path.read_text()
    headings = re.findall(r"(?m)^#+ (.+)$", re.sub(r"(?ms)^```.*?^```", "", text))
    slugs = {
        re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings
    }
    return slugs | set(ANCHOR.findall(text))


@pytest.mark.parametrize("path", PAGES, ids=name_of)
def test_links_lead_somewhere(path):
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", path.read_text()):
        if re.match(r"[a-z]+:", target):
            continue
        file, _, anchor = target.partition("#")
        there = (path.parent / file).resolve() if file else path
        if not there.exists() or (anchor and anchor not in anchors_of(there)):
            broken.append(target)

    assert broken == []


def test_every_page_is_reached_from_the_readme():
    seen: set[Path] = set()
    waiting = [HERE / "README.md"]
    while waiting:
        page = waiting.pop()
        if page in seen:
            continue
        seen.add(page)
        for target in re.findall(r"\]\(([^)#\s]+\.md)", page.read_text()):
            waiting.append((page.parent / target).resolve())

    assert [name_of(path) for path in PAGES if path not in seen] == []


def test_pages_that_code_and_tests_name_exist():
    missing = {
        (name_of(path), page)
        for path in [*sources("py", "html"), *(HERE / "tests").rglob("*.py")]
        for page in re.findall(r"\bdocs/[\w./-]*\w", path.read_text())
        if not (HERE / page).exists()
    }

    assert missing == set()


# -- rules ---------------------------------------------------------------------------------------


def test_every_rule_has_one_place_in_the_page_of_its_section():
    places = Counter()
    strays = []
    for path in sorted(BEHAVIOUR.glob("[01]*.md")):
        for line in path.read_text().splitlines():
            if anchor := re.match(r"- (?:<a id=\"([^\"]*)\"></a>)?\*\*(R[^*]+)\*\*", line):
                places[anchor[2]] += 1
                section = f"{int(anchor[2][1:].partition('.')[0]):02}"
                if anchor[1] != anchor[2] or not path.name.startswith(section):
                    strays.append(line)

    assert strays == []
    assert set(places.values()) == {1}


def test_rules_that_are_cited_exist():
    unknown = {
        (name_of(path), number)
        for path in [*sources("py", "html"), *PAGES]
        for number in set(NUMBER.findall(path.read_text())) - set(built())
    }

    assert unknown == set()


def test_no_test_claims_a_rule_that_is_said_not_to_be_built():
    claimed = {
        (argument.value.partition("/")[0], name_of(path))
        for path in sorted((HERE / "tests").rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "rule"
        for argument in node.args
        if isinstance(argument, ast.Constant)
    }

    assert {number for number, _ in claimed} <= set(built())
    assert [one for one in sorted(claimed) if built()[one[0]] == "no"] == []


def test_a_setting_of_an_unbuilt_rule_does_not_act():
    contradictions = [
        (row.field, number)
        for row in settings_rows()
        for number in row.rules
        if row.acts and built()[number] == "no"
    ]

    assert contradictions == []


def test_console_shows_every_rule():
    shown = [
        rule.number for chapter in rules.chapters() for part in chapter.parts for rule in part.rules
    ]

    assert sorted(shown) == sorted(built())
    assert all(rules.known(number) for number in built())
    assert not rules.known("R99.1")


def test_console_makes_links_of_rules_and_nothing_of_tags():
    html = rules.html_of('*a* **b** `c` <script> [R3.24](03-x.md#R3.24) [text](../page.md) "')

    assert html == (
        "<em>a</em> <strong>b</strong> <code>c</code> &lt;script&gt; "
        '<a href="#R3.24">R3.24</a> text &quot;'
    )


def test_console_keeps_tables():
    (chapter,) = [
        c for c in rules.chapters_of("## Name\n\n| a | b |\n| - | - |\n| 1 | **2** |\n") if c.name
    ]

    (part,) = chapter.parts
    assert (part.head, part.body) == (["a", "b"], [["1", "<strong>2</strong>"]])


# -- the tables of conditions and settings -------------------------------------------------------

NATURES = {
    "passing": Nature.TRANSIENT,
    "lasting": Nature.PERMANENT,
    "one message": Nature.EMAIL,
    "information": Nature.INFORMATION,
}


SCOPES = {"message": Scope.EMAIL, "mailbox": Scope.MAILBOX, "profile": Scope.PROFILE}


def condition_rows() -> dict[str, tuple[bool, Nature, Scope]]:
    """Code -> (is anything said to report it, nature, what it is about)."""
    text = (BEHAVIOUR / "08-errors-and-alerts.md").read_text()
    table = text[text.index("## 8.3") : text.index("## 8.4")]
    rows = re.findall(r"(?m)^\| (\w+)( \*)? \| ([a-z ]+) \| (\w+) \|", table)
    told = [row for row in rows if row[0] != "code"]
    assert len({code for code, *_rest in told}) == len(told), "a code stands there twice"
    return {code: (not star, NATURES[nature], SCOPES[about]) for code, star, nature, about in told}


@pytest.mark.rule("R8.1")
def test_every_condition_is_in_the_table_with_its_nature_and_what_it_is_about():
    listed = {code: facts for code, (_, *facts) in condition_rows().items()}

    assert listed == {
        code: [condition.nature, condition.level] for code, condition in TABLE.items()
    }


def test_the_star_stands_at_conditions_that_no_code_names_and_only_there():
    code = "\n".join(p.read_text() for p in sources("py") if p.name != "conditions.py")
    reasons = {"NoCorrelationMatch", "NoRecipientMatch"}  # told by AcceptReason.code
    unreported = {name for name in TABLE if f'"{name}"' not in code} - reasons

    starred = {code for code, (reported, *_rest) in condition_rows().items() if not reported}
    assert starred == unreported


class Setting:
    def __init__(self, cells: list[str]) -> None:
        self.label, field, self.default, acts, rules_cell = cells
        self.field = field.strip("`")
        self.acts = {"yes": True, "not yet": False}[acts]
        self.rules = NUMBER.findall(re.sub(r"\([^)]*\)", "", rules_cell))


def settings_rows() -> list[Setting]:
    text = (BEHAVIOUR / "appendix-a-settings.md").read_text()
    lines = re.findall(r"(?m)^\| .+ \| `\w+` \| .+\|$", text)
    return [Setting([cell.strip() for cell in line.split("|")[1:-1]]) for line in lines]


def test_every_setting_is_listed_with_its_name_and_default():
    listed = {row.field: (row.label.lower(), row.default) for row in settings_rows()}
    fields = {
        field.name: field for field in Organization._meta.concrete_fields if is_setting(field)
    }

    assert set(listed) == set(fields)
    for name, field in fields.items():
        label, default = listed[name]
        assert label == str(field.verbose_name).lower()
        assert default_words(field, default) == default, name


def is_setting(field: models.Field) -> bool:
    apart = {"id", "name", "modified_on"}
    return field.editable and field.name not in apart


def default_words(field: models.Field, said: str) -> str:
    """What the page must say; texts that are told in words are taken as said."""
    default = field.get_default()
    if isinstance(field, models.BooleanField):
        return "on" if default else "off"
    if field.choices:
        return str(dict(field.choices)[default]).lower()
    if isinstance(default, int):
        return f"{default:,}"
    if not default:
        return "none"
    return f"`{default}`" if len(str(default)) < 20 else said


def test_setting_that_nothing_reads_is_said_not_to_act():
    code = "\n".join(path.read_text() for path in sources("py") if "migrations" not in path.parts)
    read = {
        row.field
        for row in settings_rows()
        if re.search(
            rf'\.{row.field}(_id)?\b|effective\(\s*"{row.field}"|switch = "{row.field}"'
            rf"|filter\({row.field}=",
            code,
        )
    }

    assert {row.field for row in settings_rows() if row.acts} == read
    assert {row.field for row in settings_rows() if not row.acts} == Organization.NOT_BUILT


# -- operations ----------------------------------------------------------------------------------


def test_operations_lists_every_variable():
    text = (DOCS / "operations.md").read_text()

    assert set(re.findall(r"(?m)^\| `([A-Z_]+)` \|", text)) == {*settings_variables(), "ENV_FILE"}


def commands() -> set[str]:
    return {
        path.stem
        for room in ROOMS
        for path in (HERE / room / "management" / "commands").glob("[a-z]*.py")
    }


def test_operations_lists_every_command():
    text = (DOCS / "operations.md").read_text()

    assert set(re.findall(r"(?m)^\| `(\w+)[^`]*` \|", text)) >= commands()


def test_operations_lists_every_periodic_job_with_how_often_it_runs():
    text = (DOCS / "operations.md").read_text()
    table = text[text.index("## Periodic jobs") :]
    listed = re.findall(r"(?m)^\| ([a-z-][a-z -]+) \| (every .+?) \| \S.* \|$", table)

    assert listed == [(job.name, how_often(job.minutes)) for job in PERIODIC]


def how_often(minutes: int | None) -> str:
    if minutes is None:
        return f"every night at {NIGHT}"
    return {1: "every minute", 60: "every hour"}.get(minutes, f"every {minutes} minutes")


# -- where the console, a setting or a command is named ------------------------------------------


def complaints() -> list[tuple[str, str, str]]:
    """Rule, where it is answered, what proves it."""
    text = (DOCS / "complaints.md").read_text()
    lines = re.findall(r"(?m)^\| (\[R.+) \|$", text)
    rows = [line.split(" | ") for line in lines]
    return [(rule[1 : rule.index("]")], where, tests) for rule, _, _, where, tests in rows]


def test_every_complaint_is_answered_once_in_its_order_and_with_a_test():
    numbers = [number for number in built() if number.startswith("R10.")]

    assert [number for number, *_rest in complaints()] == numbers
    assert all(where and "::" in tests for _, where, tests in complaints())


def test_tests_that_prove_an_answer_exist():
    named = [one for *_, tests in complaints() for one in re.findall(r"`([^`]+)`", tests)]

    assert [one for one in named if not is_test(*one.split("::"))] == []


def is_test(file: str, name: str) -> bool:
    path = HERE / "tests" / file
    return path.exists() and f"\ndef {name}(" in path.read_text()


NAMED_PAGES = (DOCS / "complaints.md", DOCS / "administration.md")


@pytest.mark.parametrize("path", NAMED_PAGES, ids=name_of)
def test_pages_of_the_console_that_are_named_exist_by_this_title(path):
    named = set(re.findall(r"\*([^*]+)\* \(`admin:(\w+)`\)", path.read_text()))
    known = addresses(admin.site.get_urls())

    assert named
    assert [one for one in named if one[1] not in known or not is_title(*one)] == []


def addresses(patterns: list) -> set[str]:
    found: set[str] = set()
    for pattern in patterns:
        below = getattr(pattern, "url_patterns", None)
        found |= {pattern.name} if below is None else addresses(below)
    return found


def is_title(words: str, name: str) -> bool:
    """Navigation, a form of this model, or a page of the console's own says so."""
    tasks = [*(task for _, tasks in navigation.SECTIONS for task in tasks), *navigation.ENGINE]
    for word, target in tasks:
        if name in (target, target.lower().replace(".", "_") + "_changelist"):
            return str(word) == words
    app, model, page = [*name.split("_"), "", ""][:3]
    if page == "change":
        verbose = str(apps.get_model(app, model)._meta.verbose_name)
        return verbose[0].upper() + verbose[1:] == words
    pages = (HERE / "serversync" / "console").rglob("*.py")
    return any(f'_("{words}")' in page.read_text() for page in pages)


@pytest.mark.parametrize("path", NAMED_PAGES, ids=name_of)
def test_fields_and_commands_that_are_named_exist(path):
    text = path.read_text()
    fields = {
        f"{model.__name__}.{field.name}"
        for model in apps.get_models()
        for field in model._meta.fields
    }

    assert set(re.findall(r"`([A-Z]\w+\.[a-z_]+)`", text)) <= fields
    assert set(re.findall(r"`manage\.py (\w+)", text)) <= commands()
