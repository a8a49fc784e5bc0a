"""Placeholder replaced below."""


def connect() -> None: ...
