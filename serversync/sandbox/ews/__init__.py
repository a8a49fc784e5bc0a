"""An Exchange server on loopback: web services over TLS that clients can't tell from the real ones.

    exchange.py        the server as tests and commands handle it: accounts, mail, rights, switches
    server.py app.py   HTTP, and a request's way from the connection to its operation
    call.py            the request as operations see it, and the table of operations
    soap.py versions.py ids.py            the envelope, the releases, what ids look like
    rights.py authentication.py kerberos.py autodiscover.py
    store.py           everything that is kept
    folders.py items.py find.py sync.py writing.py updating.py sending.py attachments.py configuration.py
    directory.py notifications.py subscriptions.py delegates.py timezones.py     the operations, by subject
    properties.py paths.py extended.py mimes.py     what an item is made of
    settling.py        what the server makes of it, by kind: appointments.py tasks.py contacts.py
    series.py occurrences.py    when a series is; one occurrence of it, and what is special about that
    meetings/          who is told of a calendar item, and what it becomes in their mailboxes
    byhand.py          what people do in their mailboxes by other means, for tests and seeds
    quirks.py faults.py                             how servers differ, and how they fail

An operation is a function with `@operation("Name")` that gets a `Call` and returns the element of its
answer; its module is named in `app.py`. What it refuses it raises: `Refusal` or `SoapFault`.

What isn't here is refused, not pretended: replies and forwards made by the server (ReplyToItem and its
like in `writing.given`), push subscriptions, attachments of single occurrences, and MIME content of
calendar items, contacts and tasks.
"""
