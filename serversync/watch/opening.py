"""One mailbox, from its row to a connection that is told. Runs in a thread of its own."""

from uuid import UUID

from mailboxes.choices import Operation
from mailboxes.connect import push_server
from mailboxes.eligibility import eligible, facts_of
from mailboxes.models import Mailbox, Organization
from mailboxes.protocols.base import INBOX
from mailboxes.protocols.errors import PermanentError
from mailboxes.protocols.items import CALENDAR, CONTACTS, TASKS
from mailboxes.protocols.watching import PushServer
from serversync.models import Workload

FOLDERS = {Operation.INCOMING: (INBOX,), Operation.ACT: (CALENDAR, CONTACTS, TASKS)}


class NothingRuns(PermanentError):
    """No workload of the mailbox may run, so there is nothing to be told of."""

    def __init__(self, code: str) -> None:
        super().__init__()
        self.code = code or "NotTested"


def opened(mailbox_id: UUID) -> PushServer:
    """Raises errors of the tree, Mailbox.DoesNotExist."""
    mailbox = Mailbox.objects.select_related(
        "email_server_profile", "regarding_user", "regarding_queue"
    ).get(pk=mailbox_id)
    organization = Organization.objects.current()
    folders = _folders(mailbox, organization)
    return push_server(mailbox, organization, folders).open()


def _folders(mailbox: Mailbox, organization: Organization) -> tuple[str, ...]:
    """Of the workloads that may run. Raises NothingRuns."""
    found: tuple[str, ...] = ()
    because = ""
    for workload in Workload.objects.filter(mailbox=mailbox, operation__in=FOLDERS, enabled=True):
        verdict = eligible(facts_of(mailbox, workload, organization), workload.next_run_at)
        if verdict.permanent:
            because = verdict.code
        else:
            found += FOLDERS[Operation(workload.operation)]
    if not found:
        raise NothingRuns(because)
    return found
