"""Records as fields, and fields as records.

rows        what is loaded, for any number of keys at once
reading     rows -> Side
facts       whose they are, who may do what, who is busy
types       what can be asked to be written
writing     what is asked -> compared, written by activities.scheduling, into the bin
columns todos meetings contacts    fields as columns
people      addresses as parties
known       meetings that are here already
"""

from serversync.act.store.facts import busy_at, record_facts
from serversync.act.store.known import known_meetings
from serversync.act.store.reading import sides
from serversync.act.store.types import StoredRecord, StoreOutcome, StoreWrite
from serversync.act.store.writing import write

__all__ = [
    "StoreOutcome",
    "StoreWrite",
    "StoredRecord",
    "busy_at",
    "known_meetings",
    "record_facts",
    "sides",
    "write",
]
