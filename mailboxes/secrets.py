"""Passwords, client secrets and tokens: encrypted at rest, never shown, revealed in one place.

Keys come from settings.FIELD_ENCRYPTION_KEYS, newest first. A stored value is a Fernet token, which
carries the time it was made; so "set on" needs no column, and rotation keeps it.
"""

from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured


class SecretUnreadable(Exception):
    """No configured key opens the stored value: a key was removed before `rotate_secrets` ran."""


@lru_cache(maxsize=4)
def _fernet_for(keys: tuple[str, ...]) -> MultiFernet:
    try:
        return MultiFernet([Fernet(key) for key in keys])
    except ValueError as error:
        raise ImproperlyConfigured(
            "FIELD_ENCRYPTION_KEYS must be a comma-separated list of Fernet keys."
        ) from error


def _fernet() -> MultiFernet:
    keys = tuple(settings.FIELD_ENCRYPTION_KEYS)
    if not keys:
        raise ImproperlyConfigured("FIELD_ENCRYPTION_KEYS is empty; no secret can be stored.")
    return _fernet_for(keys)


class Secret:
    """A secret that prints as dots wherever it turns up. Only `reveal` gives the text."""

    __slots__ = ("_token",)

    def __init__(self, token: str) -> None:
        self._token = token

    @classmethod
    def conceal(cls, text: str) -> "Secret":
        return cls(_fernet().encrypt(text.encode()).decode() if text else "")

    def reveal(self) -> str:
        """The plain text; "" if none is set. Raises SecretUnreadable."""
        if not self._token:
            return ""
        try:
            return _fernet().decrypt(self._token.encode()).decode()
        except InvalidToken as error:
            raise SecretUnreadable(
                "A stored secret can't be opened with the configured FIELD_ENCRYPTION_KEYS. "
                "Put the former key back behind the new one, or enter the secret again."
            ) from error

    def rotated(self) -> "Secret":
        """The same secret under the first key."""
        if not self._token:
            return self
        try:
            return Secret(_fernet().rotate(self._token.encode()).decode())
        except InvalidToken as error:
            raise SecretUnreadable(
                "A stored secret can't be opened with the given keys."
            ) from error

    @property
    def set_on(self) -> datetime | None:
        if not self._token:
            return None
        try:
            return datetime.fromtimestamp(_fernet().extract_timestamp(self._token.encode()), UTC)
        except InvalidToken:
            return None

    @property
    def token(self) -> str:
        """What is stored."""
        return self._token

    def __bool__(self) -> bool:
        return bool(self._token)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._token == self._token

    def __hash__(self) -> int:
        return hash(self._token)

    def __repr__(self) -> str:
        return "Secret(set)" if self._token else "Secret()"

    __str__ = __repr__

    def __reduce__(self) -> Any:
        raise TypeError("A secret is not pickled.")
