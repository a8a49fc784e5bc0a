"""What docs/deploy gives to a site, held to the code: commands, options, variables, paths, and the limits that
hang together."""

import re
import shlex
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.conf import settings
from django.core.management import get_commands, load_command_class
from gunicorn.config import Config

from serversync import supervisor
from serversync.monitoring import checks
from serversync.settings import BASE_DIR, STATIC_ROOT, env
from serversync.watch.supervision import LIMITS as WATCH_LIMITS

HERE = Path(__file__).resolve().parents[2]
DEPLOY = HERE / "docs" / "deploy"
UNITS = sorted((DEPLOY / "systemd").iterdir())
SERVICES = [path for path in UNITS if path.suffix == ".service"]
STAYING = [path for path in SERVICES if "migrate" not in path.name]
SITE = "/srv/serversync"
MB = 2**20
#: Beside what the workers may take: their supervisor, and the job that goes over the limit.
RESERVE = 512 * MB


def name_of(path: Path) -> str:
    return path.name


# -- reading them --------------------------------------------------------------------------------


@cache
def unit(path: Path) -> dict[str, dict[str, list[str]]]:
    """Section -> option -> its values, in their order: systemd lets options repeat, configparser doesn't."""
    found: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    section = ""
    for line in path.read_text().splitlines():
        if not line or line[0] in "#;":
            continue
        if heading := re.fullmatch(r"\[(\w+)\]", line):
            section = heading[1]
            continue
        option, equals, value = line.partition("=")
        assert section and equals and re.fullmatch(r"[A-Z]\w+", option), line
        found[section][option].append(value)
    return found


def one(path: Path, option: str, section: str = "Service") -> str:
    (value,) = unit(path)[section][option]
    return value


@cache
def compose() -> Any:
    return yaml.safe_load((DEPLOY / "compose.yaml").read_text())


@cache
def container() -> list[tuple[str, str]]:
    """Instruction and argument, continued lines joined."""
    text = re.sub(r"(?m)^#.*\n", "", (DEPLOY / "Containerfile").read_text())
    lines = re.sub(r"\\\n\s*", "", text).splitlines()
    return [(line.split(None, 1)[0], line.split(None, 1)[1]) for line in lines if line]


def of_container(instruction: str) -> list[str]:
    return [argument for each, argument in container() if each == instruction]


def command_lines() -> Iterator[tuple[str, list[str]]]:
    """Everything that any of the files runs with Python."""
    for path in SERVICES:
        for line in unit(path)["Service"]["ExecStart"]:
            program, *words = shlex.split(line)
            assert program == f"{SITE}/.venv/bin/python", line
            yield path.name, words
    for name, service in compose()["services"].items():
        command = service.get("command", [])
        lines = command[2].splitlines() if command[:2] == ["sh", "-ec"] else [shlex.join(command)]
        for line in filter(None, lines):
            program, *words = shlex.split(line)
            assert program == "python", line
            yield f"compose.yaml, {name}", words
    program, *words = yaml.safe_load(of_container("CMD")[0])
    assert program == "python"
    yield "Containerfile", words
    for argument in of_container("RUN"):
        for words in re.findall(r"python (manage\.py [^&]+)", argument):
            yield "Containerfile", shlex.split(words)


LINES = list(command_lines())


def bytes_of(size: str) -> int:
    number, letter = re.fullmatch(r"(\d+)([MmGg])", size).groups()  # type: ignore[union-attr]
    return int(number) * (MB if letter in "Mm" else 1024 * MB)


def seconds_of(time: str) -> int:
    return int(time.removesuffix("s"))


# -- commands ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("where", "words"), LINES, ids=[f"{where}: {' '.join(words)[:60]}" for where, words in LINES]
)
def test_what_is_run_is_there_and_takes_these_options(where, words):
    if words[0] == "manage.py":
        name, *options = words[1:]
        command = load_command_class(get_commands()[name], name)
        command.create_parser("manage.py", name).parse_args(options)
    else:
        assert words[:3] == ["-m", "gunicorn", "serversync.wsgi:application"]
        parsed = Config(usage="%(prog)s").parser().parse_args(words[2:])
        assert parsed.args == ["serversync.wsgi:application"]


