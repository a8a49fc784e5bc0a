"""Exchange as a server of appointments, contacts and tasks.

adapter       the contract, method by method
listing       what changed; looking for links, uids, addresses
fetching      items whole, series with their exceptions
writing       new items, changes and deletions: jobs, sent in batches, and the outcome of each
series        one occurrence of a series: which item it is
files         attachments
marking       the note of the organization
shapes        fields <-> properties: what is asked for, read and written; of each kind in meetings, contacts,
              todos; of values in fields, paths, values, times, zones, recurrences, uids
"""
