"""PURE  A person's name out of what stands before an address (R3.57)."""

import re
import unicodedata
from dataclasses import dataclass

LONGEST = 50  # characters of each column
READ = 500  # characters of a display name, which strangers make as long as they like
_BRACKETED = re.compile(r"[(\[（［【][^()\[\]（）［］【】]*[)\]）］】]")
_VIA = re.compile(r" (?:via|über|経由) \S.*\Z", re.IGNORECASE)
_HONORIFIC = re.compile(r"(?<=\S)\s*(?:様|さま|さん|殿|氏|先生|御中)\Z")
_LOCAL_SEPARATORS = re.compile(r"[._\-]+")
_SALUTATIONS = frozenset(
    {
        *("mr", "mrs", "ms", "miss", "mx", "dr", "prof", "sir", "herr", "frau"),
        *("mme", "mlle", "sr", "sra", "sig", "signora"),
    }
)
#: Written family name first, where nothing says otherwise.
_FAMILY_FIRST = ("CJK UNIFIED", "CJK COMPATIBILITY", "HIRAGANA", "KATAKANA", "HANGUL", "BOPOMOFO")


@dataclass(frozen=True, slots=True, kw_only=True)
class Name:
    """Parts as the columns of contacts and leads have them; `last` is never empty."""

    first: str = ""
    middle: str = ""
    last: str = ""
    salutation: str = ""

    @property
    def full(self) -> str:
        return " ".join(part for part in (self.first, self.middle, self.last) if part)


def name_of(display: str, address: str) -> Name:
    """The name of whoever writes so from this address; without a display name, its local part."""
    shown = _bare(display)
    if not shown or "@" in shown or shown.casefold() == address.casefold():
        return _cut(_of_local_part(address))
    if "," in shown:
        last, _comma, first = (part.strip() for part in shown.partition(","))
        if last and first and "," not in first:
            salutation, first = _salutation(first)
            return _cut(Name(first=first, last=last, salutation=salutation))
    return _cut(_of_words(shown))


def _bare(display: str) -> str:
    """Without quotes, remarks in brackets, "via ..." and honorifics."""
    text = unicodedata.normalize("NFC", display[:READ])
    text = "".join(" " if unicodedata.category(c) in ("Cc", "Cf") else c for c in text)
    text = _one_blank(_BRACKETED.sub(" ", text))
    text = _VIA.sub("", text).strip(" \"'“”„‘’«»")
    return _one_blank(_HONORIFIC.sub("", text))


def _one_blank(text: str) -> str:
    return " ".join(text.split())


def _of_words(shown: str) -> Name:
    if _is_family_first(shown):
        return _family_first(shown)
    salutation, shown = _salutation(shown)
    words = shown.replace("・", " ").split()
    if len(words) < 2:
        return Name(last=shown, salutation=salutation)
    start = _start_of_last(words)
    return Name(
        first=words[0],
        middle=" ".join(words[1:start]),
        last=" ".join(words[start:]),
        salutation=salutation,
    )


def _salutation(text: str) -> tuple[str, str]:
    taken, words = [], text.split()
    while len(words) > 1 and words[0].casefold().rstrip(".") in _SALUTATIONS:
        taken.append(words.pop(0))
    return " ".join(taken), " ".join(words)


def _start_of_last(words: list[str]) -> int:
    """Ludwig van Beethoven: a particle in small letters begins the last name."""
    for number, word in enumerate(words[1:-1], start=1):
        if word.islower():
            return number
    return len(words) - 1


def _is_family_first(text: str) -> bool:
    letters = [c for c in text if c.isalpha()]
    if "・" in text or not letters:
        return False
    return all(unicodedata.name(c, "").startswith(_FAMILY_FIRST) for c in letters)


def _family_first(text: str) -> Name:
    last, _blank, first = text.partition(" ")
    return Name(first=first, last=last)


def _of_local_part(address: str) -> Name:
    """ada.example+news@... is Ada Example; what holds no letters stays as it is."""
    local = address.rpartition("@")[0].strip('"')
    bare = local.partition("+")[0] or local
    words = [word for word in _LOCAL_SEPARATORS.split(bare) if word]
    if len(words) != 2 or not all(word.isalpha() for word in words):
        return Name(last=bare or address)
    first, last = (word if not word.isascii() else word[:1].upper() + word[1:] for word in words)
    return Name(first=first, last=last)


def _cut(name: Name) -> Name:
    return Name(
        first=name.first[:LONGEST].strip(),
        middle=name.middle[:LONGEST].strip(),
        last=(name.last or name.first)[:LONGEST].strip(),
        salutation=name.salutation[:LONGEST].strip(),
    )
