"""A real Postfix for tests: submission with STARTTLS and with implicit TLS, on loopback.

It needs root (Postfix refuses anything else), and nothing of the machine's own configuration. Users
and passwords are Dovecot's, and so are the folders into which it delivers example.com.
"""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from tests.servers.certificates import Authority, ServerCertificate
from tests.servers.dovecot import PASSWORDS, Dovecot
from tests.servers.ports import free_port, listens, wait_for

POSTFIX = shutil.which("postfix") or "/usr/sbin/postfix"
POSTCONF = shutil.which("postconf") or "/usr/sbin/postconf"

SIZE_LIMIT = 40_000_000
RECIPIENT_LIMIT = 100  # of the plain-spoken port
DEFERRED = "later@example.com"  # 450 to everybody
INTERNATIONAL = "jürgen@example.com"  # delivered to Dora, for Dovecot takes no such login
OUTSIDE = "outside.example"  # its mail lies in Dovecot's folder of this name, whoever it is for

MAIN = """
compatibility_level = 3.6
queue_directory = {folder}/queue
data_directory = {folder}/data
maillog_file = {folder}/postfix.log
maillog_file_prefixes = {folder}
mail_owner = postfix
setgid_group = postdrop
myhostname = mail.example.com
mydestination =
mynetworks =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
alias_maps =
alias_database =
biff = no
message_size_limit = {size_limit}
mailbox_size_limit = 0
virtual_mailbox_limit = 0
virtual_mailbox_domains = example.com {outside}
virtual_mailbox_base = {dovecot}/mail
virtual_mailbox_maps = texthash:{folder}/mailboxes
virtual_minimum_uid = 1
virtual_uid_maps = static:{uid}
virtual_gid_maps = static:{gid}
virtual_transport = virtual
smtpd_tls_cert_file = {folder}/server.crt
smtpd_tls_key_file = {folder}/server.key
smtpd_tls_security_level = may
smtpd_tls_auth_only = yes
smtpd_sasl_auth_enable = yes
smtpd_sasl_type = dovecot
smtpd_sasl_path = inet:127.0.0.1:{auth}
smtpd_relay_restrictions = permit_sasl_authenticated, reject_unauth_destination
smtpd_recipient_restrictions = check_recipient_access texthash:{folder}/recipients
smtpd_client_restrictions = permit_sasl_authenticated, reject
smtpd_delay_reject = yes
# A test that provokes many refusals is not an attack.
smtpd_error_sleep_time = 0
smtpd_soft_error_limit = 1000
smtpd_hard_error_limit = 1000
smtputf8_enable = yes
"""

MASTER = """
127.0.0.1:{starttls} inet n - n - - smtpd
127.0.0.1:{implicit} inet n - n - - smtpd
  -o smtpd_tls_wrappermode=yes
127.0.0.1:{plain_spoken} inet n - n - - smtpd
  -o smtpd_recipient_limit={recipient_limit}
  -o smtpd_discard_ehlo_keywords=smtputf8,dsn,silent-discard
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
proxymap unix - - n - - proxymap
error unix - - n - - error
discard unix - - n - - discard
virtual unix - n n - - virtual
tlsmgr unix - - n 1000? 1 tlsmgr
anvil unix - - n - 1 anvil
postlog unix-dgram n - n - 1 postlogd
"""


class Postfix:
    """Running between `start` and `stop`."""

    def __init__(
        self, dovecot: Dovecot, authority: Authority, certificate: ServerCertificate
    ) -> None:
        self.host = "localhost"
        self.ca_pem = authority.pem
        self.starttls_port = free_port()
        self.implicit_port = free_port()
        self.plain_spoken_port = (
            free_port()
        )  # STARTTLS, few recipients at once, no SMTPUTF8, no DSN
        # Not pytest's folder: Postfix gives up being root for most of its work.
        self.folder = Path(tempfile.mkdtemp(prefix="serversync-postfix-"))
        self._dovecot = dovecot
        self._certificate = certificate

    def start(self) -> None:
        self.folder.chmod(0o755)
        for name in ("queue", "data"):
            (self.folder / name).mkdir()
        shutil.chown(self.folder / "data", "postfix")
        shutil.copy(self._certificate.certificate, self.folder / "server.crt")
        shutil.copy(self._certificate.key, self.folder / "server.key")
        (self.folder / "mailboxes").write_text(
            "".join(f"{user} {user}/\n" for user in [*PASSWORDS, DEFERRED])
            + f"{INTERNATIONAL} dora@example.com/\n@{OUTSIDE} {OUTSIDE}/\n"
        )
        (self.folder / "recipients").write_text(f"{DEFERRED} 450 4.2.0 come back later\n")
        (self.folder / "main.cf").write_text(
            MAIN.format(
                folder=self.folder,
                dovecot=self._dovecot.folder,
                uid=self._dovecot.account.pw_uid,
                gid=self._dovecot.account.pw_gid,
                auth=self._dovecot.ports.auth,
                size_limit=SIZE_LIMIT,
                outside=OUTSIDE,
            )
        )
        (self.folder / "master.cf").write_text(
            MASTER.format(
                starttls=self.starttls_port,
                implicit=self.implicit_port,
                plain_spoken=self.plain_spoken_port,
                recipient_limit=RECIPIENT_LIMIT,
            )
        )
        started = self._command("start")
        try:
            if started.returncode:
                raise RuntimeError(f"Postfix did not start: {started.stderr}")
            wait_for(self._is_ready, "Postfix's start")
        except BaseException:
            print(self.log())  # noqa: T201 - shown with the failing fixture
            self.stop()
            raise

    def stop(self) -> None:
        self._command("stop")
        shutil.rmtree(self.folder, ignore_errors=True)

    def log(self) -> str:
        log = self.folder / "postfix.log"
        return log.read_text(errors="replace") if log.exists() else ""

    def _command(self, word: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [POSTFIX, "-c", str(self.folder), word],
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )

    def _is_ready(self) -> bool:
        ports = (self.starttls_port, self.implicit_port, self.plain_spoken_port)
        return all(listens(port) for port in ports)


def why_missing() -> str:
    """Why Postfix can't be tested here, or "" if it can."""
    if not Path(POSTFIX).exists():
        return "Postfix is not installed (scripts/install-test-servers installs it)"
    if os.geteuid() != 0:
        return "Postfix starts only for root, which these tests don't run as"
    return ""
