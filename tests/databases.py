"""The database under test, copied from one that the migrations have made.

To migrate takes longer than most files of tests, and every worker of every run wants a database of its own. So
the first one migrates an empty database and keeps it as a template, under a name that says what it was made
from: the migrations of all applications and the models. SQLite's lie in var/test-databases, PostgreSQL's in
the server.
"""

import fcntl
import hashlib
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

import django
from django.apps import apps
from django.conf import settings
from django.core.management import call_command
from django.db import DatabaseError
from django.db.backends.base.base import BaseDatabaseWrapper

FOLDER = settings.BASE_DIR / "var" / "test-databases"
PREFIX = "serversync_tests_"
SOURCES = (
    "migrations/*.py",
    "models.py",
    "models/*.py",
    "fields.py",
    "choices.py",
    "triggers.py",
    "history/*.py",
    "apps.py",
)
UNUSED_DAYS = 2


def prepare(connection: BaseDatabaseWrapper) -> None:
    """See to it that there is a template. Takes as long as all migrations, so no test may wait for it."""
    former = connection.settings_dict["NAME"]
    with locked():
        make = make_file if connection.vendor == "sqlite" else make_template
        make(connection)
    use(connection, former)


def create(connection: BaseDatabaseWrapper) -> None:
    """The test database, which `connection` speaks to from then on."""
    name = connection.creation._get_test_db_name()
    with locked():
        copy = copy_file if connection.vendor == "sqlite" else copy_database
        copy(connection, name)
    use(connection, name)


@cache
def fingerprint() -> str:
    """Of everything that a migrated database depends on."""
    made = hashlib.sha256(f"{django.__version__} {settings.INSTALLED_APPS}".encode())
    for app in apps.get_app_configs():
        for pattern in SOURCES:
            for path in sorted(Path(app.path).glob(pattern)):
                made.update(f"{path.name} ".encode() + path.read_bytes())
    return made.hexdigest()[:16]


@contextmanager
def locked() -> Iterator[None]:
    """One migrates, the others wait for it."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    with (FOLDER / f"{fingerprint()}.lock").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def use(connection: BaseDatabaseWrapper, name: str) -> None:
    connection.close()
    settings.DATABASES[connection.alias]["NAME"] = connection.settings_dict["NAME"] = name


def migrate(connection: BaseDatabaseWrapper, name: str) -> None:
    use(connection, name)
    call_command("migrate", verbosity=0, interactive=False, database=connection.alias)
    connection.close()


# -- SQLite


def template_file() -> Path:
    return FOLDER / f"{fingerprint()}.sqlite3"


def make_file(connection: BaseDatabaseWrapper) -> None:
    if template_file().exists():
        return
    remove_unused_files()
    unfinished = template_file().with_suffix(".unfinished")
    unfinished.unlink(missing_ok=True)
    migrate(connection, str(unfinished))  # closing the last connection empties its log into it
    unfinished.rename(template_file())


def copy_file(connection: BaseDatabaseWrapper, name: str) -> None:
    template_file().touch()
    shutil.copyfile(template_file(), name)


def remove_unused_files() -> None:
    for path in FOLDER.iterdir():
        with suppress(FileNotFoundError):
            if path.stat().st_mtime < time.time() - UNUSED_DAYS * 86_400:
                path.unlink()


# -- PostgreSQL


def template_name() -> str:
    return PREFIX + fingerprint()


def make_template(connection: BaseDatabaseWrapper) -> None:
    """Under its name only when it is whole. What was made from other migrations goes."""
    quoted, unfinished = connection.ops.quote_name, f"{template_name()}_unfinished"
    with connection._nodb_cursor() as cursor:
        cursor.execute("SELECT datname FROM pg_database WHERE datname LIKE %s", [f"{PREFIX}%"])
        present = {row[0] for row in cursor.fetchall()}
        if template_name() in present:
            return
        for former in present:
            with suppress(DatabaseError):  # somebody copies it
                cursor.execute(f"DROP DATABASE {quoted(former)}")
        cursor.execute(f"CREATE DATABASE {quoted(unfinished)}")
        migrate(connection, unfinished)
        cursor.execute(f"ALTER DATABASE {quoted(unfinished)} RENAME TO {quoted(template_name())}")


def copy_database(connection: BaseDatabaseWrapper, name: str) -> None:
    quoted = connection.ops.quote_name
    with connection._nodb_cursor() as cursor:
        cursor.execute(f"DROP DATABASE IF EXISTS {quoted(name)}")
        cursor.execute(f"CREATE DATABASE {quoted(name)} TEMPLATE {quoted(template_name())}")
