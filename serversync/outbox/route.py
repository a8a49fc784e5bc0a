"""Through which mailbox an e-mail leaves."""

from mailboxes.models import Mailbox, Organization, SystemUser
from serversync.outbox.drafts import Sender


def mailbox_for(sender: Sender, actor: SystemUser | None, organization: Organization) -> Mailbox:
    """That of the From party, not of whoever presses send (R5.23), unless the organization has mail leave
    through the submitter's on the From party's behalf, which Exchange can (R5.26)."""
    own: Mailbox = sender.default_mailbox
    if not organization.enable_mailbox_delegation_for_outgoing_email or sender == actor:
        return own
    through = getattr(actor, "default_mailbox", None)
    if through is None or not through.email_address:
        return own
    profile = through.email_server_profile
    return through if profile is not None and profile.kind.is_exchange else own
