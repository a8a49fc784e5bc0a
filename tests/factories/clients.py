"""A browser without a screen, signed in, on the site's own machine."""

from django.test import Client


def signed_in(user) -> Client:
    client = Client(SERVER_NAME="127.0.0.1")
    client.force_login(user)
    return client
