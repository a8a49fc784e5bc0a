"""Mailboxes, profiles, queues, alerts: the rooms' screens with what the engine adds to them."""
