"""Passwords, client secrets and tokens: encrypted at rest, never shown, revealed in one place.

Keys come from settings.FIELD_ENCRYPTION_KEYS, newest first. A stored value is a Fernet token, which
carries the time it was made; so "set on" needs no column, and rotation keeps it.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from hmac import compare_digest
from typing import Any

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.apps import apps
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import models, transaction
from django.utils.translation import gettext as _


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

    def says(self, text: str) -> bool:
        """Whether this is it. Nobody may be told who couldn't have it sent anywhere (R1.9): answers add up."""
        try:
            return compare_digest(self.reveal().encode(), text.encode())
        except SecretUnreadable:
            return False

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

    def __str__(self) -> str:
        """What a page shows to who may not change it."""
        return _("set") if self._token else _("not set")

    def __copy__(self) -> "Secret":
        return self

    def __deepcopy__(self, memo: Any) -> "Secret":
        return self

    def __reduce__(self) -> Any:
        raise TypeError("A secret is not pickled.")


# -- rotation ------------------------------------------------------------------------------------


@dataclass(slots=True)
class Rotation:
    """What happened to one model. `unreadable`: (key of the row, column) that no key opens."""

    label: str
    rotated: int = 0
    unreadable: list[tuple[Any, str]] = field(default_factory=list)


def rotate(*, batch: int = 500) -> Iterator[Rotation]:
    """Re-encrypt every secret of every model with the first key, `batch` rows at a time.

    A column is written only if it still holds what was read, so that a password entered meanwhile
    stays."""
    for model in apps.get_models():
        if columns := _secret_columns(model):
            yield _rotate_model(model, columns, batch)


def _rotate_model(model: type[models.Model], columns: list[str], batch: int) -> Rotation:
    result = Rotation(model._meta.label)
    rows = model._default_manager.order_by("pk").values_list("pk", *columns)
    last: Any = None
    while page := list((rows if last is None else rows.filter(pk__gt=last))[:batch]):
        last = page[-1][0]
        with transaction.atomic():
            for key, *secrets in page:
                for column, secret in zip(columns, secrets, strict=True):
                    _rotate_one(model, key, column, secret, result)
    return result


def _rotate_one(
    model: type[models.Model], key: Any, column: str, secret: Secret, result: Rotation
) -> None:
    if not secret:
        return
    try:
        rotated = secret.rotated()
    except SecretUnreadable:
        result.unreadable.append((key, column))
        return
    result.rotated += model._default_manager.filter(pk=key, **{column: secret}).update(
        **{column: rotated}
    )


def _secret_columns(model: type[models.Model]) -> list[str]:
    return [one.attname for one in model._meta.concrete_fields if getattr(one, "is_secret", False)]
