"""How servers differ: every behaviour that has been met somewhere, as a switch. All off: Exchange itself."""

from dataclasses import dataclass, fields, replace

from serversync.sandbox.ews.versions import Edition


@dataclass(frozen=True, slots=True, kw_only=True)
class Quirks:
    # -- synchronization
    silent_sync_restart: bool = False
    """A sync state that is no longer known gives no error: everything comes again as Create."""
    sync_ignores_missing_folder: bool = False
    """Synchronizing a deleted folder gives an empty answer instead of an error."""
    newest_change_first: bool = False
    """The changes of a page come newest first."""
    read_flag_as_update: bool = False
    """A changed read flag comes as Update instead of ReadFlagChange."""
    # -- ids
    immutable_ids: bool = False
    """A moved item keeps its id."""
    move_answers_nothing: bool = False
    """MoveItem and CopyItem leave the new id out."""
    missing_folder_property_error: bool = False
    """GetFolder on a missing folder says ErrorFolderPropertyRequestFailed."""
    malformed_id_fails_batch: bool = False
    """One malformed id refuses the whole request with a fault."""
    # -- content
    regenerated_mime: bool = False
    """MIME is written anew at each read: other boundaries, headers the server doesn't know left out."""
    fraction_digits: int = 0
    """Fractional digits of timestamps: 6 or 9 are met."""
    no_received_time: bool = False
    """Created and uploaded items have no DateTimeReceived."""
    no_conflict_errors: bool = False
    """A stale change key is taken."""
    ignores_inline_attachments: bool = False
    """CreateItem drops the attachments inside the item."""
    draft_stays: bool = False
    """SendItem leaves the draft where it is and puts nothing into Sent Items."""
    no_sent_copy: bool = False
    """CreateItem with SendAndSaveCopy puts nothing into the folder."""
    unexpanded_views: bool = False
    """Calendar views hold series themselves instead of their occurrences."""
    # -- the line
    second_answer_after_fault: bool = False
    """After a SOAP fault a second, foreign response follows on the kept connection."""
    closes_after_large_body: bool = False
    """The connection is closed, unannounced, after a request body of more than 64 KB."""
    no_version_header: bool = False
    # -- what is refused
    missing_operations: frozenset[str] = frozenset()
    """Operations that aren't there, such as GetServerTimeZones or Subscribe."""
    refused_restrictions: frozenset[str] = frozenset()
    """Search expressions that are refused: IsGreaterThanOrEqualTo, IsLessThanOrEqualTo, and
    Categories for any comparison of categories."""
    one_unresolved_entry: bool = True
    """ResolveNames takes one name a request, as the schema has it."""
    # -- limits: None is no limit
    find_count_limit: int | None = None
    pull_subscription_limit: int | None = 20
    streaming_connection_limit: int | None = 10
    concurrent_request_limit: int | None = 27
    max_message_bytes: int = 36 * 1024 * 1024
    max_attachment_bytes: int = 36 * 1024 * 1024
    # -- which server it is
    edition: Edition = Edition.E2019

    def as_dict(self) -> dict[str, object]:
        """As JSON has it."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {
            name: sorted(value) if isinstance(value, frozenset) else value
            for name, value in values.items()
        }

    def changed(self, name: str, value: object) -> "Quirks":
        """With one switch set; lists become sets, as the control port writes them. Raises ValueError."""
        known = {field.name: field for field in fields(self)}
        if name not in known:
            raise ValueError(f"{name!r} is no quirk: one of {', '.join(known)}")
        return replace(self, **{name: _fitting(name, known[name].default, value)})  # type: ignore[arg-type]


def _fitting(name: str, default: object, value: object) -> object:
    """`value` as a switch with this default takes it. Raises ValueError."""
    if isinstance(default, Edition):
        return Edition(str(value))
    if isinstance(default, frozenset):
        return frozenset(map(str, value)) if isinstance(value, list) else frozenset([str(value)])
    if isinstance(default, bool):
        if not isinstance(value, bool):
            raise ValueError(f"{name} is true or false")
        return value
    if value is not None and (isinstance(value, bool) or not isinstance(value, int)):
        raise ValueError(f"{name} is a number")
    return value
