"""What each exact fault means, and what to do about it. The words of a code say no more than what all its
faults have in common."""

from collections.abc import Mapping

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from mailboxes.protocols.faultkinds import FaultKind as F

Words = str | Promise

WORDS: Mapping[F, tuple[Words, Words]] = {
    # -- finding the host
    F.NO_SUCH_HOST: (
        _("No server has this name: the name servers don't know it."),
        _("Correct the location in the server profile; look for typing errors and the domain."),
    ),
    F.NO_ADDRESS: (
        _("The name exists, but it has no address (neither an A nor an AAAA record)."),
        _("Enter the mail server's own name, not the domain's; or have its record added in DNS."),
    ),
    F.RESOLVER_FAILED: (
        _("The name servers could not say where the host is."),
        _("It is tried again by itself. If this lasts, check DNS on the machine of this site."),
    ),
    F.RESOLVER_SILENT: (
        _("The name servers gave no answer in time."),
        _("It is tried again by itself. If this lasts, check DNS on the machine of this site."),
    ),
    F.NOT_A_HOST: (
        _("The location is empty, or no name of a host."),
        _("Enter a host name such as imap.example.com, without protocol, path or blanks."),
    ),
    F.NETWORK_DENIED: (
        _("The host lies in a network that this site doesn't allow connections to."),
        _("Use another location, or have the operator change MAIL_DENIED_NETWORKS."),
    ),
    # -- connecting
    F.PORT_REFUSED: (
        _("The host is there, but nothing listens at this port."),
        _("Check the port in the server profile, and whether the mail service runs."),
    ),
    F.PORT_FILTERED: (
        _("Nothing answers at this port: a firewall in between drops the connection."),
        _("Have the firewalls of both sides let this site reach host and port; check the port."),
    ),
    F.UNREACHABLE: (
        _("There is no way from this site to the network of the host."),
        _("It is tried again by itself. If this lasts, check routes and whether IPv6 works here."),
    ),
    # -- securing the line
    F.PLAIN_FORBIDDEN: (
        _("Mail or a password would travel without TLS, which the organization doesn't allow."),
        _("Use TLS in the server profile. Lines without TLS are allowed in the organization."),
    ),
    F.CERTIFICATE_EXPIRED: (
        _("The certificate of the server, or one above it, has expired."),
        _("Have whoever runs the server renew it. Check the clock of this machine, too."),
    ),
    F.CERTIFICATE_NOT_YET_VALID: (
        _("The certificate of the server is not valid yet."),
        _("Check the clock of this machine; else have the server use its former certificate."),
    ),
    F.CERTIFICATE_FOR_OTHER_NAME: (
        _("The certificate of the server is for another name than the location."),
        _("Enter as location one of the names that the certificate is for."),
    ),
    F.CERTIFICATE_SELF_SIGNED: (
        _("The server signed its certificate by itself, so nobody vouches for it."),
        _("Give the certificate in the profile as its authority, or have a real one installed."),
    ),
    F.CERTIFICATE_ISSUER_UNKNOWN: (
        _("The certificate is signed by an authority that is not known here."),
        _(
            "Give the authority's certificate in the profile. If it is a public one, the server leaves "
            "out the certificates in between: have its chain completed."
        ),
    ),
    F.CERTIFICATE_UNUSABLE: (
        _("The certificate of the server can't be used: too weak, or meant for something else."),
        _("Have whoever runs the server replace it."),
    ),
    F.AUTHORITY_UNREADABLE: (
        _("The authority that the profile gives can't be read."),
        _("Paste it again, in PEM: from BEGIN CERTIFICATE to END CERTIFICATE."),
    ),
    F.TLS_TOO_OLD: (
        _("The server only speaks versions of TLS that are no longer safe (before 1.2)."),
        _("Have TLS 1.2 or 1.3 switched on at the server."),
    ),
    F.TLS_FAILED: (
        _("Server and site found no way to secure the line."),
        _("Check the port, and which versions and ciphers of TLS the server offers."),
    ),
    F.TLS_HUNG_UP: (
        _("The server hung up when the line should be secured: it may not speak TLS on this port."),
        _("Check port and TLS mode in the profile. Else a firewall or block list may do this."),
    ),
    F.TLS_SILENT: (
        _("The server stopped answering when the line should be secured."),
        _("Check port and TLS mode in the profile: it may want STARTTLS instead of TLS at once."),
    ),
    F.STARTTLS_MISSING: (
        _("The server doesn't offer to secure the line (STARTTLS) on this port."),
        _("Choose TLS from the first octet and its port, or have STARTTLS switched on there."),
    ),
    F.PLAIN_ON_TLS_PORT: (
        _("The server speaks plain text on this port, where TLS was expected at once."),
        _("Choose STARTTLS in the profile, or the port for TLS: 993 IMAP, 995 POP3, 465 SMTP."),
    ),
    F.TLS_ON_PLAIN_PORT: (
        _("The server expects TLS from the first octet on this port."),
        _("Choose TLS from the first octet in the profile, or the port for STARTTLS."),
    ),
    # -- the first words
    F.OTHER_PROTOCOL: (
        _("Another kind of server answers at this port."),
        _("Check server type and port: 993 for IMAP, 995 for POP3, 587 or 465 for SMTP."),
    ),
    F.GARBAGE_GREETING: (
        _("What answers at this port is no mail server that we understand."),
        _("Check server type, port and TLS mode, and whether a proxy stands in between."),
    ),
    F.CLOSED_AT_ONCE: (
        _("The server took the connection and closed it at once without a word."),
        _("It may block this site's address or have too many connections; ask who runs it."),
    ),
    F.GREETING_SILENT: (
        _("The server took the connection and never said a word."),
        _(
            "It is tried again by itself. If this lasts, check port, firewall and the server's load."
        ),
    ),
    F.TURNED_AWAY: (
        _("The server takes no more connections now."),
        _("It is tried again by itself. If this lasts, lower the connections of the profile."),
    ),
    F.BLOCKED: (
        _("The server's policy refuses to talk to this site."),
        _("Have this site's address allowed there, and taken off block lists."),
    ),
    # -- logging in
    F.CREDENTIALS_MISSING: (
        _("There is no user name or password to log in with."),
        _("Enter them where the profile says that they come from, then run Test & Enable."),
    ),
    F.PASSWORD_WRONG: (
        _("The server refuses user name or password."),
        _("Check both by logging in to the same account elsewhere; then enter them again."),
    ),
    F.PASSWORD_EXPIRED: (
        _("The password of the account has expired."),
        _("Set a new one at the provider, enter it here, then run Test & Enable."),
    ),
    F.APP_PASSWORD_NEEDED: (
        _("The provider wants an app password: the account is protected by a second factor."),
        _("Make an app password at the provider and enter it here; or connect by signing in."),
    ),
    F.BROWSER_NEEDED: (
        _("The provider holds the login back until its owner confirms it in a browser."),
        _("Have the owner sign in at the provider's web page and confirm; then test again."),
    ),
    F.ACCOUNT_DISABLED: (
        _("The account is switched off at the provider."),
        _("Have it switched on there, then run Test & Enable."),
    ),
    F.ACCOUNT_LOCKED: (
        _("The provider locked the account after too many failed logins."),
        _("Wait, or have it unlocked; first enter the right password, or it is locked again."),
    ),
    F.PROTOCOL_OFF: (
        _("The provider doesn't let this account be used by this protocol."),
        _("Have IMAP, POP3 or SMTP login switched on for the account at the provider."),
    ),
    F.PASSWORD_LOGIN_OFF: (
        _("The server takes no passwords on this line."),
        _("Secure the line by TLS, check the port, or choose another way to authenticate."),
    ),
    F.TOKENS_ONLY: (
        _("The server takes no passwords at all, only sign-ins at the provider (OAuth)."),
        _("Choose OAuth in the profile and have the owner connect the mailbox."),
    ),
    F.TOKENS_UNKNOWN: (
        _("The server knows no login by token, which the profile asks for."),
        _("Choose user name and password in the profile, or the provider's right server."),
    ),
    F.TOKEN_EXPIRED: (
        _("The server says that the token is not valid any more, also a renewed one."),
        _("Have the owner connect the mailbox again. Check the clocks if it happens at once."),
    ),
    F.TOKEN_REFUSED: (
        _("The server refuses the token of this mailbox."),
        _("Check address, scopes and whether the account may be used by this protocol."),
    ),
    F.LOGIN_NOT_NOW: (
        _("The server can't log anybody in at present."),
        _("It is tried again by itself. If this lasts, ask who runs the server."),
    ),
    F.MAILBOX_IN_USE: (
        _("Another program has the mailbox open, which this server allows only one."),
        _("It is tried again by itself. Have the other program poll less often, or use IMAP."),
    ),
    # -- the inbox
    F.INBOX_MISSING: (
        _("The account has no inbox that can be opened."),
        _("Log in once by webmail, which makes it; check that user name and mailbox agree."),
    ),
    F.INBOX_NO_RIGHTS: (
        _("The account may log in, but not open this inbox."),
        _("Have the account given the right to read it on the server."),
    ),
    F.UIDL_MISSING: (
        _("The server can't tell messages apart (no UIDL), so mail would be lost or doubled."),
        _("Use IMAP, or another server."),
    ),
    F.UIDL_REPEATS: (
        _("The server gives different messages the same key, or none."),
        _("Use IMAP, or have the server's store repaired."),
    ),
    # -- an Exchange web service
    F.NO_WEB_SERVICE: (
        _("The server answers, and there is no Exchange web service at this place."),
        _(
            "Correct the location in the profile, usually https://SERVER/EWS/Exchange.asmx, or leave it to "
            "autodiscover; have whoever runs the server check that the service is published."
        ),
    ),
    F.SENT_ELSEWHERE: (
        _("The server sends to another place, and passwords are not carried there."),
        _(
            "Look where it sends (the text below): enter that place in the profile if the web service is "
            "there. If it is a login page, have the proxy before the server let the web service through."
        ),
    ),
    F.WEB_PAGE: (
        _("A page for people answers in place of the Exchange web service."),
        _(
            "A login page, or a proxy in between: have it let programs reach the web service, and check the "
            "location in the profile."
        ),
    ),
    F.SERVICE_FORBIDDEN: (
        _("The Exchange server refuses this site, whoever logs in (HTTP 403)."),
        _(
            "Have this site's address allowed at the server and the proxies before it, and this program where "
            "the organization lets only named ones in (EwsApplicationAccessPolicy)."
        ),
    ),
    F.THROTTLED: (
        _("The Exchange server asks for patience: it limits what one account may ask of it."),
        _(
            "It is tried again as soon as the server allows. If this lasts, lower the connections of the "
            "profile, or have the account's throttling policy raised."
        ),
    ),
    # -- anywhere
    F.SILENT: (
        _("The server stopped answering in the middle of the conversation."),
        _(
            "It is tried again by itself. If this lasts, look at the server's load and the time-out."
        ),
    ),
    F.HUNG_UP: (
        _("The server closed the connection in the middle of the conversation."),
        _("It is tried again by itself. If this lasts, its log says why it hung up."),
    ),
    F.LINE_TOO_LONG: (
        _("The server sent a line without an end: it is no mail server, or a broken one."),
        _("Check server type and port, and whether a proxy stands in between."),
    ),
    F.GARBAGE: (
        _("The server answered something outside its protocol."),
        _("It is tried again by itself. If this lasts, check proxies and the server's version."),
    ),
    # -- sending
    F.RELAY_DENIED: (
        _("The server doesn't pass mail on for this account or to this address."),
        _(
            "Use the provider's submission port (587 or 465) with a login, or have relaying allowed."
        ),
    ),
    F.SENDER_REFUSED: (
        _("The account may not send as the address of this mailbox."),
        _("Have the right to send as it granted, or correct the address or the user name."),
    ),
    F.RECIPIENT_UNKNOWN: (
        _("The server knows no mailbox with this very address."),
        _("Correct the address of the mailbox, or have it made at the provider."),
    ),
    F.TOO_LARGE: (
        _("The server takes no message of that size."),
        _("Have its limit raised; it can't be right if it is met by a test message."),
    ),
    F.TOO_FAST: (
        _("The server takes no more messages for now: too many in a short time."),
        _(
            "It is tried again by itself. Lower the sending limits of the profile to the provider's."
        ),
    ),
    F.QUOTA_REACHED: (
        _("The account has sent as much as its provider allows for a day."),
        _("It is tried again by itself. Lower the sending limits, or have the provider raise its."),
    ),
    F.SENDER_MAILBOX_FULL: (
        _("The sender's own mailbox is full, so the server takes no mail from it."),
        _("Make room in the mailbox, or have its quota raised; then test again."),
    ),
    F.SERVER_LEAVES: (
        _("The server ended the connection with word that it can't serve now (421)."),
        _("It is tried again by itself. If this lasts, ask who runs the server."),
    ),
    F.TLS_DEMANDED: (
        _("The server takes mail over a secured line only."),
        _("Choose STARTTLS or TLS for outgoing mail in the profile."),
    ),
    F.LOGIN_DEMANDED: (
        _("The server takes mail only from those who log in, and nobody did."),
        _("Enter credentials for outgoing mail in the profile instead of anonymous sending."),
    ),
    F.GREYLISTED: (
        _("The server put the message off, as many do with senders that they don't know yet."),
        _("It is tried again by itself within minutes."),
    ),
    F.CONTENT_REFUSED: (
        _("A filter of the server refuses the message for its content or reputation."),
        _("Have whoever runs the server look into its filter's log for this time."),
    ),
    F.NO_RECEIPT: (
        _("The line broke while the message was handed over: nobody knows whether it left."),
        _("It is tried again by itself. If this lasts, look into the server's log."),
    ),
}
