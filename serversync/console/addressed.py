"""Screens of what has addresses: as their rooms show them, with a word about addresses that are shared."""

from activities.admin import AccountScreen, ContactScreen, LeadScreen
from mailboxes.admin import UserScreen
from serversync.console.conflicts import WarnsOfSharedAddresses


class UserConsole(WarnsOfSharedAddresses, UserScreen):
    pass


class AccountConsole(WarnsOfSharedAddresses, AccountScreen):
    pass


class ContactConsole(WarnsOfSharedAddresses, ContactScreen):
    pass


class LeadConsole(WarnsOfSharedAddresses, LeadScreen):
    pass
