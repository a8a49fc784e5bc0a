"""The property paths of the schema, in its order, and which of them each kind of item has."""

_ITEM = """
    MimeContent ItemId ParentFolderId ItemClass Subject Sensitivity Body Attachments DateTimeReceived Size
    Categories Importance InReplyTo IsSubmitted IsDraft IsFromMe IsResend IsUnmodified InternetMessageHeaders
    DateTimeSent DateTimeCreated ResponseObjects ReminderDueBy ReminderIsSet ReminderNextTime
    ReminderMinutesBeforeStart DisplayCc DisplayTo HasAttachments Culture EffectiveRights LastModifiedName
    LastModifiedTime IsAssociated WebClientReadFormQueryString WebClientEditFormQueryString ConversationId
    UniqueBody Flag StoreEntryId InstanceKey NormalizedBody EntityExtractionResult PolicyTag ArchiveTag
    RetentionDate Preview RightsManagementLicenseData NextPredictedAction GroupingAction PredictedActionReasons
    IsClutter BlockStatus HasBlockedImages TextBody IconIndex MimeContentUTF8 Mentions MentionedMe
    MentionsPreview SearchKey SortKey Hashtags AppliedHashtags Likes LikesPreview
"""
_MESSAGE = """
    Sender ToRecipients CcRecipients BccRecipients IsReadReceiptRequested IsDeliveryReceiptRequested
    ConversationIndex ConversationTopic From InternetMessageId IsRead IsResponseRequested References ReplyTo
    ReceivedBy ReceivedRepresenting ApprovalRequestData VotingInformation ReminderMessageData
"""
_CALENDAR = """
    UID RecurrenceId DateTimeStamp Start End OriginalStart IsAllDayEvent LegacyFreeBusyStatus Location
    EnhancedLocation When IsMeeting IsCancelled IsRecurring MeetingRequestWasSent IsResponseRequested
    CalendarItemType MyResponseType Organizer RequiredAttendees OptionalAttendees Resources
    InboxReminders ConflictingMeetingCount AdjacentMeetingCount ConflictingMeetings AdjacentMeetings Duration
    TimeZone AppointmentReplyTime AppointmentSequenceNumber AppointmentState Recurrence FirstOccurrence
    LastOccurrence ModifiedOccurrences DeletedOccurrences MeetingTimeZone StartTimeZone EndTimeZone
    ConferenceType AllowNewTimeProposal IsOnlineMeeting MeetingWorkspaceUrl NetShowUrl JoinOnlineMeetingUrl
    OnlineMeetingSettings IsOrganizer
"""
_CONTACTS = """
    FileAs FileAsMapping DisplayName GivenName Initials MiddleName Nickname CompleteName CompanyName
    EmailAddresses AbchEmailAddresses PhysicalAddresses PhoneNumbers AssistantName Birthday BusinessHomePage
    Children Companies ContactSource Department Generation ImAddresses JobTitle Manager Mileage OfficeLocation
    PostalAddressIndex Profession SpouseName Surname WeddingAnniversary HasPicture PhoneticFullName
    PhoneticFirstName PhoneticLastName Alias Notes Photo UserSMIMECertificate MSExchangeCertificate
    DirectoryId ManagerMailbox DirectReports AccountName IsAutoUpdateDisabled IsMessengerEnabled Comment
    ContactShortId ContactType Gender IsHidden ObjectId PassportId IsPrivate SourceId TrustLevel CreatedBy Urls
    Cid SkypeAuthCertificate SkypeContext SkypeId XboxLiveTag SkypeRelationship YomiNickname InviteFree
    HideProfilePhoto
"""
_TASK = """
    ActualWork AssignedTime BillingInformation ChangeCount Companies CompleteDate Contacts DelegationState
    Delegator DueDate IsAssignmentEditable IsComplete IsRecurring IsTeamTask Mileage Owner PercentComplete
    Recurrence StartDate Status StatusDescription TotalWork
"""
_MEETING = """
    AssociatedCalendarItemId IsDelegated IsOutOfDate HasBeenProcessed ResponseType ProposedStart ProposedEnd
"""
_MEETING_REQUEST = "MeetingRequestType IntendedFreeBusyStatus ChangeHighlights"
_CONVERSATION = """
    ConversationId ConversationTopic UniqueRecipients GlobalUniqueRecipients UniqueUnreadSenders
    UniqueSenders LastDeliveryTime Categories FlagStatus HasAttachments MessageCount UnreadCount Size
    ItemClasses Importance ItemIds LastModifiedTime InstanceKey Preview
"""
_PERSONA = """
    PersonaId PersonaType GivenName CompanyName Surname DisplayName EmailAddress FileAs HomeCity CreationTime
    RelevanceScore WorkCity PersonaObjectStatus FileAsId DisplayNamePrefix YomiCompanyName YomiFirstName
    YomiLastName Title EmailAddresses PhoneNumber ImAddress ImAddresses ImAddresses2 ImAddresses3 FolderIds
    Attributions DisplayNames Initials FileAses FileAsIds DisplayNamePrefixes GivenNames MiddleNames Surnames
    Generations Nicknames YomiCompanyNames YomiFirstNames YomiLastNames BusinessPhoneNumbers
    BusinessPhoneNumbers2 HomePhones HomePhones2 MobilePhones MobilePhones2 AssistantPhoneNumbers
    CallbackPhones CarPhones HomeFaxes OrganizationMainPhones OtherFaxes OtherTelephones OtherPhones2 Pagers
    RadioPhones TelexNumbers TTYTDDPhoneNumbers WorkFaxes Emails1 Emails2 Emails3 BusinessHomePages
    PersonalHomePages OfficeLocations BusinessAddresses HomeAddresses OtherAddresses Titles Departments
    CompanyNames Managers AssistantNames Professions SpouseNames Children Schools Hobbies
    WeddingAnniversaries Birthdays Locations Bodies DisplayNameFirstLast DisplayNameLastFirst
    DisplayNameFirstLastHeader DisplayNameLastFirstHeader DisplayNameFirstLastSortKey
    DisplayNameLastFirstSortKey CompanyNameSortKey HomeCitySortKey WorkCitySortKey FileAsHeader MiddleName
    Nickname Department Generation ThirdPartyPhotoUrls
"""
_FOLDER = """
    FolderId ParentFolderId FolderClass DisplayName TotalCount ChildFolderCount ManagedFolderInformation
    SearchParameters EffectiveRights SharingEffectiveRights PermissionSet DistinguishedFolderId PolicyTag
    ArchiveTag ReplicaList UnreadCount
"""


