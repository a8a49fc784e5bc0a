"""A whole synchronization on a site of its own, against mail servers on this machine."""

import logging
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import IO, Any, cast
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import connections
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from rich import box
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from activities.models import Email
from mailboxes.choices import IncomingDeliveryMethod
from mailboxes.models import Mailbox, Queue
from serversync.act.choices import ActOutcome
from serversync.choices import ItemState
from serversync.sandbox import children, planner, story
from serversync.sandbox.balance import STATES, Balance, balances
from serversync.sandbox.beside import (
    forget_without_site,
    refuse_foreign_profiles,
    sandbox_folder,
)
from serversync.sandbox.control import Switchboard
from serversync.sandbox.logins import Login
from serversync.sandbox.mailfiles import message_files
from serversync.sandbox.seeds import PEOPLE
from serversync.sandbox.servers import Sandbox
from serversync.sandbox.site import Prepared, prepare
from serversync.sandbox.story import Run, Step
from serversync.schedules import write_schedules
from tracking.choices import Way

WIDTH = 150  # where the output is no terminal
NARROW = 140  # what the wide tables need


class Command(BaseCommand):
    help = (
        "Prepares a demonstration site on local mail servers, synchronizes it once, and prints what "
        "became of every message and why. The database must hold no server profiles but its own."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--stay", action="store_true", help="leave the console and the worker running"
        )
        parser.add_argument(
            "--mail",
            type=Path,
            metavar="PATH",
            help="an mbox, a maildir or a folder of messages instead of the seeded mail",
        )
        parser.add_argument("--port", type=int, help="of the console (default: 8000 or a free one)")
        parser.add_argument("--folder", type=Path, help="where the mail servers keep their mail")

    def handle(self, *args: Any, **options: Any) -> None:
        began = time.monotonic()
        mail: Path | None = options["mail"]
        if mail is not None:
            try:
                message_files(mail)
            except (OSError, ValueError) as error:
                raise CommandError(
                    _("There are no messages at %(path)s.") % {"path": mail}
                ) from error
        folder = options["folder"] or sandbox_folder()
        refuse_foreign_profiles(folder)
        forget_without_site(folder)
        try:
            port = children.free_port(options["port"]) if options["stay"] else 0
        except OSError as error:
            raise CommandError(
                _("Port %(port)s is taken: %(error)s. Choose another one with --port.")
                % {"port": options["port"], "error": error}
            ) from error
        console = self._console()
        with _quiet_logs(), _ending_on_signals():
            sandbox = Sandbox(folder, people=PEOPLE)
            try:
                sandbox.start()
                even = self._run(console, sandbox, mail, began, port)
            except KeyboardInterrupt:
                console.print(_("Broken off. What is stored stays; run it again to go on."))
                raise SystemExit(130) from None
            finally:
                sandbox.stop()
        if not even:
            raise SystemExit(1)

    def _console(self) -> Console:
        console = Console(
            file=cast("IO[str]", self.stdout._out), highlight=False, emoji=False, markup=False
        )
        if not console.is_terminal:
            console.width = WIDTH
        return console

    def _run(
        self, console: Console, sandbox: Sandbox, mail: Path | None, began: float, port: int
    ) -> bool:
        run = Run()
        bars = Bars(console)
        prepared = prepare(sandbox, timezone.now(), archive_only=mail is not None)
        mailboxes = prepared.mailboxes
        before = balances(mailboxes, sandbox)
        if mail is None:
            story.deliver_seeds(sandbox, bars)
        else:
            story.deliver_files(sandbox, mail, bars)
        story.enable(mailboxes, run, bars)
        story.receive_all(mailboxes, sandbox, run, bars, _("Receiving"))
        if mail is None:
            story.compose(sandbox, bars, timezone.now())
            story.send_all(mailboxes, run, bars)
            story.receive_all(mailboxes, sandbox, run, bars, _("Receiving the answers"))
            # Copies of what was sent were filed at the end of that; sent items are tracked, too.
            story.receive_all(mailboxes, sandbox, run, bars, _("Reading sent items"))
            planned = self._plan(prepared, sandbox, run, bars)
            # Meetings were announced by mail, too.
            story.receive_all(mailboxes, sandbox, run, bars, _("Receiving invitations"))
            again = story.synchronize_all(mailboxes, run, bars, _("Once more"))
        found = balances(mailboxes, sandbox)
        even = all(balance.is_even for balance in found)
        tell(console, found, before)
        if mail is None:
            tell_planned(console, mailboxes, planned)
            tell_again(console, again, run)
        if mail is not None:
            tell_defects(console, mailboxes)
        tell_examples(console, mailboxes)
        tell_logins(console, prepared.logins)
        for problem in run.problems:
            console.print(_("Problem: %(problem)s") % {"problem": problem}, style="red")
        console.print(_("Done in %(seconds).0f s.") % {"seconds": time.monotonic() - began})
        if port:
            self._stay(console, prepared, sandbox, port)
        return even and not run.problems

    def _plan(
        self, prepared: Prepared, sandbox: Sandbox, run: Run, bars: "Bars"
    ) -> dict[UUID, Counter[str]]:
        """Appointments, contacts and tasks: a first look, what was approved of it, and what came later."""
        planner.fill(sandbox, timezone.now())
        title = _("Appointments, contacts and tasks")
        done = story.synchronize_all(prepared.mailboxes, run, bars, title)
        planner.approve_first(prepared.admin, timezone.now())
        again = [_("What was approved")]
        if not sandbox.store.note(planner.WENT_ON_NOTE):
            again.append(_("What changed meanwhile"))
        for title in again:
            for key, counts in story.synchronize_all(prepared.mailboxes, run, bars, title).items():
                done[key] += counts
            planner.go_on(sandbox, timezone.now())
        return done

    def _stay(self, console: Console, prepared: Prepared, sandbox: Sandbox, port: int) -> None:
        write_schedules(timezone.localtime())
        connections.close_all()  # the children open their own
        url = f"http://127.0.0.1:{port}/"
        log = sandbox.folder / "processes.log"
        commands = {
            "console": children.console_command(port),
            "worker": children.worker_command(),
            "watch": children.watch_command(),
        }
        with Switchboard(sandbox) as switchboard, children.running(commands, log) as running:
            try:
                children.wait_until_ready(running, url)
                superuser = prepared.logins[0]
                console.print()
                console.print(_("Console:   %(url)s") % {"url": url}, style="bold")
                console.print(_("Sign in:   %(name)s") % {"name": superuser.name})
                console.print(_("Password:  %(password)s") % {"password": password_of(superuser)})
                console.print(_("Log:       %(path)s") % {"path": log})
                where = f"{sandbox.host}:{switchboard.port}"
                console.print(
                    _("Servers:   %(where)s takes orders (docs/operations.md)") % {"where": where}
                )
                console.print(_("Ctrl-C ends everything."))
                while True:
                    children.check(running)
                    time.sleep(0.5)
            except KeyboardInterrupt:
                console.print(_("Ending …"))
            except (children.ChildEnded, TimeoutError) as error:
                raise CommandError(
                    _("%(error)s. Its last words are in %(path)s.") % {"error": error, "path": log}
                ) from error


