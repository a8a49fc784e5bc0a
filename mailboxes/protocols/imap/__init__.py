"""IMAP4rev1 (RFC 3501) with STARTTLS, UIDPLUS (4315), MOVE (6851) and CONDSTORE (7162), through
imapclient, whose connection is replaced by our own line.

A remote id is "UIDVALIDITY.UID". A cursor tells what the folder looked like (see `Position`), so that
one EXAMINE tells an unchanged one; neither STATUS nor SEARCH is needed. The same answer shows that
something left, by EXISTS: only then all UIDs are asked for. It shows by HIGHESTMODSEQ that flags
changed: only then those are asked for.

A folder's id is its name: there is no other in most servers (RFC 8474 is rare). So a renamed folder is
a missing one, and one that was made again under the same name is told by its UIDVALIDITY, as a reset.

Reading uses EXAMINE and BODY.PEEK, which change nothing. Only what changes something selects a folder
for writing.
"""

from mailboxes.protocols.imap.server import ImapServer

__all__ = ["ImapServer"]
