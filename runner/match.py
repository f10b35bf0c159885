"""A phrase -> skill, action and AutoML word, or the ranked candidates. Pure text, forgiving of typing errors.

What to listen for is the skills' own: the ``match`` block of skill_info.yaml, else name and description.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from runner.errors import NoMatch

SURE, LIKELY = 0.75, 0.45
_NAMED, _MEANT, _HINTED, _TOUCHED = 1.0, 0.9, 0.5, 0.25  # said by name; data and task; data and action; data only
_POLICY_ONLY = 0.8  # a skill without actions yields to one that the phrase names too
_STOPWORDS = frozenset({
    "a", "an", "the", "my", "our", "your", "their", "this", "that", "these", "those", "of", "to", "in", "on", "for",
    "me", "it", "its", "i", "we", "please", "is", "are",
})  # fmt: skip
_NEGATORS = frozenset({
    "no", "not", "dont", "without", "off", "disable", "disabled", "skip", "never", "deactivate", "avoid", "ohne",
})  # fmt: skip
_STOP = "."  # the end of a clause: a negator reaches no further
_BEFORE = frozenset({"after", "once", "following"})  # "after training, evaluate" does not ask for training
_SUFFIXES = ("ations", "ation", "ings", "ing", "ers", "er", "ed", "es", "s", "e")
_PLAIN = (("plain", "training"), ("plain", "train"), ("direct", "training"), ("single", "training", "run"))
_AUTOML = ("automl", "hpo")
_TUNED = ("hyperparameter", "hyperparam")
_TUNING = ("search", "tuning", "tune", "optimization", "optimisation", "optimize", "optimise", "sweep")

Words = Sequence[str]


class Listed(Protocol):
    """What a skill must say to be matched."""

    @property
    def name(self) -> str:
        """Its name."""

    @property
    def description(self) -> str:
        """Its description."""

    @property
    def info(self) -> Mapping[str, Any]:
        """Its facts, with or without a ``match`` block."""


class Match(NamedTuple):
    """What a phrase means. ``skill`` is None when nothing fits; ``sure`` is false when it should be asked about."""

    skill: str | None
    action: str | None
    automl_policy: str | None  # on, off, or None when the phrase has no word on it
    candidates: list[tuple[str, float]]  # by falling score, 0 to 1
    sure: bool


def match(phrase: str, skills: Iterable[Listed]) -> Match:
    """The skill and action the phrase asks for.

    The action is the first one the phrase names, else ``train``; None for a skill without actions.
    """
    text = _words(phrase)
    ranked = sorted(((_score(text, skill), skill) for skill in skills), key=lambda pair: -pair[0])
    candidates = [(skill.name, round(score, 2)) for score, skill in ranked]
    word = automl_word(phrase)
    offers = [*ranked[0][1].info.get("match", {}).get("not_offered", [])] if ranked else []
    if not ranked or ranked[0][0] < LIKELY or any(_asked(text, phrase, gap=0) for phrase in offers):
        return Match(None, None, word, candidates, False)
    score, best = ranked[0]
    return Match(best.name, _action(text, best), word, candidates, score >= SURE)


def require(phrase: str, skills: Iterable[Listed]) -> Match:
    """As ``match``, for those who need a skill.

    Raises:
        NoMatch: nothing fits; names the nearest skills.
    """
    known = list(skills)
    found = match(phrase, known)
    if found.skill is None and found.candidates and found.candidates[0][1] >= LIKELY:
        meant = next(skill for skill in known if skill.name == found.candidates[0][0])
        offered = ", ".join(meant.info.get("actions", {}))
        raise NoMatch(f"{meant.name} does not do what {phrase!r} asks for; its actions: {offered}", found.candidates)
    if found.skill is None:
        raise NoMatch(f"no skill fits {phrase!r}", found.candidates)
    return found


def automl_word(phrase: str) -> str | None:
    """``on`` or ``off`` where the phrase has a word on AutoML, HPO or hyperparameter search; the last word counts."""
    words = _words(phrase, keep_all=True)
    said: list[tuple[int, str]] = [(at, "off") for plain in _PLAIN for at in _find(words, plain, gap=0)]
    for i, word in enumerate(words):
        if any(_same(word, name) for name in _AUTOML) or _tunes(words, i):
            said.append((i, "off" if _is_off(words, i) else "on"))
    if not said and (at := _find(words, ("no", "search"), gap=0)):
        said.append((at[0], "off"))
    return max(said)[1] if said else None


def _tunes(words: Words, i: int) -> bool:
    """Whether word ``i`` is a hyperparameter that the words around it tune or search for."""
    near = [*words[max(0, i - 3) : i], *words[i + 1 : i + 3]]
    return any(_same(words[i], name) for name in _TUNED) and any(_same(word, verb) for word in near for verb in _TUNING)


def _is_off(words: Words, i: int) -> bool:
    """Negators close before, or right after, word ``i``; two of them cancel out ("don't turn off AutoML")."""
    before = [word for word in _clause_before(words, i, 4) if word in _NEGATORS]
    rest = words[i + 1 : i + 4]
    after = [word for word in rest[: rest.index(_STOP) if _STOP in rest else 3] if word in ("off", "disabled", "aus")]
    return len(before + after[:1]) % 2 == 1


def _clause_before(words: Words, i: int, reach: int) -> Words:
    """Up to ``reach`` words before word ``i``, in its own clause."""
    near = list(words[max(0, i - reach) : i])
    return near[len(near) - near[::-1].index(_STOP) :] if _STOP in near else near


def _score(text: Words, skill: Listed) -> float:
    """How well the phrase fits the skill, 0 to 1."""
    facts = skill.info.get("match", {})
    if not facts:
        return _described(text, skill)
    named = any(_asked(text, phrase, gap=1) for phrase in facts.get("phrases", []))
    if not named and any(_find(text, _words(phrase), gap=2) for phrase in facts.get("not_for", [])):
        return 0.0
    about = any(_asked(text, phrase, gap=0) for phrase in facts.get("subjects", []))
    task = any(_asked(text, phrase, gap=0) for phrase in facts.get("tasks", []))
    acts = any(_asked(text, phrase, gap=1) for words in facts.get("actions", {}).values() for phrase in words)
    score = _NAMED if named else _MEANT if about and task else _HINTED if about and acts else _TOUCHED if about else 0.0
    return score if skill.info.get("actions") else min(score, _POLICY_ONLY)


def _described(text: Words, skill: Listed) -> float:
    """The score of a skill that says nothing on matching: its name in the phrase, or words of its description."""
    if _find(text, _words(skill.name.removeprefix("tao-")), gap=2):
        return _POLICY_ONLY
    content = {_stem(word) for word in _words(skill.description) if len(word) >= 5}
    hits = {_stem(word) for word in text if len(word) >= 5} & content
    return min(_HINTED, 0.15 * len(hits))


def _action(text: Words, skill: Listed) -> str | None:
    """The action named first; of two that begin with the same word the one that says more."""
    known = list(skill.info.get("actions", {}))
    if not known:
        return None
    listened: Mapping[str, Sequence[str]] = skill.info.get("match", {}).get("actions", {})
    found = []
    for action in known:
        for phrase in (action, *listened.get(action, ())):
            needle = _words(phrase)
            found += [(at, -len(needle), action) for at in _find(text, needle, gap=3) if _is_request(text, at, needle)]
    return min(found)[2] if found else "train" if "train" in known else known[0]


def _is_request(text: Words, at: int, needle: Words) -> bool:
    """Not "after training", and not "the trained model" or "the exported file", which name what is there already."""
    done = text[at].endswith("ed") and not needle[0].endswith("ed")
    return not done and not (at and text[at - 1] in _BEFORE)


def _asked(text: Words, phrase: str, *, gap: int) -> bool:
    """Whether the phrase occurs without a negator right before it ("no HPO")."""
    return any(not _negated(_clause_before(text, at, 2)) for at in _find(text, _words(phrase), gap=gap))


def _negated(before: Words) -> bool:
    """Whether a negator among the words before reaches on; "disable AutoML" is spent on AutoML."""
    negators = [i for i, word in enumerate(before) if word in _NEGATORS]
    return bool(negators) and not any(_same(word, name) for word in before[negators[-1] + 1 :] for name in _AUTOML)


def _find(text: Words, needle: Words, *, gap: int) -> list[int]:
    """Where the words of ``needle`` stand in this order, with at most ``gap`` other words between two of them."""
    if not needle:
        return []
    joined = "".join(needle)
    found = [i for i, word in enumerate(text) if len(needle) > 1 and len(joined) >= 5 and _same(word, joined)]
    if len(needle) == 1 and len(joined) >= 5:
        found += [i for i in range(len(text) - 1) if text[i] + text[i + 1] == joined]
    return found + [i for i in range(len(text)) if _same(text[i], needle[0]) and _follows(text, i, needle[1:], gap)]


def _follows(text: Words, at: int, rest: Words, gap: int) -> bool:
    for word in rest:
        at = next((i for i in range(at + 1, min(at + 2 + gap, len(text))) if _same(text[i], word)), -1)
        if at < 0:
            return False
    return True


def _words(text: str, *, keep_all: bool = False) -> list[str]:
    """Lower-case words and ends of clauses; hyphens, underscores and "Auto ML" are undone alike on both sides."""
    plain = re.sub(r"['’]", "", text.lower())
    plain = re.sub(r"\bhyper[\s_-]+param", "hyperparam", re.sub(r"\bauto[\s_-]+ml\b", "automl", plain))
    words = [_STOP if word[0] in ",;.!?" else word for word in re.findall(r"[^\W_]+|[,;.!?](?=\s)", plain)]
    return words if keep_all else [word for word in words if word not in _STOPWORDS]


def _same(word: str, known: str) -> bool:
    """Equal, of one stem, or a likely typing error of it (from five letters on, the first one right or swapped)."""
    if word == known or _stem(word) == _stem(known):
        return True
    if len(known) < 5 or abs(len(word) - len(known)) > 2 or len(word) < 4:
        return False
    if word[0] != known[0] and word[:2] != known[1::-1]:
        return False
    return _distance(word, known) <= (2 if len(known) >= 9 else 1)


def _stem(word: str) -> str:
    for suffix in _SUFFIXES:
        if word.endswith(suffix) and len(word) - len(suffix) >= 4:
            return word[: -len(suffix)]
    return word


def _distance(a: str, b: str) -> int:
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
