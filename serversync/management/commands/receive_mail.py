from mailboxes.choices import Operation
from serversync.management.running import RunCommand


class Command(RunCommand):
    help = "Receive the mail of one or all mailboxes now, in the foreground."
    operation = Operation.INCOMING