def _paths(prefix: str, names: str) -> list[str]:
    return [f"{prefix}:{name}" for name in names.split()]


ITEM = _paths("item", _ITEM)
MESSAGE = _paths("message", _MESSAGE)
CALENDAR = _paths("calendar", _CALENDAR)
CONTACTS = _paths("contacts", _CONTACTS)
TASK = _paths("task", _TASK)
MEETING = _paths("meeting", _MEETING)
MEETING_REQUEST = _paths("meetingRequest", _MEETING_REQUEST)
FOLDER = _paths("folder", _FOLDER)

#: Kind of item, by its element -> its paths in the order of the schema.
BY_TAG: dict[str, list[str]] = {
    "Item": ITEM,
    "Message": ITEM + MESSAGE,
    "CalendarItem": ITEM + CALENDAR,
    "Contact": ITEM + CONTACTS,
    "DistributionList": [
        *ITEM,
        *_paths("contacts", "DisplayName FileAs ContactSource"),
        "distributionlist:Members",
    ],
    "Task": ITEM + TASK,
    "PostItem": ITEM
    + _paths(
        "message",
        "ConversationIndex ConversationTopic From InternetMessageId IsRead References Sender",
    )
    + ["postitem:PostedTime"],
    "MeetingMessage": ITEM + MESSAGE + MEETING,
    "MeetingRequest": ITEM + MESSAGE + MEETING + MEETING_REQUEST + CALENDAR,
    "MeetingResponse": ITEM + MESSAGE + MEETING + CALENDAR,
    "MeetingCancellation": ITEM + MESSAGE + MEETING + CALENDAR,
}
ITEM_TAGS = frozenset(BY_TAG)
#: The class that an item of this kind gets, and the class of folder that takes it ("" for any).
CLASS_OF_TAG = {
    "Item": ("IPM.Note", ""),
    "Message": ("IPM.Note", ""),
    "CalendarItem": ("IPM.Appointment", "IPF.Appointment"),
    "Contact": ("IPM.Contact", "IPF.Contact"),
    "DistributionList": ("IPM.DistList", "IPF.Contact"),
    "Task": ("IPM.Task", "IPF.Task"),
    "PostItem": ("IPM.Post", "IPF.Note"),
    "MeetingMessage": ("IPM.Schedule.Meeting", ""),
    "MeetingRequest": ("IPM.Schedule.Meeting.Request", ""),
    "MeetingResponse": ("IPM.Schedule.Meeting.Resp.Pos", ""),
    "MeetingCancellation": ("IPM.Schedule.Meeting.Canceled", ""),
}
#: Beginning of an item class -> the element that shows it; the longest that fits.
TAG_OF_CLASS = {
    "IPM.Schedule.Meeting.Request": "MeetingRequest",
    "IPM.Schedule.Meeting.Resp": "MeetingResponse",
    "IPM.Schedule.Meeting.Canceled": "MeetingCancellation",
    "IPM.Appointment": "CalendarItem",
    "IPM.Contact": "Contact",
    "IPM.DistList": "DistributionList",
    "IPM.Task": "Task",
    "IPM.Post": "PostItem",
}