# -- progress ------------------------------------------------------------------------------------


class Bars:
    """Progress bars on a terminal, one line per finished step elsewhere."""

    def __init__(self, console: Console) -> None:
        self.console = console

    @contextmanager
    def step(self, title: str) -> Iterator[Step]:
        began = time.monotonic()
        if not self.console.is_terminal:
            yield Silent()
            spent = time.monotonic() - began
            self.console.print(f"{title}: {spent:.1f} s")
            return
        with Progress(
            TextColumn("{task.description:24}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[now_doing]}"),
            console=self.console,
        ) as progress:
            task = progress.add_task(title, total=None, now_doing="")
            yield Bar(progress, task)
            seen = progress.tasks[0]
            progress.update(task, total=seen.total or seen.completed, now_doing="")


class Bar:
    def __init__(self, progress: Progress, task: Any) -> None:
        self.progress, self.task = progress, task

    def expect(self, total: int) -> None:
        self.progress.update(self.task, total=total)

    def advance(self, by: int = 1, now_doing: str = "") -> None:
        if now_doing:
            self.progress.update(self.task, now_doing=now_doing)
        self.progress.advance(self.task, by)


class Silent:
    def expect(self, total: int) -> None:
        pass

    def advance(self, by: int = 1, now_doing: str = "") -> None:
        pass


