"""The releases that the server can play, and what each refuses because it came later."""

from dataclasses import dataclass
from enum import StrEnum

#: Schema versions that a request may name, oldest first.
SCHEMAS = (
    "Exchange2007",
    "Exchange2007_SP1",
    "Exchange2010",
    "Exchange2010_SP1",
    "Exchange2010_SP2",
    "Exchange2013",
    "Exchange2013_SP1",
    "Exchange2015",
    "Exchange2015_SP1",
    "Exchange2016",
)
#: What a request without RequestServerVersion is taken for.
UNNAMED_SCHEMA = "Exchange2007_SP1"


@dataclass(frozen=True, slots=True)
class Release:
    """`schema`: the newest that it knows; `told`: what it calls it in its version header."""

    build: tuple[int, int, int, int]
    schema: str
    told: str

    def header(self) -> dict[str, str]:
        names = ("MajorVersion", "MinorVersion", "MajorBuildNumber", "MinorBuildNumber")
        return {**dict(zip(names, map(str, self.build), strict=True)), "Version": self.told}

    def knows(self, schema: str) -> bool:
        return schema in SCHEMAS and SCHEMAS.index(schema) <= SCHEMAS.index(self.schema)


class Edition(StrEnum):
    """Names of the releases, for tests and the control port."""

    E2010 = "2010"
    E2010_SP1 = "2010_SP1"
    E2010_SP3 = "2010_SP3"
    E2013 = "2013"
    E2013_SP1 = "2013_SP1"
    E2016 = "2016"
    E2019 = "2019"
    SUBSCRIPTION = "SE"
    ONLINE = "online"


RELEASES = {
    Edition.E2010: Release((14, 0, 726, 0), "Exchange2010", "Exchange2010"),
    Edition.E2010_SP1: Release((14, 1, 438, 0), "Exchange2010_SP1", "Exchange2010_SP1"),
    Edition.E2010_SP3: Release((14, 3, 513, 0), "Exchange2010_SP2", "Exchange2010_SP2"),
    Edition.E2013: Release((15, 0, 775, 38), "Exchange2013", "Exchange2013"),
    Edition.E2013_SP1: Release((15, 0, 1497, 48), "Exchange2013_SP1", "V2_23"),
    Edition.E2016: Release((15, 1, 2507, 39), "Exchange2016", "V2017_07_11"),
    Edition.E2019: Release((15, 2, 1118, 7), "Exchange2016", "V2017_07_11"),
    Edition.SUBSCRIPTION: Release((15, 2, 2562, 17), "Exchange2016", "V2017_07_11"),
    Edition.ONLINE: Release((15, 20, 8158, 21), "Exchange2016", "V2018_01_08"),
}

#: The schema that brought an operation; the others were there from the beginning.
OPERATION_SINCE = {
    "GetServerTimeZones": "Exchange2010",
    "CreateUserConfiguration": "Exchange2010",
    "GetUserConfiguration": "Exchange2010",
    "UpdateUserConfiguration": "Exchange2010",
    "DeleteUserConfiguration": "Exchange2010",
    "EmptyFolder": "Exchange2010_SP1",
    "GetStreamingEvents": "Exchange2010_SP1",
    "GetUserPhoto": "Exchange2013",
    "MarkAsJunk": "Exchange2013",
    "ArchiveItem": "Exchange2013",
}
#: The same for attributes and property paths.
ATTRIBUTE_SINCE = {"SuppressReadReceipts": "Exchange2013_SP1"}
FIELD_SINCE = {
    "item:ConversationId": "Exchange2010",
    "item:UniqueBody": "Exchange2010",
    "item:IsAssociated": "Exchange2010",
    "item:WebClientReadFormQueryString": "Exchange2010",
    "item:WebClientEditFormQueryString": "Exchange2010",
    "item:EffectiveRights": "Exchange2010",
    "item:Flag": "Exchange2013",
    "item:TextBody": "Exchange2013",
    "item:NormalizedBody": "Exchange2013",
    "item:InstanceKey": "Exchange2013",
    "item:Preview": "Exchange2013",
    "item:PolicyTag": "Exchange2013",
    "item:ArchiveTag": "Exchange2013",
    "item:RetentionDate": "Exchange2013",
    "folder:DistinguishedFolderId": "Exchange2013",
    "calendar:StartTimeZone": "Exchange2010",
    "calendar:EndTimeZone": "Exchange2010",
}


def is_older(schema: str, than: str) -> bool:
    return SCHEMAS.index(schema) < SCHEMAS.index(than)