#: IndexedFieldURI path -> (element that holds the entries, element inside the entry or "").
INDEXED = {
    "contacts:EmailAddress": ("EmailAddresses", ""),
    "contacts:PhoneNumber": ("PhoneNumbers", ""),
    "contacts:ImAddress": ("ImAddresses", ""),
    **{
        f"contacts:PhysicalAddress:{part}": ("PhysicalAddresses", part)
        for part in ("Street", "City", "State", "CountryOrRegion", "PostalCode")
    },
    "item:InternetMessageHeader": ("InternetMessageHeaders", ""),
}

KNOWN = (
    {path for paths in BY_TAG.values() for path in paths}
    | set(FOLDER)
    | set(_paths("conversation", _CONVERSATION))
    | set(_paths("persona", _PERSONA))
    | {
        "contacts:PhysicalAddress",
        "contacts:EmailAddress",
        "contacts:PhoneNumber",
        "contacts:ImAddress",
    }
)
PLACE = {tag: {path: place for place, path in enumerate(paths)} for tag, paths in BY_TAG.items()}

#: FindItem and SyncFolderItems have none of these; they come from GetItem alone.
ONLY_FROM_GET_ITEM = frozenset(
    """
    item:MimeContent item:MimeContentUTF8 item:Body item:TextBody item:UniqueBody item:NormalizedBody
    item:Attachments item:InternetMessageHeaders item:ResponseObjects message:ToRecipients
    message:CcRecipients message:BccRecipients message:ReplyTo calendar:RequiredAttendees
    calendar:OptionalAttendees calendar:Resources calendar:Recurrence calendar:FirstOccurrence
    calendar:LastOccurrence calendar:ModifiedOccurrences calendar:DeletedOccurrences task:Recurrence
    distributionlist:Members contacts:Photo
    """.split()  # noqa: SIM905
)
DEFAULTS = {
    "Message": (
        "item:ParentFolderId item:ItemClass item:Subject item:Sensitivity item:Body item:Attachments"
        " item:DateTimeReceived item:Size item:Importance item:IsSubmitted item:IsDraft item:IsFromMe item:IsResend"
        " item:IsUnmodified item:DateTimeSent item:DateTimeCreated item:DisplayCc item:DisplayTo"
        " item:HasAttachments message:Sender message:ToRecipients message:CcRecipients"
        " message:IsReadReceiptRequested message:From message:IsRead"
    ),
    "CalendarItem": (
        "item:ParentFolderId item:ItemClass item:Subject item:HasAttachments calendar:Start calendar:End"
        " calendar:LegacyFreeBusyStatus calendar:Location calendar:Organizer calendar:CalendarItemType"
    ),
    "Contact": "item:ParentFolderId item:ItemClass contacts:FileAs contacts:DisplayName contacts:EmailAddresses",
    "Task": "item:ParentFolderId item:ItemClass item:Subject task:DueDate task:Status task:PercentComplete",
}


def default_paths(tag: str) -> list[str]:
    return DEFAULTS.get(tag, DEFAULTS["Message"]).split()


def element_name(path: str) -> str:
    """Of the element that carries a property."""
    return path.split(":")[1]


def tag_of_class(item_class: str) -> str:
    fitting = [known for known in TAG_OF_CLASS if item_class.startswith(known)]
    return TAG_OF_CLASS[max(fitting, key=len)] if fitting else "Message"
