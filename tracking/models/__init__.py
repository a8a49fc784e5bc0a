"""Rules by which mail is filed, and by which records are made of it; what site code still has to do."""

from tracking.models.counts import CreationCount
from tracking.models.folders import FolderLink, MailboxTrackingFolder
from tracking.models.hooks import HookRun
from tracking.models.rules import ConvertRule, ConvertRuleItem

__all__ = [
    "ConvertRule",
    "ConvertRuleItem",
    "CreationCount",
    "FolderLink",
    "HookRun",
    "MailboxTrackingFolder",
]
