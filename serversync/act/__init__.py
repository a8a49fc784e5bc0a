"""Appointments, contacts and tasks: kept equal with Exchange, both ways (docs/behaviour, section 6).

    server: changes ─┐ noting ─> link rows, cursor     (what changed; nothing is decided)
    store:  journal ─┘                │
                                   pending ─> read both sides ─> reconcile (pure) ─> guard (pure)
                                                                                      │        │
                                                          writing: store, then server <┘        └> parked batch

What changed is noted on the link rows in the transaction that moves the cursor, so that a worker may be killed
anywhere: the pairs that are still noted are read, decided and written again. Nothing is written that was not decided
on what both sides hold at that moment: rows are locked and compared, items carry the version.

    types        what is decided upon, and what comes out
    tables       which model holds which records
    fields       which field means which column, and which way it goes (R6.14)
    fitting      what a record can hold of an item, so that both can be compared (pure)
    directions   what administrators chose otherwise
    store/       records as fields, and fields as records
    filters/     which records take part (R6.9 to R6.13)
    reconcile    one pair: base, store, server -> what to write where, and why (pure)
    meetings deletes matching       the rules it draws upon (pure)
    guard        all decisions of one cycle -> what goes, what waits for a person (pure)
    noting pending orders writing cycle    the beats
    files attached                  files of appointments, after their pair (R6.34); the latter is pure
    stored       all of this as JSON, and back
    records      the record of a pair: its row, its name, its page
    batches answers byhand          what people decide: what was parked, what was asked, single pairs
    undo undoing                    putting back what was written; what that means for the next decision (pure)
    explaining   why a record is in somebody's mailbox there, or why not
"""