@pytest.mark.parametrize(
    "lines",
    [
        [shlex.split(line)[2:] for line in unit(path)["Service"]["ExecStart"]]
        for path in SERVICES
        if "migrate" in path.name
    ]
    + [
        [
            shlex.split(line)[2:]
            for line in compose()["services"]["migrate"]["command"][2].splitlines()
        ]
    ],
    ids=["systemd", "compose"],
)
def test_an_upgrade_checks_migrates_and_sets_up_schedules_and_groups(lines):
    assert lines == [
        ["check", "--deploy"],
        ["migrate", "--noinput"],
        ["setup_schedules"],
        ["setup_groups"],
        ["check", "--database", "default"],
    ]


def test_the_console_is_run_alike_everywhere():
    served = {
        where: {word for word in words if not word.startswith("--bind=")}
        for where, words in LINES
        if "gunicorn" in words
    }

    assert len(served) == 2
    assert len({frozenset(words) for words in served.values()}) == 1


def test_addresses_of_pages_are_not_logged():
    """They hold what people search for, and codes of sign-ins on their way back."""
    assert not any("--access-logfile" in word for _where, words in LINES for word in words)
    log = re.search(r"log_format serversync '([^']*)'", (DEPLOY / "nginx.conf").read_text())
    assert log is not None
    assert not {"$request", "$request_uri", "$args", "$http_referer"} & set(
        re.findall(r"\$\w+", log[1])
    )


# -- variables -----------------------------------------------------------------------------------


def test_every_variable_is_one_that_the_settings_read():
    named = {
        value.partition("=")[0]
        for path in SERVICES
        for value in unit(path)["Service"]["Environment"]
    }
    named |= set(compose()["services"]["web"]["environment"])
    for argument in of_container("ENV"):
        named |= {word.partition("=")[0] for word in argument.split()}

    foreign = {"PATH", "PYTHONUNBUFFERED", "PYTHONDONTWRITEBYTECODE"}
    assert named - foreign <= set(env.scheme)


def test_the_page_names_variables_that_the_settings_read():
    text = (HERE / "docs" / "deploy.md").read_text()
    table = text.partition("| variable | on a real site |")[2].partition("\n\n")[0]
    named = [
        name
        for cell in re.findall(r"(?m)^\| (`[^|]*) \|", table)
        for name in re.findall(r"`(\w+)`", cell)
    ]

    assert {"SECRET_KEY", "FIELD_ENCRYPTION_KEYS", "DATABASE_URL"} <= set(named)
    assert set(named) <= set(env.scheme)


def test_no_file_holds_a_key_or_a_password():
    text = "\n".join(path.read_text() for path in DEPLOY.rglob("*") if path.is_file())

    assert not re.search(r"(SECRET_KEY|FIELD_ENCRYPTION_KEYS|PASSWORD)[=:] ?(?!only-)\S{16}", text)


def test_secrets_come_from_files():
    services = compose()["services"]
    assert set(compose()["secrets"]) == {"serversync.env", "database_password"}
    for name in ("migrate", "web", "worker", "watch"):
        assert services[name]["environment"]["ENV_FILE"] == "/run/secrets/serversync.env"
        assert services[name]["secrets"] == ["serversync.env"]
    assert services["database"]["environment"]["POSTGRES_PASSWORD_FILE"].startswith("/run/secrets/")


# -- units ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", SERVICES, ids=name_of)
def test_a_service_can_write_its_state_alone(path):
    wanted = {
        "User": "serversync",
        "StateDirectory": "serversync",
        "UMask": "0077",
        "NoNewPrivileges": "yes",
        "ProtectSystem": "strict",
        "ProtectHome": "yes",
        "PrivateTmp": "yes",
        "CapabilityBoundingSet": "",
    }
    assert {option: one(path, option) for option in wanted} == wanted
    assert not unit(path)["Service"]["ReadWritePaths"]


