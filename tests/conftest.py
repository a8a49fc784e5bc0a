"""What every test finds: the site's models on the database that `--database` chose."""

import os
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
