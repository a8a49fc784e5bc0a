"""DavMail for tests: a gateway that speaks EWS to an Exchange server, and IMAP and SMTP to whoever connects.

Written by others, in another language, it is a second opinion on a server. It runs from a temporary
folder and trusts no authority but the one it is given.
"""

import shutil
import subprocess
import tempfile
from pathlib import Path

from tests.servers.ports import free_port, listens, wait_for

JAVA = "java"
KEYTOOL = "keytool"
JAR = Path("/usr/share/davmail/davmail.jar")
# Debian keeps what the gateway is linked to beside it, and not all of it in the jar's own list.
LIBRARIES = Path("/usr/share/java")
TRUST_PASSWORD = "of-no-importance"

SETTINGS = """
davmail.server=true
davmail.mode=EWS
davmail.url={url}
davmail.bindAddress=127.0.0.1
davmail.allowRemote=false
davmail.imapPort={imap}
davmail.smtpPort={smtp}
davmail.popPort=
davmail.caldavPort=
davmail.ldapPort=
davmail.enableProxy=false
davmail.useSystemProxies=false
davmail.disableUpdateCheck=true
davmail.enableKeepAlive=false
davmail.enableKerberos=false
davmail.smtpSaveInSent=true
davmail.imapAutoExpunge=true
davmail.ssl.nosecureimap=true
davmail.ssl.nosecuresmtp=true
davmail.oauth.tokenFilePath={folder}/tokens.properties
davmail.logFilePath={folder}/davmail.log
davmail.logFileSize=0
log4j.rootLogger=WARN
log4j.logger.davmail=DEBUG
log4j.logger.httpclient.wire=WARN
log4j.logger.org.apache.http.wire=WARN
"""


class DavMail:
    """Running between `start` and `stop`. `url`: of the web service; `ca_pem`: who signed its certificate."""

    host = "127.0.0.1"

    def __init__(self, url: str, ca_pem: str) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="serversync-davmail-"))
        self.imap_port = free_port()
        self.smtp_port = free_port()
        self._url = url
        self._ca_pem = ca_pem
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        trust = self._trust()
        settings = self.folder / "davmail.properties"
        settings.write_text(
            SETTINGS.format(
                url=self._url, imap=self.imap_port, smtp=self.smtp_port, folder=self.folder
            )
        )
        options = [
            f"-Djavax.net.ssl.trustStore={trust}",
            f"-Djavax.net.ssl.trustStorePassword={TRUST_PASSWORD}",
            f"-Duser.home={self.folder}",
            "-Djava.awt.headless=true",
            # A short life: compile little, keep little.
            "-XX:TieredStopAtLevel=1",
            "-XX:+UseSerialGC",
            "-Xmx256m",
        ]
        with (self.folder / "start.log").open("wb") as log:
            self._process = subprocess.Popen(
                [
                    JAVA,
                    *options,
                    "-cp",
                    f"{JAR}:{LIBRARIES}/*",
                    "davmail.DavGateway",
                    str(settings),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        try:
            wait_for(self._is_ready, "DavMail's start", seconds=60)
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
        names = [self.folder / "start.log", self.folder / "davmail.log"]
        return "".join(name.read_text(errors="replace") for name in names if name.exists())

    def _trust(self) -> Path:
        """Java's own kind of list of authorities, with one in it."""
        pem, store = self.folder / "authority.pem", self.folder / "trust.p12"
        pem.write_text(self._ca_pem)
        command = [KEYTOOL, "-importcert", "-noprompt", "-alias", "sandbox", "-file", str(pem)]
        command += ["-keystore", str(store), "-storetype", "PKCS12", "-storepass", TRUST_PASSWORD]
        subprocess.run(command, check=True, capture_output=True, timeout=60)
        return store

    def _is_ready(self) -> bool:
        if self._process is None or self._process.poll() is not None:
            raise RuntimeError("DavMail ended at once")
        return listens(self.imap_port) and listens(self.smtp_port)


def why_missing() -> str:
    """Why DavMail can't be tested here, or "" if it can."""
    if not (shutil.which(JAVA) and shutil.which(KEYTOOL) and JAR.exists()):
        return "DavMail is not installed (scripts/install-test-servers installs it)"
    return ""
