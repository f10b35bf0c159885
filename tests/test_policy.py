from __future__ import annotations

import pytest

from runner import policy
from runner.errors import UsageError


@pytest.mark.parametrize(
    ("action", "word", "source", "enabled", "packaged", "kind", "on_off", "reported", "says"),
    [
        ("train", None, "", True, True, "automl", "on", False, "on by default"),
        ("train", "on", "--automl", True, True, "automl", "on", False, "AutoML is on (--automl)"),
        ("train", "on", "phrase", True, True, "automl", "on", False, "AutoML is on (phrase)"),
        ("train", "off", "--automl", True, True, "direct", "off", False, "AutoML is off (--automl)"),
        ("train", "off", "phrase", True, True, "direct", "off", False, "AutoML is off (phrase)"),
        ("train", "off", "--automl", True, False, "direct", "off", False, "AutoML is off"),
        ("train", "off", "--automl", False, False, "direct", "off", False, "AutoML is off"),
        ("train", None, "", True, False, "direct", "on", True, "not runnable for this skill until the schemas are generated"),
        ("train", "on", "--automl", True, False, "direct", "on", True, "skillbank schemas build"),
        ("train", None, "", False, True, "direct", "on", False, "not enabled for this skill"),
        ("train", "on", "--automl", False, True, "direct", "on", True, "not enabled for this skill"),
        ("evaluate", None, "", True, True, "direct", "off", False, "evaluate is never searched"),
        ("export", "on", "--automl", True, True, "direct", "on", True, "export is never searched, only train is"),
        ("inference", "off", "--automl", True, True, "direct", "off", False, "inference is never searched"),
    ],
)
def test_truth_table(action, word, source, enabled, packaged, kind, on_off, reported, says):
    route = policy.route(action=action, word=word, word_source=source, automl_enabled=enabled, packaged=packaged)
    assert (route.kind, route.policy, route.reported) == (kind, on_off, reported)
    assert says in route.reason


def test_missing_schemas_are_reported_as_enabled_but_not_runnable():
    route = policy.route(action="train", word=None, word_source="", automl_enabled=True, packaged=False)
    assert route.reason.startswith("AutoML is enabled but not runnable")


def test_other_words_are_refused():
    with pytest.raises(UsageError, match="Allowed: on, off"):
        policy.route(action="train", word="maybe", word_source="--automl", automl_enabled=True, packaged=True)
