"""Servers tell of new mail by themselves, and the mailbox is looked at within two seconds (R10.1).

    watch (supervised) ── takes mailboxes ──> opens a connection for each ──> listens to all of them in one thread
                                                                                  │ something happened
                                            "run this workload now" <── bursts ───┘

It reads no mail and writes no alert: it only makes workloads due, so polling stays the truth, and whatever goes
wrong here costs no more than the time until the next poll.
"""
