"""What a soak found, for people: figures, then each promise with its number."""

from collections.abc import Iterator, Sequence

from tests.soak.judging import Growth, Verdict, delays, growths, percentile
from tests.soak.records import Record

SHARES = (0.5, 0.9, 0.95, 0.99, 1.0)


def lines(record: Record, verdicts: Sequence[Verdict]) -> Iterator[str]:
    yield from _figures(record)
    yield ""
    yield from _memory(record)
    yield ""
    yield f"{'':48}{'found':>10}{'limit':>10}"
    for each in verdicts:
        told = f"  {each.detail}" if each.detail and not each.ok else ""
        word = "" if each.ok else "  FAILED"
        yield f"{each.promise:48}{each.found:>10g}{each.limit:>10g}{word}{told}"
    yield ""
    yield conclusion(record, verdicts)


def conclusion(record: Record, verdicts: Sequence[Verdict]) -> str:
    failed = [each for each in verdicts if not each.ok]
    if not failed:
        return f"All promises were kept (seed {record.seed})."
    told = "; ".join(f"{each.promise}: {each.found:g}, limit {each.limit:g}" for each in failed)
    return f"Failed with seed {record.seed}: {told}"


def _figures(record: Record) -> Iterator[str]:
    boxes = ", ".join(f"{number} {protocol}" for protocol, number in record.mailboxes.items())
    yield f"mailboxes              {sum(record.mailboxes.values())}: {boxes}"
    yield f"first contact          {record.first_contact_seconds:.0f} s"
    yield f"messages               {len(record.deliveries)} in {record.seconds:.0f} s"
    polls = record.cycles_in_traffic / record.seconds
    yield f"looks and cycles       {polls:.0f} a second"
    yield f"leases taken over      {record.books.leases_broken}"
    struck = ", ".join(f"{protocol} {number}" for protocol, number in record.struck.items())
    yield f"faults                 {len(record.windows)} periods; commands struck: {struck}"
    yield f"killed                 {', '.join(kill.victim for kill, _pid in record.kills) or '-'}"
    yield f"rest after the traffic {record.settled_seconds:.0f} s"
    for name, windows in (("visible after", record.windows), ("from delivery itself", [])):
        ordered = delays(record.deliveries, windows)
        told = ", ".join(f"{share:.0%} {percentile(ordered, share):.0f} s" for share in SHARES)
        yield f"{name:22} {told}"
    yield "Mail that came while its server was made to fail counts from the end of that (first line)."


def _memory(record: Record) -> Iterator[str]:
    yield "worker   cluster   since    minute two   last minute   ratio"
    for each in growths(record.workers, record.samples, record.seconds):
        yield _growth(each)


def _growth(each: Growth) -> str:
    worker = each.worker
    start = f"{worker.pid:7}{worker.cluster + 1:8}{max(0.0, worker.since):9.0f} s"
    if each.because:
        return f"{start}    {each.because}"
    return f"{start}{each.second:10.1f} MB{each.last:11.1f} MB{each.ratio:8.3f}"
