"""A phrase -> skill, action and AutoML word, or the ranked candidates. Pure text, forgiving of typing errors.

What to listen for is the skills' own: their references/match.yaml, else name and description.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from runner import match_text
from runner.errors import NoMatch
from runner.match_policy import automl_word, names_automl
from runner.match_text import Words

__all__ = ["Match", "automl_word", "match", "require"]

SURE, LIKELY = 0.75, 0.45
_NAMED, _MEANT, _HINTED, _TOUCHED = 1.0, 0.9, 0.5, 0.25  # said by name; data and task; data and action; data only
_POLICY_ONLY = 0.8  # a skill without actions yields to one that the phrase names too
_BEFORE = frozenset({"after", "once", "following", "nach", "despues", "tras"})  # "after training, evaluate" asks not to train


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
        """Its facts: the names of its actions."""

    @property
    def words(self) -> Mapping[str, Any]:
        """What to listen for: phrases, subjects, tasks, actions, not_for, not_offered; empty if it does not say."""


class Match(NamedTuple):
    """What a phrase means. ``skill`` is None when nothing fits; ``sure`` is false when it should be asked about."""

    skill: str | None
    action: str | None
    automl_policy: str | None  # on, off, or None when the phrase has no word on it
    candidates: list[tuple[str, float]]  # by falling score, 0 to 1
    sure: bool


class _Heard(NamedTuple):
    """A phrase as one skill hears it: with what the skill listens for, and typing errors of its words mended."""

    name: str
    description: str
    words: Mapping[str, Any]
    actions: Sequence[str]
    text: Words


def match(phrase: str, skills: Iterable[Listed]) -> Match:
    """The skill and action the phrase asks for.

    The action is the first one the phrase names, else ``train``; None for a skill without actions.
    """
    said = match_text.words(phrase)
    ranked = sorted(((_score(one), one) for one in (_hear(skill, said) for skill in skills)), key=lambda pair: -pair[0])
    candidates = [(heard.name, round(score, 2)) for score, heard in ranked]
    word = automl_word(phrase)
    if not ranked or ranked[0][0] < LIKELY:
        return Match(None, None, word, candidates, False)
    score, best = ranked[0]
    if _asked(best.text, best.words.get("not_offered", ())):
        return Match(None, None, word, candidates, False)
    return Match(best.name, _action(best), word, candidates, score >= SURE)


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


def _hear(skill: Listed, said: Words) -> _Heard:
    heard = skill.words  # read once
    lists = [*heard.get("actions", {}).values(), *(one for key, one in heard.items() if key != "actions")]
    patterns = [pattern for one in lists for pattern in one] or skill.name.split("-")
    return _Heard(
        skill.name, skill.description, heard, list(skill.info.get("actions", {})), match_text.corrected(said, patterns)
    )


def _score(heard: _Heard) -> float:
    """How well the phrase fits the skill, 0 to 1."""
    text, words = heard.text, heard.words
    if not words:
        return _described(heard)
    named = _asked(text, words.get("phrases", ()))
    if not named and _asked(text, words.get("not_for", ()), done=words.get("done", ())):
        return 0.0
    about = _asked(text, words.get("subjects", ()))
    task = about and _asked(text, words.get("tasks", ()))
    acts = about and any(_asked(text, patterns) for patterns in words.get("actions", {}).values())
    score = _NAMED if named else _MEANT if task else _HINTED if acts else _TOUCHED if about else 0.0
    return score if heard.actions else min(score, _POLICY_ONLY)


def _described(heard: _Heard) -> float:
    """The score of a skill that says nothing on matching: its name in the phrase, or words of its description."""
    if match_text.find(heard.text, " .. ".join(heard.name.removeprefix("tao-").split("-"))):
        return _POLICY_ONLY
    content = {match_text.stem(word) for word in match_text.words(heard.description) if len(word) >= 5}
    hits = {match_text.stem(word) for word in heard.text if len(word) >= 5} & content
    return min(_HINTED, 0.15 * len(hits))


def _action(heard: _Heard) -> str | None:
    """The action named first; of two that begin with the same word the one that says more."""
    if not heard.actions:
        return None
    text, patterns = heard.text, heard.words.get("actions", {})
    there = _covered(text, heard.words.get("done", ()))
    found = []
    for action in heard.actions:
        for pattern in (action, *patterns.get(action, ())):
            said = len(pattern.replace("..", "").split())
            places = [at for at, _ in match_text.find(text, pattern) if at not in there and not _done(text, at)]
            found += [(at, -said, action) for at in places if not (at and text[at - 1] in _BEFORE)]
    return min(found)[2] if found else "train" if "train" in heard.actions else heard.actions[0]


def _covered(text: Words, patterns: Iterable[str]) -> set[int]:
    """The words that the patterns stand on."""
    return {at for begin, end in match_text.finds(text, patterns) for at in range(begin, end)}


def _done(text: Words, at: int) -> bool:
    """Not a request: "the trained model" or "the exported file" name what is there already."""
    return len(text[at]) >= 6 and text[at].endswith("ed")


def _asked(text: Words, patterns: Iterable[str], done: Iterable[str] = ()) -> bool:
    """Whether one of the patterns occurs without a negator right before it ("no HPO"), and not as something done already."""
    there = _covered(text, done)
    places = [at for at, _ in match_text.finds(text, patterns) if at not in there]
    return any(not _negated(match_text.clause_before(text, at, 2)) for at in places)


def _negated(before: Words) -> bool:
    """Whether a negator among the words before reaches on; "disable AutoML" is spent on AutoML."""
    negators = [i for i, word in enumerate(before) if word in match_text.NEGATORS]
    return bool(negators) and not any(names_automl(word) for word in before[negators[-1] + 1 :])
