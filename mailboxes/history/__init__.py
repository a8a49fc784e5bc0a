"""What the configuration was before, who changed it and when (R10.12).

    watched     which models and columns; triggers of the database write a row for each column that changes,
                whoever changes it: a page, a command, bulk writes, plain SQL
    reading     those rows as changes with values, and how a record was at a moment

Who did it is what the row itself says: every service writes `modified_by` with `modified_on`. Secrets are never
noted, only that they were entered, changed or removed.
"""

from mailboxes.history.reading import Change, Moment, former_values, last_changes, moments_of
from mailboxes.history.watched import is_watched, watch

__all__ = [
    "Change", "Moment", "former_values", "is_watched", "last_changes", "moments_of", "watch",
]  # fmt: skip