# -- telling -------------------------------------------------------------------------------------


def tell(console: Console, found: list[Balance], before: list[Balance]) -> None:
    """One table per mailbox, then the sum."""
    for balance, earlier in zip(found, before, strict=True):
        console.print(_table(balance, earlier, upright=console.width < NARROW))
        _tell_reasons(console, balance)
        if not balance.is_even:
            difference = balance.seen - balance.accounted
            console.print(
                _("  DOES NOT BALANCE: %(difference)d of %(seen)d are not accounted for.")
                % {"difference": difference, "seen": balance.seen},
                style="red",
            )
    seen = sum(balance.seen for balance in found)
    parts = " + ".join(
        f"{state.label.lower()} {sum(balance.states[state] for balance in found)}"
        for state in STATES
    )
    even = all(balance.is_even for balance in found)
    console.print()
    console.print(
        _("All mailboxes: seen %(seen)d = %(parts)s; sent %(sent)d. %(verdict)s")
        % {
            "seen": seen,
            "parts": parts,
            "sent": sum(balance.sent for balance in found),
            "verdict": _("It balances.") if even else _("It does NOT balance."),
        },
        style="bold",
    )


def _table(balance: Balance, before: Balance, *, upright: bool) -> Table:
    """`upright`: a row for each count instead of a column, where the screen is narrow."""
    new = balance.since(before)
    counts = [
        (_("seen"), new.total(), balance.seen),
        ("=", "=", "=" if balance.is_even else "≠"),
        *((state.label.lower(), new[state], balance.states[state]) for state in STATES),
        ("", "", ""),
        (_("sent"), balance.sent - before.sent, balance.sent),
        (_("copies filed"), balance.copies - before.copies, balance.copies),
        (_("to be sent"), "", balance.waiting),
        (_("not sent"), "", balance.failed),
    ]
    table = Table(
        title=f"{balance.mailbox.email_address}  {_describe(balance.mailbox)}",
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
    )
    heads = (_("this run"), _("in all"))
    table.add_column("")
    if upright:
        for head in heads:
            table.add_column(head, justify="right")
        for name, *numbers in counts:
            if name not in ("", "="):
                table.add_row(name, *map(str, numbers))
        return table
    for name, *_numbers in counts:
        table.add_column(name, justify="right")
    for place, head in enumerate(heads, start=1):
        table.add_row(head, *(str(count[place]) for count in counts), style="bold" * (place - 1))
    return table


def tell_planned(
    console: Console, mailboxes: list[Mailbox], planned: dict[UUID, Counter[str]]
) -> None:
    """What was done on each side in this run, by mailbox."""
    table = Table(
        title=_("Appointments, contacts and tasks, this run"),
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
    )
    shown = [mailbox for mailbox in mailboxes if mailbox.pk in planned]
    table.add_column("")
    for mailbox in shown:
        table.add_column(mailbox.email_address, justify="right")
    for outcome in ActOutcome:
        counts = (planned[mailbox.pk][outcome.value] for mailbox in shown)
        table.add_row(str(outcome.label), *map(str, counts))
    console.print(table)
    if waiting := planner.waits():
        words = ngettext(
            "%(count)d batch or question waits for a person: see the console.",
            "%(count)d batches and questions wait for a person: see the console.",
            waiting,
        )
        console.print(words % {"count": waiting})


def tell_again(console: Console, again: dict[UUID, Counter[str]], run: Run) -> None:
    """Whoever is synchronized has nothing left to do."""
    left = sum(sum(counts.values()) for counts in again.values())
    console.print(
        _("Synchronized once more: %(count)d created, changed, deleted or parked.")
        % {"count": left}
    )
    if left:
        run.problems.append(_("The second synchronization found something to do."))


