"""Notices that follow no standard: which addresses failed, and why, read from the words of a server.

Nothing here tells whether a message is such a notice on words alone: people write the same words. The
caller knows who sent it (signs).
"""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from activities.mime.message import ReportedRecipient
from activities.mime.statuses import (
    find_reply_code,
    find_status,
    is_hard,
    one_diagnostic,
    refined,
)

MAX_NOTICE = 64 * 1024
MAX_LINES = 400
MAX_RECIPIENTS = 100
MAX_DIAGNOSTIC_LINES = 8

_ADDRESS = re.compile(
    r"(?<![\w.!#$%&'*+/=?^`{|}~-])(\"[^\"@\n]{1,64}\"|[\w.!#$%&'*+/=?^`{|}~-]{1,128})"
    r"@([^\W_](?:[\w.-]{0,250}[^\W_])?)"
)
_ALONE = re.compile(r"[\s*<>\"'(\[・·•-]{0,20}(?:[45]\d\d[ -](?:\d\.\d{1,3}\.\d{1,3} )?[<\"]?)?$")
_BEHIND = re.compile(r"[\s<>\"')\]]{0,20}(?:$|[:;(\[,]|\.{2,3}|(?:on|am|le|el|il|op|em) \w{2})")
_LABEL = re.compile(
    r"(?:recipients?|rcpt to|to|user(?:name)?|mail ?box|address(?:ee)?|attempts|failed|userid|deliver(?:y|ed) (?:to|for)|"
    r"(?:final|original)-recipient|reason for|following|for|empf[äa]nger|an|destinataires?|destinatari[oi]s?|"
    r"宛先|あて先|送信先|ユーザ|メールアドレス|收件人)(?: (?:address|is))?(?: ?[:：;=]| )[\s<\"'(\[]{0,10}(?:rfc822;\s?)?$",
    re.IGNORECASE,
)
_GENERATED = 4
_MADE_OF = re.compile(r"\((?:generated|expanded) from:?[\s<]*$")
_X400 = re.compile(r"dda:SMTP=", re.IGNORECASE)
_ADDRESSEE = re.compile(r"[\s>]*(?:to|b?cc)\s*:[\s<]*", re.IGNORECASE)
_COLON = re.compile(r"[:：;=<\[]")
_ASIDE = re.compile(
    r"contact|postmaster|abuse|help|support|send (?:e-?)?mail to|further assistance|questions|"
    r"mailto|http|visit|\bfrom\b|sender|reply-to|return-path|mail from|reporting|message-id|^\s*id\b",
    re.IGNORECASE,
)
_RULE = re.compile(r"\s*[-=_*]{3}")
_SERVER_LOCALS = frozenset({"postmaster", "mailer-daemon", "abuse", "noreply", "no-reply", "root"})

