"""Chooses the database before Django reads its settings, and keeps skipped parts in sight.

Loaded with `-p` from pyproject.toml: a conftest.py would come too late, for pytest-django reads the settings
before any of them. Nothing of the developer's own site is used: no .env, no variable, no folder.
"""

import os
import re
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent.parent
CI = os.environ.get("CI") == "true"
# What takes longest, in this order: it begins first, so that no worker is left alone with it in the end. A file
# that is missing here costs a little time and nothing else.
LONGEST = (
    "test_cluster.py",
    "test_engine_properties.py",
    "test_kill.py",
    "test_quickstart.py",
    "test_faults.py",
    "test_decisions.py",
    "test_exchange.py",
    "test_sandbox_control.py",
    "test_scale.py",
    "test_console_cost.py",
    "test_whatif_exact.py",
    "test_accessibility.py",
    "test_accessibility_records.py",
    "test_accessibility_lists.py",
    "test_accessibility_forms.py",
    "test_permissions.py",
)
DATABASE_FIXTURES = {"db", "transactional_db", "live_server"}
# The only reason that may be given in CI: the other pass runs these tests.
OTHER_DATABASE = "not on this database:"

scratch = pytest.StashKey[Path]()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("serversync")
    group.addoption(
        "--database",
        choices=["sqlite", "postgresql"],
        default="sqlite",
        help="the database under test; PostgreSQL is the one that TEST_DATABASE_URL names "
        "(scripts/test-postgres pytest --database postgresql ... starts one)",
    )


@pytest.hookimpl(wrapper=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> Iterator[None]:
    database = early_config.known_args_namespace.database
    folder = Path(tempfile.mkdtemp(prefix="serversync-tests-"))
    early_config.stash[scratch] = folder
    for name in settings_variables():
        os.environ.pop(name, None)
    os.environ |= {
        "ENV_FILE": os.devnull,
        "TESTS_DIR": str(folder),
        "SECRET_KEY": "for-tests-only-for-tests-only-for-tests-only-for-tests-only",
        "FIELD_ENCRYPTION_KEYS": "dGVzdHMtb25seS10ZXN0cy1vbmx5LXRlc3RzLW9ubHk=",
        "MAIL_STORAGE_DIR": str(folder / "mail"),
        "DATABASE_URL": database_url(database, folder),
    }
    try:
        yield
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)  # pytest_unconfigure won't come
        raise


def settings_variables() -> list[str]:
    """Every variable that settings.py reads: .env.example lists them all."""
    return re.findall(r"(?m)^#?\s?([A-Z][A-Z_]+)=", (HERE / ".env.example").read_text())


def database_url(database: str, folder: Path) -> str:
    if database == "sqlite":
        return f"sqlite:///{folder / 'site.sqlite3'}"
    if url := os.environ.get("TEST_DATABASE_URL"):
        return url
    raise pytest.UsageError(
        "--database postgresql needs a server: either set TEST_DATABASE_URL, "
        "or run it as `scripts/test-postgres pytest --database postgresql ...`"
    )


def pytest_unconfigure(config: pytest.Config) -> None:
    if folder := config.stash.get(scratch, None):
        shutil.rmtree(folder, ignore_errors=True)


def pytest_report_header(config: pytest.Config) -> str:
    return f"database: {config.getoption('database')}"


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """The order in which several workers take files; needs --no-loadscope-reorder."""
    if hasattr(config, "workerinput"):
        tests = Counter(item.path.name for item in items)
        ranks = {name: rank for rank, name in enumerate(LONGEST)}
        items.sort(key=lambda item: (ranks.get(item.path.name, len(ranks)), -tests[item.path.name]))


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> None:
    """Before the tests, for their time-outs would count it."""
    if session.config.getoption("nomigrations") or not any(map(touches_database, session.items)):
        return
    from django.db import connection
    from pytest_django.plugin import blocking_manager_key

    from tests import databases

    with session.config.stash[blocking_manager_key].unblock():
        databases.prepare(connection)


def pytest_runtest_setup(item: pytest.Item) -> None:
    present = item.config.getoption("database")
    for marker in item.iter_markers("database"):
        if present not in marker.args:
            pytest.skip(f"{OTHER_DATABASE} needs {' or '.join(marker.args)}")
    if present != "sqlite" and not touches_database(item):
        pytest.skip(f"{OTHER_DATABASE} touches none")


def touches_database(item: pytest.Item) -> bool:
    """pytest-django keeps all others from it."""
    by_fixture = DATABASE_FIXTURES & set(getattr(item, "fixturenames", ()))
    return bool(by_fixture) or item.get_closest_marker("django_db") is not None


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    report = yield
    return refused_in_ci(report)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_make_collect_report(collector: pytest.Collector) -> Iterator[None]:
    report = yield
    return refused_in_ci(report)


def refused_in_ci(report: pytest.TestReport | pytest.CollectReport):
    """On the build machine everything can be had, so a skipped part is a fault of the build."""
    if CI and is_skip(report) and not reason(report).startswith(OTHER_DATABASE):
        report.outcome = "failed"
        report.longrepr = f"Skipped, which CI=true doesn't allow: {reason(report)}"
    return report


def is_skip(report: pytest.TestReport | pytest.CollectReport) -> bool:
    return report.skipped and not hasattr(report, "wasxfail")


def reason(report: pytest.TestReport | pytest.CollectReport) -> str:
    text = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    return text.removeprefix("Skipped: ")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    reports = terminalreporter.stats.get("skipped", [])
    skipped = Counter(reason(report) for report in reports if is_skip(report))
    if skipped:
        terminalreporter.section("Skipped parts")
        for text, count in skipped.most_common():
            terminalreporter.line(f"{count:5}  {text}")
