"""scripts/make-env: the keys of a new site."""

import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parents[2]


@pytest.fixture
def site(tmp_path) -> Path:
    (tmp_path / "scripts").mkdir()
    shutil.copy(HERE / "scripts" / "make-env", tmp_path / "scripts")
    shutil.copy(HERE / ".env.example", tmp_path)
    return tmp_path


def make_env(site: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(site / "scripts" / "make-env")]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_keys_are_written_once_and_only_for_the_owner(site):
    assert make_env(site).returncode == 0
    first = (site / ".env").read_text()

    make_env(site)

    assert (site / ".env").read_text() == first
    assert "SECRET_KEY=" in first and "FIELD_ENCRYPTION_KEYS=" in first
    assert stat.S_IMODE((site / ".env").stat().st_mode) == 0o600


def test_what_stands_there_stays(site):
    (site / ".env").write_text("FIELD_ENCRYPTION_KEYS=mine\nDEBUG=true")

    make_env(site)

    kept, debug, fresh = (site / ".env").read_text().split()
    assert (kept, debug) == ("FIELD_ENCRYPTION_KEYS=mine", "DEBUG=true")
    assert fresh.startswith("SECRET_KEY=")


def test_the_published_example_key_is_refused(site):
    shutil.copy(site / ".env.example", site / ".env")

    made = make_env(site)

    assert made.returncode == 1
    assert "SECRET_KEY is still the published example" in made.stderr