_FAILED = re.compile(
    r"(?:could|can) ?(?:not|n't) be (?:delivered|sent|routed|reached|processed)|"
    r"(?:was|were|is|has been|been|been) (?:not|un) ?(?:able to be )?(?:delivered|sent|deliverable)|"
    r"(?:not|n't) (?:been )?(?:delivered|able to (?:deliver|send))|unable to (?:be )?(?:deliver|send|route|complete)|"
    r"undeliver(?:able|ed)|non-?deliver|delivery (?:has |was |status notification \()?(?:failed|failure|error|abort)|"
    r"(?:failed|failure|failing|fails) (?:to deliver|delivery|notice|address)|failure notice|"
    r"(?:can ?not|can't|couldn't|could not|did not|didn't|won't) (?:deliver|reach|find your|accept|be found|send)|"
    r"return(?:ed|ing) (?:mail|message|to sender|e-?mail|your)|message (?:rejected|returned|bounced|failed|undeliver)|"
    r"(?:mail|message|recipients?|addresses) (?:has been |have been |was |were |had |is )?(?:rejected|bounced|refused|"
    r"returned|blocked)|delivery errors?|fatal errors?|permanent(?:ly)? (?:error|fail|reject)|delivery problem|"
    r"mail(?: system)? error|error (?:mail|in (?:mail )?delivery)|bounce (?:notif|message)|nondeliver|"
    r"following (?:recipients?|address(?:es)?|destination|error)|user unknown|unknown user|no such user|"
    r"message status|attempting to deliver|not (?:a )?valid (?:user|address|recipient)|malformed|"
    r"mail failure|incorrectly constructed|invalid user|no (?:valid|such) recipient|delivery (?:report|notification).{0,20}fail|failed (?:mail|message|recipient)|"
    r"non (?:è stato|e' stato|recapit|remis)|unzustellbar|nicht (?:zugestellt|gesendet|ausgeliefert)|"
    r"n'(?:a|ont) pas (?:pu )?(?:[êe]t[rée]+ )?(?:remis|livr|distribu|[êe]tre)|(?:échec|echec) de|"
    r"no (?:se )?(?:ha )?(?:pudo|podido|pudieron|entregad|se entreg)|devuelto|não (?:foi|pôde|pode)|devolvid|"
    r"配信(?:できません|不能|エラー|に失敗)|送信(?:できません|不能|エラー)|届け(?:る|ら)|送れません|届きません|"
    r"送信できませんでした|メールエラー|エラーメール|不達|返送|戻って|"
    r"не (?:может быть )?доставл|не удалось|недостав|нет возможности|niedostarczon|nie (?:można|może)|"
    r"niet (?:afgeleverd|bezorgd|worden)|onbestelbaar|kunde inte|ikke leveres|退信|退件|无法(?:投递|送达|传递|送到|发送)|传输失败|发送失败|"
    r"投递失败|未送达|被退回|無法傳遞|teslim edilemedi",
    re.IGNORECASE,
)
_DELAYED = re.compile(
    r"\bdelay(?:ed|s)?\b|warning: (?:could not|message|delivery)|still (?:being )?(?:retr|tr[yi]|in (?:the )?queue|"
    r"attempt|queued)|(?:will|shall) (?:keep|continue|be (?:retried|attempted)|retry|try again)|keep trying|"
    r"not (?:yet )?been delivered (?:yet|after|for)|not yet (?:been )?delivered|verzögert|verz[öo]egert|retard[ée]|"
    r"retrasad|retrasó|demora|ritardat|in ritardo|vertraagd|fördröj|задерж|opóźnion|遅延|遅れ|延迟|延遲|"
    r"delivery (?:is )?(?:in progress|pending)|deferred",
    re.IGNORECASE,
)
_GIVEN_UP = re.compile(
    r"giving up|given up|no longer (?:be )?(?:retr|tr[yi])|(?:will|shall) not (?:be )?(?:retr|try|deliver)|"
    r"(?:permanent|fatal) (?:error|failure)|has (?:been )?expired|could not be delivered for|"
    r"(?:has been|have been|was|is|is being|are being) returned|"
    r"retry (?:time(?:out)? )?(?:not reached|exceeded)|for too long|could not be delivered within|"
    r"status notification \(failure\)|^returned mail",
    re.IGNORECASE,
)
_SUCCESS = re.compile(
    r"(?:success(?:fully|ful)? (?:deliver|mail|relay)|(?:was|were|been|has) (?:successfully )?(?:delivered|relayed) "
    r"(?:to|success)|delivery status notification \((?:success|relay)|delivered successfully|return receipt|"
    r"mail delivery report|erfolgreich zugestellt|配信完了|confirmation of delivery)",
    re.IGNORECASE,
)
_SUBJECT = re.compile(
    r"^[ \t>]*(?:subject|betreff|objet|asunto|oggetto|assunto|onderwerp|emne|ämne|тема|件名|主题|主旨|"
    r"the subject of the message is)[ \t\u00a0]*[:：][ \t\u00a0]*(\S[^\n]{0,1000})$",
    re.IGNORECASE | re.MULTILINE,
)
_REJECTED_BY_RULE = re.compile(r"(?:automatically )?reject|refused|quota", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """What the subject and the notice of a server say."""

    failed: bool
    delayed: bool
    success: bool
    rejected: bool
    coded: bool

    @property
    def any(self) -> bool:
        return self.failed or self.delayed or self.success


def read_words(subject: str, notice: str) -> Words:
    told = f"{subject}\n{notice[:4_000]}"
    delayed = bool(_DELAYED.search(told)) and not _GIVEN_UP.search(told)
    return Words(
        failed=bool(_FAILED.search(told)),
        delayed=delayed,
        success=bool(_SUCCESS.search(told)),
        rejected=bool(_REJECTED_BY_RULE.search(told)),
        coded=bool(find_status(notice) or find_reply_code(notice)),
    )


def told_subject(notice: str) -> str:
    """Of the message it is about, where a server tells no more of it."""
    match = _SUBJECT.search(notice[:MAX_NOTICE])
    return match.group(1).strip() if match else ""


def names_other(notice: str, own: Collection[str], *, loosely: bool = False) -> bool:
    """Whether an address that is not one of `own` stands where servers put those that failed.

    `loosely`: or where people may put one, too.
    """
    least = 1 if loosely else 2
    lines = notice[:MAX_NOTICE].split("\n")[:MAX_LINES]
    keys = {address.lower() for address in own}
    return any(
        match.group().lower() not in keys and _place(line, match) >= least
        for line in lines
        if not _ASIDE.search(line)
        for match in _ADDRESS.finditer(line[:1_000])
    )


def says_failed(text: str) -> bool:
    return _FAILED.search(text) is not None


def read_recipients(
    notice: str,
    *,
    action: str,
    known: Sequence[str] = (),
    returned_to: Sequence[str] = (),
    own: Collection[str] = (),
) -> tuple[ReportedRecipient, ...]:
    """`known`: addresses that a field names. `own`: addresses of the report itself."""
    lines = notice[:MAX_NOTICE].split("\n")[:MAX_LINES]
    told = _told(lines, {a.lower() for a in returned_to}, {a.lower() for a in own})
    addresses = known or tuple(told) or (tuple(returned_to) if len(returned_to) == 1 else ("",))
    by_key = {address.lower(): number for address, number in told.items()}
    return tuple(
        _recipient(address, action, _diagnostic(lines, by_key.get(address.lower(), -1)))
        for address in addresses[:MAX_RECIPIENTS]
    )


def _recipient(address: str, action: str, diagnostic: str) -> ReportedRecipient:
    status = refined("", diagnostic)
    return ReportedRecipient(
        address=address,
        action=action,
        status=status,
        diagnostic=diagnostic,
        hard=action == "failed" and is_hard(status, diagnostic),
    )


def _told(lines: Sequence[str], returned_to: set[str], own: set[str]) -> dict[str, int]:
    """The addresses a server says it failed at, with the line of each: those at the clearest place."""
    found: dict[str, tuple[int, int]] = {}
    for number, line in enumerate(lines):
        for match in _ADDRESS.finditer(_X400.sub("recipient: <", line[:1_000])):
            address = match.group().strip("'")
            if address.partition("@")[0].lower() in _SERVER_LOCALS:
                continue
            place = _place(match.string, match) or int(address.lower() in returned_to)
            if place == _GENERATED:
                found = {a: at for a, at in found.items() if at[1] < number - 1}
            if place > found.get(address, (0, 0))[0]:
                found[address] = (min(place, 3), number)
            elif not place and not _ASIDE.search(line):
                found.setdefault(address, (0, number))
    return _clearest(found, own - returned_to)


def _clearest(found: Mapping[str, tuple[int, int]], own: set[str]) -> dict[str, int]:
    """A sender's own address counts where there is no other: people write to themselves."""
    foreign = {a: at for a, at in found.items() if a.lower() not in own}
    some = foreign or found
    best = max((place for place, _ in some.values()), default=0)
    return {address: number for address, (place, number) in some.items() if place == best}


def _place(line: str, match: re.Match[str]) -> int:
    """4: a server names what it made another address of, and that was written to; 3: it begins a line or
    is all of it; 2: a label with a colon stands before it; 1: a word that a person may put there, too, or
    the description of the message; 0: it is somewhere."""
    before, after = line[: match.start()], line[match.end() :]
    if _MADE_OF.search(before):
        return _GENERATED
    if _ALONE.match(before) and _BEHIND.match(after):
        return 3
    label = _LABEL.search(before)
    if label is None:
        return 0
    return 1 if _ADDRESSEE.fullmatch(before) else 1 + bool(_COLON.search(label.group()))


def _diagnostic(lines: Sequence[str], number: int) -> str:
    """What is said of the address in line `number`: its paragraph if that holds a code, else the next one
    that does, else what follows it, or what stands before it where nothing follows. -1: of the message."""
    said = _paragraph(lines, number) if number >= 0 else ""
    if find_status(said) or find_reply_code(said):
        return one_diagnostic(said)
    rest = _ADDRESS.sub("", said).strip(" <>:\t\n.")
    rest = rest if len(rest) > 3 else ""
    coded = _paragraph_with_code(lines, number)
    if coded or number < 0:
        return one_diagnostic(f"{rest} {coded or _first_failing(lines)}")
    beside = _following(lines, number) or _preceding(lines, number)
    return one_diagnostic(rest or beside or _first_failing(lines))


def _paragraph(lines: Sequence[str], number: int) -> str:
    said = [lines[number]]
    for line in lines[number + 1 : number + MAX_DIAGNOSTIC_LINES]:
        if not line.strip() or _begins_with_address(line):
            break
        said.append(line)
    return "\n".join(said)


def _following(lines: Sequence[str], number: int) -> str:
    said: list[str] = []
    for line in lines[number + 1 : number + MAX_DIAGNOSTIC_LINES + 4]:
        if _begins_with_address(line) or _RULE.match(line):
            break
        said.append(line)
    return "\n".join(said).strip()


def _preceding(lines: Sequence[str], number: int) -> str:
    """For servers that write the reason and then the address."""
    above = (line for line in reversed(lines[max(0, number - 3) : number]) if line.strip())
    line = next(above, "")
    return "" if _RULE.match(line) or line.rstrip().endswith(":") else line


def _begins_with_address(line: str) -> bool:
    match = _ADDRESS.search(line[:400])
    return match is not None and bool(_ALONE.match(line[: match.start()]))


def _first_failing(lines: Sequence[str]) -> str:
    plain = (line for line in lines if not _RULE.match(line))
    return next((line for line in plain if _FAILED.search(line) or _DELAYED.search(line)), "")


def _paragraph_with_code(lines: Sequence[str], number: int) -> str:
    for index in range(number + 1, len(lines)):
        if find_status(lines[index]) or find_reply_code(lines[index]):
            return _paragraph(lines, index)
    return ""
