"""An Exchange server on loopback: web services over TLS that clients can't tell from the real ones.

    exchange.py        the server as tests and commands handle it: accounts, mail, rights, switches
    server.py app.py   HTTP, and a request's way from the connection to its operation
    call.py            the request as operations see it, and the table of operations
    soap.py versions.py ids.py            the envelope, the releases, what ids look like
    rights.py authentication.py autodiscover.py
    store.py           everything that is kept
    folders.py items.py find.py sync.py writing.py sending.py attachments.py configuration.py
    directory.py notifications.py delegates.py      the operations, by subject
    properties.py paths.py extended.py mimes.py     what an item is made of
    quirks.py faults.py                             how servers differ, and how they fail

An operation is a function with `@operation("Name")` that gets a `Call` and returns the element of its
answer; its module is named in `app.py`. What it refuses it raises: `Refusal` or `SoapFault`.

Items of all kinds are stored and given back with the properties that they were given. Meetings begin
where that ends: sending invitations, answering and cancelling them, expanding a series. They get modules
of their own (`meetings.py`, called by `sending.create_item` and `writing.update_item` where those now
refuse to invite; `series.py`, called by `find` for calendar views and by `Call.item` for occurrences).
Until then such requests are refused.
"""
