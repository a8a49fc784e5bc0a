"""With which key mail of a profile is signed (R5.32). A key that can't be used is the account's fault, not
the message's: mail waits, and none leaves without the signature that the profile asks for."""

from activities.mime.dkim import Signer
from mailboxes.dkim import KeyUnusable, read_key
from mailboxes.models import EmailServerProfile
from mailboxes.protocols.errors import PermanentError
from mailboxes.secrets import SecretUnreadable


class SignatureImpossible(PermanentError):
    """The profile asks for signatures, and what is stored of them can't make any."""

    code = "DkimKeyUnusable"


def signer_of(profile: EmailServerProfile | None) -> Signer | None:
    """None: its mail isn't signed here; Exchange signs what it has written anew. Raises
    SignatureImpossible."""
    if profile is None or not profile.dkim_sign or profile.kind.is_exchange:
        return None
    return signer_with(profile)


def signer_with(profile: EmailServerProfile) -> Signer:
    """Whether or not signing is switched on yet. Raises SignatureImpossible."""
    if not (profile.dkim_domain and profile.dkim_selector):
        raise SignatureImpossible("domain or selector is missing")
    try:
        key = read_key(profile.dkim_private_key.reveal())
    except (KeyUnusable, SecretUnreadable) as error:
        raise SignatureImpossible(str(error)) from None
    return Signer(profile.dkim_domain, profile.dkim_selector, key)
