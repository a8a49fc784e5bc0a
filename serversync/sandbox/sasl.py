"""What a client shows with a token, read: OAUTHBEARER (RFC 7628) and XOAUTH2."""

import json

OAUTHBEARER, XOAUTH2 = "OAUTHBEARER", "XOAUTH2"
MECHANISMS = (OAUTHBEARER, XOAUTH2)


def parse(mechanism: str, shown: bytes) -> tuple[str, str]:
    """The account and the token. Raises ValueError."""
    fields = shown.decode().split("\x01")
    if mechanism == XOAUTH2:
        head, *rest, empty, last = fields
        name = head.removeprefix("user=")
        malformed = not head.startswith("user=") or empty or last
    else:
        head, *rest, empty, last = fields
        binding, name, nothing = _gs2(head)
        malformed = binding not in ("n", "y") or nothing or empty or last
    token = next((each[12:] for each in rest if each.lower().startswith("auth=bearer ")), "")
    if malformed or not name or not token:
        raise ValueError("not what this mechanism says")
    return name, token


def _gs2(head: str) -> tuple[str, str, str]:
    """ "n,a=ada@example.com," (RFC 5801, section 4)."""
    binding, name, nothing = head.split(",")
    if not name.startswith("a="):
        raise ValueError("no account is named")
    return binding, name[2:].replace("=2C", ",").replace("=3D", "="), nothing


def error(mechanism: str, reason: str) -> str:
    if mechanism == XOAUTH2:
        status = "401" if reason == "invalid_token" else "400"
        return json.dumps({"status": status, "schemes": "bearer", "scope": "mail"})
    return json.dumps({"status": reason, "scope": "mail"})
