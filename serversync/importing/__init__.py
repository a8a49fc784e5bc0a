"""Users, queues, server profiles and mailboxes from a file of somebody else's making.

    bytes ──reading──> table ──heading──> columns ──┐
                                                    ├─ planning ──> decisions ──shown──> applying
    database ──world──> what exists, who may what ──┘                  (batches, each decided again)

Nothing is written before a person has seen what would be. `planning` asks no database; what a row must fulfil
is what models and forms ask of everybody.
"""
