"""Small mail servers on loopback for the quick start and the tests: SMTP, POP3, IMAP and Exchange.

They keep accounts in one store, misbehave on request (`faults`), and play the world outside, whose
people answer what they are sent (`outside`). Nothing in the product imports this package except the
commands `quickstart` and `sandbox`.

Exchange is a package of its own, `ews`. The others are written on the standard library alone. The servers that were tried instead know no
PIPELINING, SIZE or SMTPUTF8 (twisted), no UIDPLUS, MOVE or CONDSTORE (twisted) or no PIPELINING
(aiosmtpd), and none of them can be told to break off at a given command.
"""
