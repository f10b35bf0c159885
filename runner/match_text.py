"""Phrases as words: normalised, with typing errors and endings forgiven, and where a pattern of words stands in them.

Knows the letters and function words of English, German, Spanish and Chinese; no skills.
"""

from __future__ import annotations

import functools
import itertools
import re
from collections.abc import Iterable, Sequence

STOP = "."  # the end of a clause: a negator reaches no further
GAPS = {"..": 3, "...": 9}  # how many other words these stand for in a pattern, at most
NEGATORS = frozenset({
    "no", "not", "dont", "doesnt", "without", "off", "disable", "disabled", "skip", "never", "deactivate", "avoid", "omit",
    "ohne", "kein", "keine", "keinen", "keinerlei", "nicht", "ausschalten", "abschalten", "deaktiviere", "deaktivieren",
    "sin", "ningun", "ninguna", "nunca", "desactiva", "desactivar", "apaga", "apagar", "evita",
    "不要", "不用", "不使用", "不需要", "不做", "不进行", "不开", "别用", "别", "无需", "没有", "无",
    "关闭", "关掉", "禁用", "停用", "跳过",
})  # fmt: skip
_STOPWORDS = frozenset({
    "a", "an", "the", "my", "our", "your", "their", "this", "that", "these", "those", "of", "to", "in", "on", "for",
    "me", "it", "its", "i", "we", "please", "is", "are",
    "der", "die", "das", "den", "dem", "des", "ein", "eine", "einen", "einem", "einer", "mein", "meine", "meinen", "meinem",
    "meiner", "bitte",
    "el", "la", "los", "las", "un", "una", "unos", "unas", "de", "del", "mi", "mis", "tu", "tus", "su", "sus", "por", "favor",
})  # fmt: skip
_HAN = "\u3400-\u9fff"
_ENDS = ",;.!?"
# Words that hold a negator's letter and negate nothing, such as "recognise", "class", "drone": it is written otherwise.
_NO_NEGATORS = ((re.compile("(?<=[识类区特性分个级辨])别"), "別"), (re.compile("无(?=人机|监督|线)"), "無"))
# Chinese in traditional letters is read as simplified, as far as the words of this field go.
_SIMPLIFIED = str.maketrans(
    "訓練關鍵點動勢態識別評導預測轉換參數優類對視頻圖單張檢習開無確準陣運調",
    "训练关键点动势态识别评导预测转换参数优类对视频图单张检习开无确准阵运调",
)
_TYPED = ("without", "disable", "disabled")  # negators long enough to be written wrong
_SUFFIXES = ("ations", "ation", "ings", "ing", "ers", "er", "ed", "es", "s", "e")

Words = Sequence[str]
Slots = tuple[tuple[tuple[str, ...], int], ...]  # per word its alternatives, and how many others may stand before it


def words(text: str, *, keep_all: bool = False) -> list[str]:
    """Words in small letters without accents, and ends of clauses; Chinese letter by letter, but for its negators.

    Hyphens, underscores and "Auto ML" are undone. Articles and the like are left out unless ``keep_all``.
    """
    import unicodedata

    text = re.sub("[，；。！？、]", ". ", text)
    plain = unicodedata.normalize("NFKD", unicodedata.normalize("NFKC", text).casefold()).translate(_SIMPLIFIED)
    plain = re.sub(r"[\u0300-\u036f'’]", "", plain)
    plain = re.sub(r"\bh([iy])per[\s_-]+param", r"h\1perparam", re.sub(r"\bauto[\s_-]+ml\b", "automl", plain))
    for letter, other in _NO_NEGATORS:
        plain = letter.sub(other, plain)
    found = [STOP if token in _ENDS else token for token in _tokens().findall(plain)]
    return found if keep_all else [word for word in found if word not in _STOPWORDS]


@functools.cache
def _tokens() -> re.Pattern[str]:
    """Words, Chinese letters and negators, ends of clauses; put together only when a phrase is read."""
    joined = sorted((word for word in NEGATORS if word > "\u3400"), key=len, reverse=True)
    return re.compile(f"{'|'.join(joined)}|[{_HAN}]|[^\\W_{_HAN}]+|[,;.!?](?=\\s)")


def corrected(text: Words, patterns: Iterable[str]) -> list[str]:
    """The words with likely typing errors of words of the patterns mended; a word that the patterns know is left alone."""
    known = _known_words(tuple(patterns))
    return [known.mended(word) for word in text]


