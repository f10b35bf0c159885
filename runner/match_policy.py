"""The word a phrase has on AutoML: on, off or none. Pure text, in English, German, Spanish and Chinese; no skills."""

from __future__ import annotations

from runner import match_text
from runner.match_text import Words

NAMES = (
    "automl", "hpo", "hyperparametersuche", "hyperparametersuchlauf", "hyperparameteroptimierung", "hyperparametertuning",
    "自动机器学习", "超参数搜索", "超参搜索", "超参数优化", "超参优化", "参数搜索", "自动调参", "调参",
)  # fmt: skip
_SETTINGS = (
    "hyperparam*", "hiperparam*", "learning rate", "weight decay", "dropout", "batch size", "training settings",
    "lernrate", "tasa|ritmo aprendizaje", "超参数", "超参", "学习率",
)  # fmt: skip
_SEARCHING = (
    "search", "tuning", "tune", "autotune", "optimi*", "sweep", "find|pick|choose .. best|better|good|optimal",
    "such*", "*suche", "feinabstimm*", "busca*", "busqued*", "ajust*", "搜索", "优化", "寻找", "调优",
)  # fmt: skip
_NO_SEARCHING = ("optimizer", "optimiser", "optimierer", "optimizador")
# Said alone these mean the search of settings only where they are refused ("no tuning").
_REFUSED = ("search", "searching", "searched", "tuning", "tune", "sweep", "suche", "busqueda", "搜索")
_PLAIN = (
    "plain|direct|simple .. training|train|run", "single training", "single train|training run", "train .. once",
    "just|only|exactly one .. training|run", "nothing .. searched|tuned", "fixed hyperparam*|settings",
    "einfach*|direkt*|normal* training", "nur|genau ein* training*", "nur einmal .. train*",
    "entrenamiento simple|directo|normal|unico", "un* unico|solo entrenamiento", "una sola vez",
    "普通训练", "直接训练", "单次训练", "只训练一次", "训练一次", "不搜索",
)  # fmt: skip
_AFTERWARDS = (
    "off", "disabled", "deactivated", "aus", "ausschalten", "abschalten", "ausgeschaltet", "abgeschaltet", "deaktivier*",
    "nicht", "desactiv*", "apagad*", "关闭", "关掉", "禁用", "停用",
)  # fmt: skip
_ALL = (*NAMES, *_SETTINGS, *_SEARCHING, *_REFUSED, *_PLAIN, *_AFTERWARDS)


def automl_word(phrase: str) -> str | None:
    """``on`` or ``off`` where the phrase has a word on AutoML, HPO or hyperparameter search; the last word counts."""
    text = match_text.corrected(match_text.words(phrase, keep_all=True), _ALL)
    said = [(begin, "off") for begin, _ in match_text.finds(text, _PLAIN)]
    for begin, end in [*match_text.finds(text, NAMES), *_tuned(text)]:
        said.append((begin, "off" if _is_off(text, begin, end) else "on"))
    if not said:
        said = [(begin, "off") for begin, end in match_text.finds(text, _REFUSED) if _is_off(text, begin, end)]
        said = [(at, word) for at, word in said if not (at and text[at - 1] == "fine")]
    return max(said)[1] if said else None


def names_automl(word: str) -> bool:
    """Whether a single word names AutoML, or the search that a negator refuses."""
    return any(match_text.same(word, name) for name in (*NAMES[:2], *_REFUSED))


def _tuned(text: Words) -> list[tuple[int, int]]:
    """Settings that the words around them search for or tune."""
    return [(begin, end) for begin, end in match_text.finds(text, _SETTINGS) if _searched(text, begin, end)]


def _searched(text: Words, begin: int, end: int) -> bool:
    near = [*match_text.clause_before(text, begin, 5), match_text.STOP, *match_text.clause_after(text, end, 3)]
    inside = text[begin]  # "hyperparametersuche" is both
    places = match_text.finds(near, _SEARCHING)
    fine = [at for at, _ in places if near[at] not in _NO_SEARCHING and not (at and near[at - 1] == "fine")]
    return bool(fine) or (len(inside) > 16 and inside.endswith(("suche", "optimierung", "tuning")))


def _is_off(text: Words, begin: int, end: int) -> bool:
    """Negators close before, or right after; two of them cancel out ("don't turn off AutoML")."""
    near = match_text.clause_before(text, begin, 4)
    before = [word for word in near if word in match_text.NEGATORS or (word == "不" and word is near[-1])]
    rest = match_text.clause_after(text, end, 3)
    after = [word for word in rest if any(match_text.same(word, known) for known in _AFTERWARDS)]
    if "ab" in rest and any(word.startswith(("schalt", "stell")) for word in near):
        after.append("ab")
    return len(before + after[:1]) % 2 == 1
