"""Thousands of mailboxes under load, on servers that fail, with workers that are killed: `scripts/soak`.

plan       what will go wrong, and when, out of a seed
records    what was done and seen
judging    whether that is good enough; pure, like the two above
servers    the mail servers, each in a process of its own
world      the site: database, settings, users and queues with their mailboxes
clusters   the clusters of workers: started, killed, measured
traffic    new mail, and when it can be seen
faults     what servers do wrong, switched on and off
books      the ledger held against the servers, at the end
story      all of it, in its order
report     as a table
"""