@pytest.mark.parametrize("path", STAYING, ids=name_of)
def test_a_service_that_stays_is_started_again_however_long_the_database_is_away(path):
    assert one(path, "Restart") == "always"
    assert one(path, "StartLimitIntervalSec", "Unit") == "0"
    assert one(path, "PartOf", "Unit") == "serversync.target"


@pytest.mark.parametrize("path", STAYING, ids=name_of)
def test_only_the_first_process_is_told_to_stop(path):
    assert one(path, "KillMode") == "mixed"


def test_a_worker_has_more_time_to_stop_than_its_jobs():
    (path,) = [path for path in SERVICES if "worker" in path.name]
    (words,) = [words for where, words in LINES if where == path.name]
    told = float(words[-1].removeprefix("--stop-seconds="))

    assert told == supervisor.Limits().stop
    assert seconds_of(one(path, "TimeoutStopSec")) > told
    assert seconds_of(compose()["services"]["worker"]["stop_grace_period"]) > told


def test_watch_and_console_have_more_time_to_stop_than_they_take():
    graceful = next(
        float(word.partition("=")[2])
        for _where, words in LINES
        for word in words
        if word.startswith("--graceful-timeout=")
    )
    for name, takes in (("watch", WATCH_LIMITS.stop), ("web", graceful)):
        assert (
            seconds_of(one(DEPLOY / "systemd" / f"serversync-{name}.service", "TimeoutStopSec"))
            > takes
        )
        assert seconds_of(compose()["services"][name]["stop_grace_period"]) > takes


def test_a_worker_has_the_memory_that_its_processes_may_take():
    path = DEPLOY / "systemd" / "serversync-worker@.service"
    workers, each = env.scheme["QUEUE_WORKERS"][1], env.scheme["QUEUE_WORKER_MAX_MB"][1]
    needed = workers * each * MB + RESERVE

    assert bytes_of(one(path, "MemoryHigh")) >= needed
    assert bytes_of(one(path, "MemoryMax")) > bytes_of(one(path, "MemoryHigh"))
    assert bytes_of(compose()["services"]["worker"]["mem_limit"]) > needed


def test_watch_has_a_file_for_each_mailbox():
    path = DEPLOY / "systemd" / "serversync-watch.service"
    (words,) = [words for where, words in LINES if where == path.name]
    most = int(words[-1].removeprefix("--most="))

    assert int(one(path, "LimitNOFILE")) > most
    assert compose()["services"]["watch"]["ulimits"]["nofile"] > most


def test_migrating_stops_what_runs_and_is_no_part_of_a_start():
    path = DEPLOY / "systemd" / "serversync-migrate.service"

    assert one(path, "Type") == "oneshot"
    assert one(path, "Conflicts", "Unit") == "serversync.target"
    assert "Install" not in unit(path)
    for other in STAYING:
        assert path.name in one(other, "After", "Unit").split()


# -- containers ----------------------------------------------------------------------------------


def test_what_is_copied_into_the_image_is_there():
    copied = [
        word
        for argument in of_container("COPY")
        if not argument.startswith("--from")
        for word in argument.split()[:-1]
    ]

    assert [path for path in copied if not (HERE / path).exists()] == []
    rooms = {path.parent.name for path in HERE.glob("*/apps.py")}
    assert rooms | {"manage.py", "static", "templates", "locale"} <= set(copied)


def test_the_image_installs_what_is_locked_by_its_hash():
    (line,) = [argument for argument in of_container("RUN") if "pip install" in argument]

    assert "--require-hashes" in line and "-r /tmp/run.txt" in line
    assert "requirements/run.txt /tmp/run.txt" in of_container("COPY")


def test_the_image_is_run_by_nobody_that_matters():
    assert of_container("USER") == ["10001:10001"]
    assert container()[-1][0] == "CMD" and container().index(("USER", "10001:10001")) > max(
        index for index, (instruction, _argument) in enumerate(container()) if instruction == "RUN"
    )


