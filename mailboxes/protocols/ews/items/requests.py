"""Operations that write, each request at most once, and the few that read what others don't."""

from collections.abc import Iterable, Iterator

from mailboxes.protocols.ews.operations import Answer, Element, Operation


class GetAttachment(Operation):
    SERVICE_NAME = "GetAttachment"


class Once(Operation):
    """In one version of the schema. Each thing that was asked for has an answer of its own: what is said of one
    is said of that one alone, for the others may have been done."""

    def _api_versions_to_try(self) -> tuple[str]:
        return (self._version_hint.api_version,)

    def _get_elements_in_response(self, response: Iterable[Element]) -> Iterator[Answer]:
        for message in response:
            answer = self._get_element_container(message)
            yield message if answer is True else answer


class CreateItem(Once):
    SERVICE_NAME = "CreateItem"


class UpdateItem(Once):
    SERVICE_NAME = "UpdateItem"


class DeleteItem(Once):
    SERVICE_NAME = "DeleteItem"


class CreateAttachment(Once):
    SERVICE_NAME = "CreateAttachment"


class DeleteAttachment(Once):
    SERVICE_NAME = "DeleteAttachment"
