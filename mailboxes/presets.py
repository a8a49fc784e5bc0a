"""PURE  providers whose servers everybody knows, so that nobody has to look them up (R1.11)."""

from dataclasses import dataclass
from typing import Any, Protocol

from mailboxes.choices import (
    AuthenticationProtocol,
    CredentialRetrieval,
    ServerType,
    TlsMode,
)


@dataclass(frozen=True, slots=True)
class Preset:
    """`key`: what a form calls it; it is stored as a profile of `server_type`."""

    key: str
    label: str
    server_type: ServerType
    incoming_host: str
    incoming_port: int
    outgoing_host: str
    outgoing_port: int

    @property
    def servers(self) -> dict[str, Any]:
        """Columns that are as the provider has them, whatever was entered."""
        return {
            "server_type": self.server_type,
            "use_auto_discover": False,
            "incoming_server_location": self.incoming_host,
            "incoming_port_number": self.incoming_port,
            "incoming_uses_ssl": True,
            "incoming_tls_mode": TlsMode.BY_PORT,
            "outgoing_server_location": self.outgoing_host,
            "outgoing_port_number": self.outgoing_port,
            "outgoing_uses_ssl": True,
            "outgoing_tls_mode": TlsMode.BY_PORT,
            "ca_certificate": "",
        }

    @property
    def sign_in(self) -> dict[str, Any]:
        """How one signs in there, to begin with."""
        return {
            "incoming_credential_retrieval": CredentialRetrieval.GMAIL_OAUTH,
            "incoming_authentication_protocol": AuthenticationProtocol.AUTO_DETECT,
            "use_same_settings_for_outgoing_connections": True,
        }


GMAIL = tuple(
    Preset(key, label, kind, host, port, "smtp.gmail.com", 587)
    for key, label, kind, host, port in (
        ("gmail-imap", "Gmail (IMAP)", ServerType.IMAP_SMTP, "imap.gmail.com", 993),
        ("gmail-pop3", "Gmail (POP3)", ServerType.POP3_SMTP, "pop.gmail.com", 995),
    )
)
BY_KEY = {preset.key: preset for preset in GMAIL}


class ServerFacts(Protocol):
    server_type: int
    incoming_server_location: str


def preset_of(profile: ServerFacts) -> Preset | None:
    """The preset that a stored profile is one of."""
    location = profile.incoming_server_location.strip().lower()
    return next(
        (
            preset
            for preset in GMAIL
            if (preset.server_type, preset.incoming_host) == (profile.server_type, location)
        ),
        None,
    )