def test_the_image_asks_for_a_check_that_there_is():
    (line,) = of_container("HEALTHCHECK")
    address = re.search(r"http://127\.0\.0\.1:8000/healthz\?check=(\w+)", line)

    assert address is not None and address[1] in checks.NAMES
    assert "127.0.0.1" in compose()["services"]["web"]["environment"]["ALLOWED_HOSTS"].split(",")
    # Asked over plain HTTP, also where everything else is redirected.
    assert r"^healthz$" in settings.SECURE_REDIRECT_EXEMPT


def test_containers_reach_no_further_than_they_must():
    services = compose()["services"]

    assert {name for name, service in services.items() if "ports" in service} == {"web"}
    assert all(port.startswith("127.0.0.1:") for port in services["web"]["ports"])
    for name in ("migrate", "web", "worker", "watch"):
        assert services[name]["read_only"] is True
        assert services[name]["cap_drop"] == ["ALL"]
        assert services[name]["init"] is True
        assert "build" not in services[name] and services[name]["pull_policy"] == "never"


def test_each_container_has_a_host_name_of_its_own():
    """By which leases of the dead are told from those of the living."""
    for service in compose()["services"].values():
        assert not {"hostname", "network_mode", "container_name", "pid"} & set(service)


def test_nothing_starts_before_the_database_is_migrated():
    services = compose()["services"]
    assert services["migrate"]["depends_on"] == {"database": {"condition": "service_healthy"}}
    assert "healthcheck" in services["database"]
    for name in ("web", "worker", "watch"):
        wanted = {"migrate": {"condition": "service_completed_successfully"}}
        assert services[name]["depends_on"] == wanted


def test_volumes_and_secrets_are_declared():
    named = {
        volume.partition(":")[0]
        for service in compose()["services"].values()
        for volume in service.get("volumes", [])
    }
    secrets = {
        name for service in compose()["services"].values() for name in service.get("secrets", [])
    }

    assert named == set(compose()["volumes"])
    assert secrets == set(compose()["secrets"])


# -- the proxy -----------------------------------------------------------------------------------


def test_the_proxy_sets_what_the_console_believes():
    text = (DEPLOY / "nginx-proxy.conf").read_text()
    passed = dict(re.findall(r"(?m)^proxy_set_header (\S+) (\S+);", text))

    assert passed["X-Forwarded-Proto"] == "$scheme"
    assert passed["X-Forwarded-For"] == "$remote_addr"
    assert passed["Host"] == "$host"


def test_health_and_numbers_are_for_the_inside():
    text = (DEPLOY / "nginx.conf").read_text()
    for page in ("healthz", "metrics"):
        block = re.search(rf"location = /{page} \{{([^}}]*)\}}", text)
        assert block is not None and block[1].strip().startswith("if ($inside = 0) { return 404;")


def test_the_proxy_lets_the_largest_attachment_pass():
    from mailboxes.models import Organization

    field = Organization._meta.get_field("max_upload_file_size_kb")
    most = max(v.limit_value for v in field.validators if v.code == "max_value")
    body = re.search(r"client_max_body_size (\d+m);", (DEPLOY / "nginx.conf").read_text())

    assert body is not None and bytes_of(body[1]) > most * 1024


def test_static_files_lie_where_the_proxy_looks():
    folder = STATIC_ROOT.relative_to(BASE_DIR)

    assert f"alias {SITE}/{folder}/;" in (DEPLOY / "nginx.conf").read_text()


# -- the page ------------------------------------------------------------------------------------


def test_the_page_names_every_file():
    text = (HERE / "docs" / "deploy.md").read_text()
    links = set(re.findall(r"\]\(deploy/([^)#]+)\)", text))
    files = {
        str(path.relative_to(DEPLOY))
        for path in DEPLOY.rglob("*")
        if path.is_file() and path.suffix not in (".md", ".dockerignore")
    }

    assert files <= links
