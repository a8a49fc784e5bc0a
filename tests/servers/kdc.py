"""A real MIT Kerberos realm for tests, on loopback: a KDC with the principals of a server and of people.

It runs from a temporary folder, as whoever runs the tests. Nothing of the machine's own Kerberos is
used: the environment that names another krb5.conf is the caller's, and only as long as it wants.
"""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from tests.servers.ports import free_port, listens, wait_for

SBIN = "/usr/sbin"
REALM = "SANDBOX.EXAMPLE"
SERVICE = "HTTP/localhost"
#: Name and password; ada@SANDBOX.EXAMPLE is ada@sandbox.example to the server.
PASSWORDS = {"ada": "secret-of-ada", "ben": "secret-of-ben", "stranger": "secret-of-a-stranger"}

CLIENT = """
[libdefaults]
  default_realm = {realm}
  dns_lookup_kdc = false
  dns_lookup_realm = false
  dns_canonicalize_hostname = false
  rdns = false
  udp_preference_limit = 1
  default_rcache_name = none:
[realms]
  {realm} = {{
    kdc = 127.0.0.1:{port}
  }}
[domain_realm]
  localhost = {realm}
"""

SERVER = """
[kdcdefaults]
  kdc_listen = ""
  kdc_tcp_listen = 127.0.0.1:{port}
[realms]
  {realm} = {{
    database_name = {folder}/principal
    key_stash_file = {folder}/stash
    acl_file = {folder}/acl
    max_life = 1h
    supported_enctypes = aes256-cts:normal
  }}
[logging]
  kdc = FILE:{folder}/kdc.log
"""


class Kdc:
    """Running between `start` and `stop`. `keytab` is the server's."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="serversync-kdc-"))
        self.port = free_port()
        self.keytab = self.folder / "server.keytab"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def environment(self) -> dict[str, str]:
        """Makes Kerberos know this realm and no other. With `ticket`'s cache as KRB5CCNAME it has a user."""
        return {
            "KRB5_CONFIG": str(self.folder / "krb5.conf"),
            "KRB5_KDC_PROFILE": str(self.folder / "kdc.conf"),
        }

    def start(self) -> None:
        values = {"realm": REALM, "port": self.port, "folder": self.folder}
        (self.folder / "krb5.conf").write_text(CLIENT.format(**values))
        (self.folder / "kdc.conf").write_text(SERVER.format(**values))
        try:
            self._run("kdb5_util", "create", "-s", "-W", "-r", REALM, "-P", "of-the-database")
            orders = [f"addprinc -pw {word} {name}" for name, word in PASSWORDS.items()]
            orders += [f"addprinc -randkey {SERVICE}", f"ktadd -k {self.keytab} {SERVICE}"]
            self._run("kadmin.local", "-r", REALM, input="\n".join(orders) + "\n")
            with (self.folder / "start.log").open("wb") as log:
                self._process = subprocess.Popen(
                    [program("krb5kdc"), "-n", "-r", REALM],
                    env={**os.environ, **self.environment},
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                )
            wait_for(lambda: listens(self.port), "the KDC's start")
        except BaseException:
            print(self.log())  # noqa: T201 - shown with the failing fixture
            self.stop()
            raise

    def stop(self) -> None:
        if self._process:
            self._process.terminate()
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None
        shutil.rmtree(self.folder, ignore_errors=True)

    def ticket(self, name: str) -> str:
        """Log in as a person; returns the cache with the ticket, for KRB5CCNAME."""
        cache = f"FILE:{self.folder}/tickets-of-{name}"
        self._run("kinit", "-c", cache, f"{name}@{REALM}", input=f"{PASSWORDS[name]}\n")
        return cache

    def log(self) -> str:
        names = [self.folder / "start.log", self.folder / "kdc.log"]
        return "".join(name.read_text(errors="replace") for name in names if name.exists())

    def _run(self, name: str, *arguments: str, input: str = "") -> None:
        done = subprocess.run(
            [program(name), *arguments],
            env={**os.environ, **self.environment},
            input=input,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        # kadmin.local ends with 0 whatever became of its orders.
        if done.returncode or "while" in done.stderr:
            raise RuntimeError(f"{name}: {done.stdout}{done.stderr}")


def program(name: str) -> str:
    return shutil.which(name) or f"{SBIN}/{name}"


def why_missing() -> str:
    """Why Kerberos can't be tested here, or "" if it can."""
    needed = ("krb5kdc", "kdb5_util", "kadmin.local", "kinit")
    if not all(Path(program(name)).exists() for name in needed):
        return "MIT Kerberos is not installed (scripts/install-test-servers installs it)"
    try:
        import gssapi  # noqa: F401
        import requests_gssapi  # noqa: F401
    except ImportError:
        return "gssapi is not installed (scripts/env kerberos compiles it)"
    return ""