def find(text: Words, pattern: str) -> list[tuple[int, int]]:
    """Where the pattern stands: (first word, behind the last word) of each place.

    A pattern is words in this order; ``a|b`` are alternatives, ``..`` stands for up to three other words and ``...`` for up to
    nine, and ``skelett*`` or ``*erkennung`` for all words that begin or end so.
    """
    slots = _slots(pattern)
    if not slots or not _may_stand(_stems(tuple(text)), pattern):
        return []
    places = _compounds(text, slots)
    for i in range(len(text)):
        end = _one_of(text, i, slots[0][0])
        if end and (end := _ends_at(text, end, slots)):
            places.append((i, end))
    return places


def finds(text: Words, patterns: Iterable[str]) -> list[tuple[int, int]]:
    """Where any of the patterns stands."""
    return [place for pattern in patterns for place in find(text, pattern)]


def clause_before(text: Words, i: int, reach: int) -> Words:
    """Up to ``reach`` words before word ``i``, in its own clause. A Chinese letter is less than a word."""
    near = list(text[max(0, i - (2 * reach if i < len(text) and text[i] > "\u3400" else reach)) : i])
    return near[len(near) - near[::-1].index(STOP) :] if STOP in near else near


def clause_after(text: Words, i: int, reach: int) -> Words:
    """Up to ``reach`` words from word ``i`` on, in its own clause."""
    near = list(text[i : i + reach])
    return near[: near.index(STOP)] if STOP in near else near


@functools.cache
def same(word: str, known: str) -> bool:
    """Equal, of one stem, or of the known beginning or end."""
    if known.endswith("*"):
        return word.startswith(known[:-1])
    if known.startswith("*"):
        return word.endswith(known[1:])
    return word == known or stem(word) == stem(known)


@functools.cache
def stem(word: str) -> str:
    """The word without an English ending."""
    if word.endswith(("ies", "ied")) and len(word) >= 7:
        return word[:-3] + "y"
    for suffix in _SUFFIXES:
        if word.endswith(suffix) and len(word) - len(suffix) >= 4:
            return word[: -len(suffix)]
    return word


class _Known:
    """The words of some patterns, to tell words that are written wrong."""

    def __init__(self, patterns: Iterable[str]) -> None:
        words, beginnings, endings = set(_TYPED), set[str](), set[str]()
        for pattern in patterns:
            slots = _slots(pattern)
            for known in (known for alternatives, _ in slots for known in alternatives):
                (beginnings if known.endswith("*") else endings if known.startswith("*") else words).add(known.strip("*"))
            if joined := _joined(slots):
                words.add(joined)
        self.stems = {stem(word) for word in words}
        self.beginnings, self.endings = tuple(beginnings), tuple(endings)
        self.by_letter: dict[str, list[str]] = {}  # the long words, by each of their first two letters
        for word in words:
            for letter in {*word[:2]} if len(word) >= 5 else ():
                self.by_letter.setdefault(letter, []).append(word)

    def mended(self, word: str) -> str:
        """The word, or the known one that it is a likely typing error of."""
        if len(word) < 4 or word[0] > "\u3400" or word in NEGATORS or stem(word) in self.stems:
            return word
        if word.startswith(self.beginnings) or word.endswith(self.endings):
            return word
        near = [(apart, known) for known in self.by_letter.get(word[0], ()) if (apart := _apart(word, known))]
        near += [(apart, start) for start in self.beginnings if (apart := _apart_at_first(word, start))]
        return min(near)[1] if near else word


@functools.lru_cache(maxsize=16)
def _known_words(patterns: tuple[str, ...]) -> _Known:
    return _Known(patterns)


@functools.lru_cache(maxsize=16)
def _stems(text: tuple[str, ...]) -> frozenset[str]:
    """The stems of the words, and of every two of them written as one."""
    return frozenset({*map(stem, text), *(stem(one + other) for one, other in itertools.pairwise(text))})


def _may_stand(stems: frozenset[str], pattern: str) -> bool:
    """Whether a text of these stems may hold the pattern, told by how it begins."""
    begins = _begins(pattern)
    return begins is None or not begins.isdisjoint(stems)


