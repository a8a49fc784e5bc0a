"""TXT records, looked up in DNS."""

import dns.exception
import dns.resolver


def look_up(name: str, timeout_seconds: float = 10.0) -> tuple[str, ...] | None:
    """The texts at this name, () if there are none; None if nobody answered."""
    try:
        answer = dns.resolver.resolve(name, "TXT", lifetime=timeout_seconds, search=False)
    except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
        return ()
    except dns.exception.DNSException:
        return None
    return tuple(b"".join(row.strings).decode("utf-8", "replace") for row in answer)
