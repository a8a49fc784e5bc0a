"""What the Exchange server does wrong on request, beside what all servers of the sandbox can.

    sandbox.faults.add(busy(back_off_milliseconds=1500, times=2))
    sandbox.faults.add(refuse("ErrorItemCorrupt", "GetItem", position=2))
    sandbox.faults.add(lost_answer("CreateItem"), conflict(position=3))

Commands are the operations, such as GetItem; `text` is looked for in the request's XML. What belongs to
an account (full, disabled, without a licence) is a switch of the account, see `Store.set_account`.
"""

from collections.abc import Mapping

from serversync.sandbox.faults import Fault, Kind

PROTOCOL = "ews"


def soap_fault(
    code: str, operation: str = "", *, times: int | None = 1, account: str = "", **values: object
) -> Fault:
    """`values` go into MessageXml."""
    return _fault(Kind.SOAP_FAULT, code, operation, times, account, values)


def busy(
    operation: str = "",
    *,
    back_off_milliseconds: int | None = None,
    times: int | None = 1,
    account: str = "",
) -> Fault:
    values: dict[str, object] = (
        {} if back_off_milliseconds is None else {"BackOffMilliseconds": back_off_milliseconds}
    )
    return soap_fault("ErrorServerBusy", operation, times=times, account=account, **values)


def refuse(
    code: str,
    operation: str = "",
    *,
    position: int | None = None,
    times: int | None = 1,
    account: str = "",
    **values: object,
) -> Fault:
    """In the answer to one thing of a request, which is otherwise obeyed. `position`: of that thing,
    from 0; None: all of them."""
    if position is not None:
        values["position"] = position
    return _fault(Kind.REFUSE, code, operation, times, account, values)


def lost_answer(
    operation: str, *, text: str = "", times: int | None = 1, account: str = ""
) -> Fault:
    """It is done, and the connection ends before the answer. `text`: in the request's XML."""
    return Fault(
        kind=Kind.DROP_AFTER,
        protocol=PROTOCOL,
        command=operation,
        text=text,
        times=times,
        account=account,
    )


def conflict(*, position: int | None = None, times: int | None = 1, account: str = "") -> Fault:
    """Somebody else wrote in between, whatever the change key says."""
    return refuse(
        "ErrorIrresolvableConflict", "UpdateItem", position=position, times=times, account=account
    )


def http_status(
    status: int,
    operation: str = "",
    *,
    retry_after: int | None = None,
    times: int | None = 1,
    account: str = "",
) -> Fault:
    """With a page that is no XML."""
    values: dict[str, object] = {} if retry_after is None else {"Retry-After": retry_after}
    return _fault(Kind.STATUS, str(status), operation, times, account, values)


def _fault(
    kind: Kind,
    name: str,
    operation: str,
    times: int | None,
    account: str,
    values: Mapping[str, object],
) -> Fault:
    argument = " ".join([name, *(f"{key}={value}" for key, value in values.items())])
    return Fault(
        kind=kind,
        protocol=PROTOCOL,
        command=operation,
        times=times,
        account=account,
        argument=argument,
    )


def told(fault: Fault) -> tuple[str, dict[str, str]]:
    """The code or status of a fault's argument, and the values behind it."""
    name, *pairs = fault.argument.split() or ["ErrorInternalServerError"]
    return name, {key: value for key, _, value in (pair.partition("=") for pair in pairs)}
