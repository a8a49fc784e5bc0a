from mailboxes.choices import Operation
from serversync.management.running import RunCommand


class Command(RunCommand):
    help = "Send the waiting mail of one or all mailboxes now, in the foreground."
    operation = Operation.OUTGOING
