"""Tickets for the server, by MIT Kerberos. Needs the optional package gssapi; only who has a keytab
imports this module."""

from pathlib import Path

import gssapi
from gssapi.exceptions import GSSError

from serversync.sandbox.ews.authentication import AcceptTicket, Refused


def acceptor(keytab: Path) -> AcceptTicket:
    """Accepts tickets for any principal of `keytab`. Raises GSSError if none is in it."""
    credentials = gssapi.Credentials(usage="accept", store={"keytab": f"FILE:{keytab}"})

    def accept(ticket: bytes, binding: bytes) -> tuple[str, bytes]:
        bindings = gssapi.raw.ChannelBindings(application_data=binding) if binding else None
        context = gssapi.SecurityContext(
            creds=credentials, usage="accept", channel_bindings=bindings
        )
        try:
            answer = context.step(ticket) or b""
            # An error that has an answer is raised only here: see gssapi's deferred errors.
            if not context.complete:
                raise Refused(
                    "the ticket wants another leg, which clients with Kerberos never need"
                )
            flags = context.actual_flags
            principal = str(context.initiator_name)
        except GSSError as error:
            raise Refused(str(error)) from error
        # To the library a ticket bound to nothing is none that is bound to something else.
        if binding and gssapi.RequirementFlag.channel_bound not in flags:
            raise Refused("the ticket is bound to no line")
        return principal, answer

    return accept
