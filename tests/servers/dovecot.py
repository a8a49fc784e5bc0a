"""A real Dovecot for tests: IMAP and POP3, with TLS, STARTTLS and plain ports, on loopback.

It runs from a temporary folder as an unprivileged user (`nobody` if the tests run as root), so that
it needs neither rights nor a configuration of the machine.
"""

import grp
import itertools
import os
import pwd
import shutil
import subprocess
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.servers.certificates import Authority, ServerCertificate
from tests.servers.ports import free_port, listens, wait_for

DOVECOT = shutil.which("dovecot") or "/usr/sbin/dovecot"

# User name and password. Each test should take the user that no other test of its file takes.
PASSWORDS = {
    "ada@example.com": "correct horse battery",
    "ben@example.com": 'quo"te\\back slash',
    "cleo@example.com": "pässwörd-ünïcode",
    "dora@example.com": "secret-of-dora",
}

# The folder of special use \\Sent, for those who have it: nobody is given one.
SENT_ITEMS = "Postausgang"

CONFIGURATION = r"""
protocols = imap pop3
listen = 127.0.0.1
base_dir = {folder}/run
state_dir = {folder}/state
log_path = {folder}/dovecot.log
auth_verbose = yes
default_internal_user = {user}
default_internal_group = {group}
default_login_user = {user}
first_valid_uid = 1
first_valid_gid = 1
disable_plaintext_auth = no
ssl = yes
ssl_cert = <{certificate}
ssl_key = <{key}
auth_mechanisms = plain login {token_mechanisms}
# No waiting after a wrong password, neither at once nor for the next ones from the same address.
auth_failure_delay = 0
mail_location = maildir:{folder}/mail/%u
mail_fsync = never
# A user may hold many connections: the tests share one address.
mail_max_userip_connections = 100
namespace inbox {{
  inbox = yes
  separator = /
  mailbox "{sent_items}" {{
    special_use = \Sent
  }}
}}
{token_passdb}
passdb {{
  driver = passwd-file
  mechanisms = plain login
  args = scheme=PLAIN username_format=%u {folder}/users
}}
userdb {{
  driver = static
  args = uid={user} gid={group} home={folder}/home/%u
}}
service anvil {{
  chroot =
  unix_listener anvil-auth-penalty {{
    mode = 0
  }}
}}
service imap-login {{
  chroot =
  inet_listener imap {{
    port = {imap}
  }}
  inet_listener imaps {{
    port = {imaps}
    ssl = yes
  }}
}}
service pop3-login {{
  chroot =
  inet_listener pop3 {{
    port = {pop3}
  }}
  inet_listener pop3s {{
    port = {pop3s}
    ssl = yes
  }}
}}
service auth {{
  inet_listener {{
    address = 127.0.0.1
    port = {auth}
  }}
}}
service stats {{
  chroot =
}}
"""


# Dovecot asks the token authority about each token (RFC 7662).
TOKEN_PASSDB = """
passdb {{
  driver = oauth2
  mechanisms = oauthbearer xoauth2
  args = {folder}/oauth2.conf
}}
"""
TOKEN_SETTINGS = """
introspection_mode = post
introspection_url = {url}
username_attribute = username
active_attribute = active
active_value = true
tls_ca_cert_file = {folder}/authority.crt
"""


@dataclass(frozen=True)
class Introspection:
    """Where Dovecot asks about tokens, and who vouches for that place."""

    url: str
    ca_pem: str


@dataclass
class Ports:
    imap: int = field(default_factory=free_port)
    imaps: int = field(default_factory=free_port)
    pop3: int = field(default_factory=free_port)
    pop3s: int = field(default_factory=free_port)
    auth: int = field(default_factory=free_port)


