"""The site's settings as the suite runs them; tests/plugin.py has set the environment before."""

import os
from pathlib import Path

from serversync.settings import *  # noqa: F403
from serversync.settings import STORAGES

# A thousandth of the time, where no test is about the strength of a password.
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
# The manifest needs collectstatic; the live server finds the files where they lie.
STORAGES = STORAGES | {
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}
}
STATIC_ROOT = Path(os.environ["TESTS_DIR"]) / "static"
STATIC_ROOT.mkdir(exist_ok=True)
