"""Rules by which mail is filed, and by which records are made of it."""

from tracking.models.folders import FolderLink, MailboxTrackingFolder
from tracking.models.rules import ConvertRule, ConvertRuleItem

__all__ = ["ConvertRule", "ConvertRuleItem", "FolderLink", "MailboxTrackingFolder"]