def _describe(mailbox: Mailbox) -> str:
    profile = mailbox.email_server_profile
    parts = [str(profile.kind.label)] if profile else []
    if mailbox.incoming_email_delivery_method == IncomingDeliveryMethod.FORWARD_MAILBOX:
        parts.append(_("read through the forward mailbox"))
    party = mailbox.regarding_object
    if mailbox.is_forward_mailbox:
        parts.append(_("forward mailbox"))
    elif isinstance(party, Queue):
        parts.append(
            _("queue: %(filter)s") % {"filter": party.get_incoming_email_filtering_method_display()}
        )
    elif party is not None:
        options = party.settings
        parts.append(
            _("user: %(filter)s")
            % {"filter": options.get_incoming_email_filtering_method_display()}
        )
    return " · ".join(parts)


def _tell_reasons(console: Console, balance: Balance) -> None:
    told = (
        ItemState.REJECTED,
        ItemState.SKIPPED,
        ItemState.QUARANTINED,
        ItemState.RETRYING,
        ItemState.GONE,
    )
    if set(balance.ways) - {Way.INBOX}:
        console.print(f"  {ItemState.TRACKED.label}: {_ways(balance.ways)}")
    for state in told:
        if counts := balance.reasons.get(state):
            reasons = ", ".join(f"{name} {n}" for name, n in counts.most_common())
            console.print(f"  {state.label}: {reasons}")
    if balance.inside:
        console.print(
            _("  Seen: %(on_server)d on the server, %(inside)d inside forwards")
            % {"on_server": balance.on_server, "inside": balance.inside}
        )


def _ways(ways: Counter[Way]) -> str:
    names = {
        Way.INBOX: _("in the inbox"),
        Way.FOLDER: _("in a tracked folder"),
        Way.CATEGORY: _("by category"),
        Way.SENT: _("in sent items"),
    }
    return ", ".join(f"{name} {ways[way]}" for way, name in names.items() if ways[way])


def tell_defects(console: Console, mailboxes: list[Mailbox]) -> None:
    """What was wrong with stored messages, by kind."""
    counts: Counter[str] = Counter()
    touched = 0
    rows = Email.objects.filter(receiving_mailbox__in=mailboxes).exclude(defects=[])
    for defects in rows.values_list("defects", flat=True).iterator(chunk_size=1000):
        touched += 1
        counts.update({defect["code"] for defect in defects})
    console.print()
    console.print(_("Stored although something was wrong with them: %(n)d") % {"n": touched})
    for code, number in counts.most_common():
        console.print(f"  {code} {number}")


def tell_examples(console: Console, mailboxes: list[Mailbox]) -> None:
    for title, sentences in (
        (_("For example:"), story.examples(mailboxes)),
        (_("What came of it:"), story.consequences(mailboxes)),
    ):
        if sentences:
            console.print()
            console.print(title)
        for sentence in sentences:
            console.print(f"  • {sentence}", soft_wrap=True)
    console.print()


def tell_logins(console: Console, logins: list[Login]) -> None:
    """As whom one can look at the site, and what each sees of it."""
    table = Table(
        title=_("People to sign in as"),
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
    )
    for head in (_("name"), _("password"), _("role"), _("sees")):
        table.add_column(head, overflow="fold")
    for login in logins:
        table.add_row(login.name, password_of(login), str(login.role), str(login.sees))
    console.print(table)


def password_of(login: Login) -> str:
    return login.password or _("the one you have set")


# -- surroundings --------------------------------------------------------------------------------


@contextmanager
def _quiet_logs() -> Iterator[None]:
    """Warnings would tear the progress bars; what matters stands in the tables."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)


@contextmanager
def _ending_on_signals() -> Iterator[None]:
    """A termination ends like Ctrl-C does, and Ctrl-C ends also what a shell has started in the
    background, where it would be ignored: everything that was started is stopped."""

    def end(number: int, frame: FrameType | None) -> None:
        for again in numbers:  # a second Ctrl-C must not break off the ending
            signal.signal(again, signal.SIG_IGN)
        raise KeyboardInterrupt

    numbers = (signal.SIGINT, signal.SIGTERM)
    if threading.current_thread() is not threading.main_thread():
        yield  # the signals are the caller's
        return
    before = {number: signal.signal(number, end) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