@functools.cache
def _begins(pattern: str) -> frozenset[str] | None:
    """The stems one of which a text holds if it holds the pattern; None where they cannot be listed."""
    slots = _slots(pattern)
    if any("*" in known for known in slots[0][0]):
        return None
    first = {stem(known) if known[0] < "\u3400" else known[0] for known in slots[0][0]}
    return frozenset({*first, stem(_joined(slots))})


@functools.cache
def _slots(pattern: str) -> Slots:
    """The pattern taken apart."""
    slots: list[tuple[tuple[str, ...], int]] = []
    gap = 0
    for part in pattern.split():
        if part in GAPS:
            gap = GAPS[part]
            continue
        if part in _STOPWORDS:  # no phrase has it any more
            continue
        alternatives = [_known(one) for one in part.split("|")]
        if len(alternatives) == 1:  # "6-dof" and Chinese are several words; among alternatives each is one
            for known in alternatives[0]:
                slots.append(((known,), gap))
                gap = 0
            continue
        slots.append((tuple("".join(known) for known in alternatives), gap))
        gap = 0
    return tuple(slots)


def _known(word: str) -> list[str]:
    """One word of a pattern as ``words`` would have it; its star is kept."""
    if word.isascii() and word.isalnum() and word.islower():
        return [word]
    parts = words(word.strip("*"), keep_all=True)
    if word.endswith("*") and parts:
        parts[-1] += "*"
    if word.startswith("*") and parts:
        parts[0] = "*" + parts[0]
    return parts


def _ends_at(text: Words, at: int, slots: Slots) -> int:
    """The position behind the pattern whose first word ends at ``at``; 0 if the others do not follow."""
    for alternatives, gap in slots[1:]:
        for j in range(at, min(at + 1 + gap, len(text))):
            if text[j] == STOP:
                return 0
            if end := _one_of(text, j, alternatives):
                at = end
                break
        else:
            return 0
    return at


def _one_of(text: Words, at: int, alternatives: tuple[str, ...]) -> int:
    """The position behind the alternative that stands at ``at``; 0 if none does."""
    if at >= len(text):
        return 0
    for known in alternatives:
        if known[0] > "\u3400" and len(known) > 1:  # Chinese among alternatives: several letters are one word
            if "".join(text[at : at + len(known)]) == known:
                return at + len(known)
        elif same(text[at], known):
            return at + 1
    return 0


@functools.cache
def _joined(slots: Slots) -> str:
    """A pattern written as one word, if it is made of plain words that stand side by side."""
    if any(gap or len(alternatives) > 1 or "*" in alternatives[0] for alternatives, gap in slots):
        return ""
    joined = "".join(alternatives[0] for alternatives, _ in slots)
    return joined if len(joined) >= 5 and joined < "\u3400" else ""


def _compounds(text: Words, slots: Slots) -> list[tuple[int, int]]:
    """Places where a pattern of several words is written as one, or one of a single word as two ("key points")."""
    joined = _joined(slots)
    if not joined:
        return []
    if len(slots) > 1:
        return [(i, i + 1) for i, word in enumerate(text) if same(word, joined)]
    return [(i, i + 2) for i in range(len(text) - 1) if same(text[i] + text[i + 1], joined)]


def _apart(word: str, known: str) -> int:
    """Typing errors between the words: 0 if there are too many of them to be one.

    One from five letters on, two in the longest words; the first letter is right or swapped.
    """
    if len(known) < 5 or abs(len(word) - len(known)) > 2 or (word[0] != known[0] and word[:2] != known[1::-1]):
        return 0
    apart = min(distance(word, known), distance(stem(word), known))
    return apart if apart <= (2 if len(known) >= 9 else 1) else 0


def _apart_at_first(word: str, beginning: str) -> int:
    """The same for the beginning of a word."""
    if len(beginning) < 6 or len(word) < len(beginning) or word[0] != beginning[0]:
        return 0
    apart = min(distance(word[:n], beginning) for n in range(len(beginning) - 1, len(beginning) + 2))
    return apart if apart == 1 else 0


def distance(a: str, b: str) -> int:
    """Insertions, deletions, substitutions and swaps of neighbours from ``a`` to ``b``."""
    before: list[int] = []
    row = list(range(len(b) + 1))
    for i, letter in enumerate(a, 1):
        before, last, row = row, before, [i]
        for j, other in enumerate(b, 1):
            best = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (letter != other))
            if i > 1 and j > 1 and letter == b[j - 2] and a[i - 2] == other:
                best = min(best, last[j - 2] + 1)
            row.append(best)
    return row[-1]
