"""Meetings that are here already, by what the server calls them in every mailbox (R6.51).

Two users may track one meeting at the same moment. So whoever makes a record of one takes his turn, and looks again.
"""

from collections import defaultdict
from collections.abc import Collection, Mapping
from hashlib import sha256
from uuid import UUID

from django.db import connection

from mailboxes import access
from mailboxes.models import SystemUser
from serversync.act.tables import MEETINGS
from serversync.act.types import Table

Known = Mapping[tuple[Table, str], set[UUID]]


def known_meetings(user: SystemUser, uids: Collection[str]) -> Known:
    """Those that the user may read, by table and global id. A statement for each of the two tables."""
    found: defaultdict[tuple[Table, str], set[UUID]] = defaultdict(set)
    for table, model in MEETINGS.items() if uids else ():
        rows = access.visible_to(user, model.objects.filter(global_object_id__in=uids))
        for key, uid in rows.values_list("pk", "global_object_id"):
            found[table, uid].add(key)
    return found


def take_turns(uids: Collection[str]) -> None:
    """Until the transaction ends; before any record is locked, so that two never wait for each other. SQLite's
    transactions take turns by themselves (IMMEDIATE)."""
    if uids and connection.vendor == "postgresql":
        keys = sorted(_number(uid) for uid in set(uids))
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT pg_advisory_xact_lock(one) FROM unnest(%s::bigint[]) one", [keys]
            )


def _number(uid: str) -> int:
    """Meetings that share one wait for each other, and no more."""
    return int.from_bytes(sha256(uid.encode()).digest()[:8], signed=True)
