"""What every test finds: the site's models on the database that `--database` chose."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.conf import settings


@pytest.fixture(scope="session")
def django_db_modify_db_settings(django_db_modify_db_settings_parallel_suffix) -> None:
    """SQLite under test is a file, as on a site: in memory it has neither WAL nor its locks."""
    database = settings.DATABASES["default"]
    if database["ENGINE"].endswith("sqlite3"):
        folder = Path(os.environ["TESTS_DIR"])
        database.setdefault("TEST", {})["NAME"] = str(folder / "test.sqlite3")


@pytest.fixture(scope="session")
def django_db_setup(
    django_test_environment,
    django_db_blocker,
    django_db_use_migrations,
    django_db_modify_db_settings,
) -> Iterator[None]:
    """Instead of pytest-django's, which migrates an empty database in each process. With --no-migrations
    it is made of the models as they are now."""
    from django.db import connection

    from tests import databases

    former = connection.settings_dict["NAME"]
    with django_db_blocker.unblock():
        if django_db_use_migrations:
            databases.create(connection)
        else:
            connection.settings_dict["TEST"]["MIGRATE"] = False
            connection.creation.create_test_db(verbosity=0, autoclobber=True, serialize=False)
    yield
    with django_db_blocker.unblock():
        connection.creation.destroy_test_db(former, verbosity=0)