class Dovecot:
    """Running between `start` and `stop`. `ports.imap` and `ports.pop3` offer STARTTLS and STLS."""

    def __init__(
        self,
        authority: Authority,
        certificate: ServerCertificate,
        introspection: Introspection | None = None,
    ) -> None:
        self.host = "localhost"
        self.ca_pem = authority.pem
        self.ports = Ports()
        # Not pytest's folder: only its owner may enter that one, and we give up being root.
        self.folder = Path(tempfile.mkdtemp(prefix="serversync-dovecot-"))
        self.account = pwd.getpwnam("nobody") if os.geteuid() == 0 else pwd.getpwuid(os.geteuid())
        self._certificate = certificate
        self._introspection = introspection
        self._process: subprocess.Popen[bytes] | None = None
        self._deliveries = itertools.count(1)

    # -- running -------------------------------------------------------------------------------

    def start(self) -> None:
        for name in ("run", "state", "mail", "home"):
            (self.folder / name).mkdir()
        users = "".join(f"{user}:{password}\n" for user, password in PASSWORDS.items())
        (self.folder / "users").write_text(users)
        for source, name in (
            (self._certificate.certificate, "server.crt"),
            (self._certificate.key, "server.key"),
        ):
            shutil.copy(source, self.folder / name)
        if self._introspection:
            (self.folder / "authority.crt").write_text(self._introspection.ca_pem)
            (self.folder / "oauth2.conf").write_text(
                TOKEN_SETTINGS.format(url=self._introspection.url, folder=self.folder)
            )
        configuration = self.folder / "dovecot.conf"
        configuration.write_text(self._configuration())
        self._own_all()
        as_root = os.geteuid() == 0
        with (self.folder / "start.log").open("wb") as log:
            self._process = subprocess.Popen(
                [DOVECOT, "-F", "-c", str(configuration)],
                user=self.account.pw_uid if as_root else None,
                group=self.account.pw_gid if as_root else None,
                extra_groups=[] if as_root else None,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=log,
            )
        try:
            wait_for(self._is_ready, "Dovecot's start")
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

    def log(self) -> str:
        names = [self.folder / "start.log", self.folder / "dovecot.log"]
        return "".join(name.read_text(errors="replace") for name in names if name.exists())

    # -- mail ----------------------------------------------------------------------------------

    def deliver(
        self, user: str, mime: bytes, folder: str = "INBOX", received_at: float | None = None
    ) -> None:
        """Put a message into a user's folder as a delivery agent does. The oldest first: Dovecot
        numbers new messages in the order of their file names."""
        maildir = self.maildir(user, folder)
        self._make_maildir(user, maildir)
        name = f"{int(time.time())}.M{next(self._deliveries):09}.test"
        draft = maildir / "tmp" / name
        draft.write_bytes(mime)
        self._own(draft)
        if received_at is not None:
            os.utime(draft, (received_at, received_at))
        draft.rename(maildir / "new" / name)

    def add_folder(self, user: str, folder: str) -> None:
        self._make_maildir(user, self.maildir(user, folder))

    def empty(self, user: str) -> None:
        """No mail, no folders and no memory of either."""
        shutil.rmtree(self.folder / "mail" / user, ignore_errors=True)

    def reset_keys(self, user: str, folder: str = "INBOX") -> None:
        """Another UIDVALIDITY: what happens when an index is lost."""
        uid_list = self.maildir(user, folder) / "dovecot-uidlist"
        for name in [uid_list, *self.maildir(user, folder).glob("dovecot.index*")]:
            with suppress(FileNotFoundError):
                name.unlink()
        uid_list.write_text(f"3 V{int(time.time()) + 7} N1 G0123456789abcdef0123456789abcdef\n")
        self._own(uid_list)

    def stored(self, user: str, folder: str = "INBOX") -> list[bytes]:
        """What lies in the user's folder now, read from the disk."""
        maildir = self.maildir(user, folder)
        files = [*maildir.glob("new/*"), *maildir.glob("cur/*")]
        return [each.read_bytes() for each in sorted(files, key=lambda each: each.name)]

    def maildir(self, user: str, folder: str = "INBOX") -> Path:
        root = self.folder / "mail" / user
        return root if folder == "INBOX" else root / f".{folder.replace('/', '.')}"

    # -- inside --------------------------------------------------------------------------------

    def _configuration(self) -> str:
        return CONFIGURATION.format(
            folder=self.folder,
            user=self.account.pw_name,
            group=grp.getgrgid(self.account.pw_gid).gr_name,
            certificate=self.folder / "server.crt",
            key=self.folder / "server.key",
            sent_items=SENT_ITEMS,
            token_mechanisms="oauthbearer xoauth2" if self._introspection else "",
            token_passdb=(TOKEN_PASSDB.format(folder=self.folder) if self._introspection else ""),
            **vars(self.ports),
        )

    def _is_ready(self) -> bool:
        if self._process is None or self._process.poll() is not None:
            raise RuntimeError("Dovecot ended while starting")
        return all(listens(port) for port in vars(self.ports).values())

    def _make_maildir(self, user: str, maildir: Path) -> None:
        root = self.folder / "mail" / user
        for each in (root, maildir, *(maildir / name for name in ("tmp", "new", "cur"))):
            if not each.exists():
                each.mkdir(mode=0o700)
                self._own(each)

    def _own(self, path: Path) -> None:
        if os.geteuid() == 0:
            os.chown(path, self.account.pw_uid, self.account.pw_gid)

    def _own_all(self) -> None:
        self._own(self.folder)
        for path in self.folder.rglob("*"):
            self._own(path)


def why_missing() -> str:
    """Why Dovecot can't be tested here, or "" if it can."""
    if not Path(DOVECOT).exists():
        return "Dovecot is not installed (scripts/install-test-servers installs it)"
    version = subprocess.run([DOVECOT, "--version"], capture_output=True, text=True, check=False)
    if not version.stdout.startswith("2.3."):
        return f"only Dovecot 2.3 is configured for here, not {version.stdout.split(' ')[0]!r}"
    return ""
