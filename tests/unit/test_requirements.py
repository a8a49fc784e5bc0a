"""The lock files: complete, of one mind, and silent about where packages come from."""

import itertools
import re
from pathlib import Path

import pytest

from serversync.settings import env
from tests.plugin import settings_variables

HERE = Path(__file__).resolve().parents[2]
GROUPS = ["run", "demo", "test"]


def locked(group: str) -> dict[str, str]:
    text = (HERE / "requirements" / f"{group}.txt").read_text()
    return dict(re.findall(r"(?m)^([\w.-]+)==(\S+)", text))


@pytest.mark.parametrize(
    "path", sorted((HERE / "requirements").glob("*.txt")), ids=lambda p: p.stem
)
def test_every_line_is_a_pin_or_its_hash(path):
    pin = re.compile(r"[\w.\[\]-]+==\S+( ; .+)? \\|    --hash=sha256:[0-9a-f]{64}( \\)?")

    strays = [line for line in path.read_text().splitlines() if not pin.fullmatch(line)]

    assert strays == []


@pytest.mark.parametrize(("smaller", "larger"), list(itertools.pairwise(GROUPS)))
def test_each_group_holds_the_one_before_it_in_the_same_versions(smaller, larger):
    assert locked(smaller).items() <= locked(larger).items()


def test_kerberos_is_added_to_the_same_versions():
    kerberos = locked("kerberos")
    assert locked("run").items() <= kerberos.items()
    assert {"gssapi", "requests-gssapi"} <= kerberos.keys()
    shared = kerberos.keys() & locked("test").keys()
    assert {name: kerberos[name] for name in shared} == {
        name: locked("test")[name] for name in shared
    }


def test_the_example_names_every_variable_that_the_settings_read():
    # ENV_FILE says where such a file lies, so it can't stand in one.
    assert set(settings_variables()) == set(env.scheme) - {"ENV_FILE"}
