"""A search as a job with the toy network: algorithms that stop and continue, failures, budgets, workers, what is kept."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from runner import backend, launch, study_keep, study_workers
from runner.backend import Outcome
from runner.errors import Refused, SpecInvalid, UsageError
from runner.plan import Request

SCHEMAS = Path(__file__).parent.parent / "schemas"
Search = Callable[..., dict[str, Any]]


@pytest.fixture
def search(toy: Any, monkeypatch: pytest.MonkeyPatch) -> Search:
    """A search in this process; its trials are processes of their own. The record it ends with."""
    for name, value in toy.env.items():
        monkeypatch.setenv(name, value)

    def run(*sets: str, say: Callable[[str], None] = lambda _line: None, **words: Any) -> dict[str, Any]:
        fields: dict[str, Any] = {"skill": "tao-train-toy", "action": "train", "dataset": str(toy.folder), "workers": "1"}
        if "resume" in words:
            del fields["dataset"]
        asked = Request(workspace=toy.folder / "workspace", overrides=sets, **{**fields, **words})
        record = launch.run(asked, launch.QUIET._replace(say=say))
        jsonschema.validate(record, json.loads((SCHEMAS / "job_record.schema.json").read_text()))
        return record

    return run


def by_status(record: dict[str, Any]) -> dict[str, int]:
    found: dict[str, int] = {}
    for trial in record["automl"]["trials"]:
        found[trial["status"]] = found.get(trial["status"], 0) + 1
    return found


def jobs_of(toy: Any, record: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {job["id"]: job for job in toy.jobs() if job["id"] != record["id"]}


@pytest.mark.parametrize(("algorithm", "epochs"), [("hyperband", 14), ("asha", 12), ("bohb", 14)])
def test_a_promotion_goes_on_from_the_checkpoint_of_the_trial_it_promotes(
    toy: Any, search: Search, algorithm: str, epochs: int
) -> None:
    record = search("num_epochs=4", "train.seed=2", algorithm=algorithm, budget=(f"epochs={epochs}",))
    assert record["state"] == "COMPLETE"
    jobs, facts = jobs_of(toy, record), record["automl"]
    promoted = [trial for trial in facts["trials"] if len(trial["jobs"]) > 1]
    assert promoted
    for trial in promoted:
        runs = [jobs[job] for job in trial["jobs"]]
        for before, after in pairwise(runs):
            assert after["metrics"]["first_epoch"] == before["metrics"]["stopped_epoch"]
            assert Path(after["metrics"]["resumed"]).parent == Path(before["results_dir"])
            assert after["retry_of"] == before["id"]
    trained = [job["metrics"].get("stopped_epoch", 4) - job["metrics"]["first_epoch"] for job in jobs.values()]
    assert sum(trained) == facts["totals"]["epochs"] <= epochs
    whole = [trial for trial in facts["trials"] if trial["value"] is not None]
    assert {trial["epochs"] for trial in whole} == {4}
    assert facts["best"]["value"] == min(trial["value"] for trial in whole), "chosen among those trained whole"
    assert record["spec"]["train"]["num_epochs"] == 4
    winner = next(trial for trial in facts["trials"] if trial["number"] == facts["best"]["number"])
    assert {path.parent.parent.name for path in toy.folder.rglob("*.pth")} == set(winner["jobs"])
    assert Path(record["artifacts"]["checkpoint"]).name == "model_epoch_003_step_00004.pth"


def test_pruning_is_the_default_and_can_be_turned_off(toy: Any, search: Search) -> None:
    pruned = search("num_epochs=3", budget=("trials=4",))
    assert by_status(pruned)["stopped"] >= 2
    assert pruned["automl"]["totals"]["epochs"] < 4 * 3
    whole = search("num_epochs=3", budget=("trials=3",), no_prune=True)
    assert by_status(whole) == {"complete": 3}
    assert whole["automl"]["totals"]["epochs"] == 3 * 3


def test_the_same_seed_and_one_worker_give_the_same_trials(search: Search) -> None:
    one, same, other = (
        search(f"train.seed={seed}", "num_epochs=1", budget=("trials=3",), algorithm="random") for seed in (7, 7, 8)
    )
    trials = [[trial["params"] for trial in record["automl"]["trials"]] for record in (one, same, other)]
    assert trials[0] == trials[1] != trials[2]
    assert trials[0][0] == trials[2][0] == {"train.lr": 0.5}, "the first trial is the spec as given"


def test_two_workers_train_at_once_and_share_the_cores(toy: Any, search: Search) -> None:
    said: list[str] = []
    record = search("num_epochs=3", "train.seconds=0.1", budget=("trials=4",), workers="2", say=said.append)
    assert record["automl"]["crew"] == {"count": 2, "why": "as asked"}
    spans = sorted((job["started_at"], job["ended_at"]) for job in jobs_of(toy, record).values())
    assert any(later[0] < earlier[1] for earlier, later in pairwise(spans))
    assert len({trial["number"] for trial in record["automl"]["trials"]}) == 4
    assert [line for line in said if line.startswith("trial 1: toy training starts")]


def test_what_a_training_took_says_how_many_are_begun_at_once(
    toy: Any, search: Search, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(study_workers, "usable_cores", lambda: 2)
    monkeypatch.setattr(study_workers, "free_memory", lambda: 4 * 2**30)
    monkeypatch.setattr(backend.Worker, "memory", property(lambda _: 3 * 2**30, lambda *_: None), raising=False)
    said: list[str] = []
    words = ("num_epochs=3", "train.seconds=0.1")
    record = search(*words, budget=("trials=5",), workers="auto", no_prune=True, say=said.append)
    assert record["automl"]["crew"]["count"] == 2
    assert said.count("1 at once from here on: a training took 3.0 GiB, and 4.0 GiB are free") == 1
    spans = sorted((job["started_at"], job["ended_at"]) for job in jobs_of(toy, record).values())
    assert spans[1][0] < spans[0][1]
    assert all(later[0] > earlier[1] for earlier, later in pairwise(spans[1:]))
    assert by_status(record) == {"complete": 5}
    asked = search(*words, budget=("trials=4",), workers="2", no_prune=True)
    spans = sorted((job["started_at"], job["ended_at"]) for job in jobs_of(toy, asked).values())
    assert any(later[0] < earlier[1] for earlier, later in pairwise(spans[2:])), "what the user says stands"


@pytest.mark.parametrize(
    ("behave", "kind", "cause"),
    [
        ("fail_low", "program", "the toy broke"),
        ("memory_low", "resources", "MemoryError"),
        ("kill_low", "resources", "SIGKILL"),
        ("nan_low", "spec", "val_loss is nan after epoch 1"),
    ],
)
def test_a_trial_that_fails_is_told_with_its_class_and_cause_and_the_search_goes_on(
    toy: Any, search: Search, behave: str, kind: str, cause: str
) -> None:
    record = search("num_epochs=1", f"train.behave={behave}", budget=("trials=4",), algorithm="random")
    assert record["state"] == "COMPLETE"
    failed = [trial for trial in record["automl"]["trials"] if trial["status"] == "failed"]
    assert failed
    assert {trial["class"] for trial in failed} == {kind}
    assert all(cause in trial["error"] for trial in failed)
    assert all(trial["params"]["train.lr"] < 0.1 for trial in failed)
    assert record["automl"]["totals"]["trials"] == 4
    assert record["automl"]["totals"]["failed"] == len(failed)
    shown = toy("status", record["id"]).out.splitlines()
    numbers = ", ".join(str(trial["number"]) for trial in failed)
    (line,) = [line for line in shown if line.split("  ")[0] == kind]
    assert numbers in line
    assert "failed by" in shown[shown.index(line) - 1]
    if behave == "kill_low":
        assert {len(trial["jobs"]) for trial in failed} == {2}, "killed once it may go on, killed twice it has failed"


def test_a_worker_that_is_killed_once_goes_on_from_the_last_checkpoint(toy: Any, search: Search) -> None:
    record = search("num_epochs=5", "train.behave=kill_once", budget=("trials=2",))
    assert record["state"] == "COMPLETE"
    first = record["automl"]["trials"][0]
    died, again = (jobs_of(toy, record)[job] for job in first["jobs"])
    assert died["state"] == "ERROR"
    assert "SIGKILL" in died["error"]["message"]
    assert again["metrics"]["first_epoch"] == 1, "the one whole epoch is not trained again"
    assert first["status"] == "complete"
    assert first["epochs"] == 5
    assert record["automl"]["totals"]["trials"] == 2


def test_a_budget_of_epochs_is_kept(search: Search) -> None:
    record = search("num_epochs=9", budget=("epochs=15",), algorithm="random")
    assert record["state"] == "COMPLETE"
    assert 9 < record["automl"]["totals"]["epochs"] <= 15
    assert record["automl"]["best"]["epochs"] == 9


def test_at_the_end_of_a_time_budget_the_best_so_far_is_the_result_and_more_time_goes_on(toy: Any, search: Search) -> None:
    record = search("num_epochs=9", "train.seconds=0.02", budget=("time=1s",), algorithm="hyperband")
    facts = record["automl"]
    assert record["state"] == "COMPLETE"
    assert facts["best"]["value"] == record["metrics"]["val_loss"] or facts["totals"]["complete"] == 0
    furthest = max(trial["epochs"] for trial in facts["trials"])
    assert facts["best"]["epochs"] == furthest
    assert Path(record["artifacts"]["checkpoint"]).exists()
    with pytest.raises(UsageError, match="time of this search is spent"):
        search(resume=record["id"])
    more = search(resume=record["id"], budget=("time=1s",))
    assert more["automl"]["totals"]["trials"] >= facts["totals"]["trials"]
    assert more["automl"]["totals"]["epochs"] > facts["totals"]["epochs"]
    assert more["automl"]["elapsed"] > facts["elapsed"]


def test_more_trials_are_added_to_a_search_that_has_ended(toy: Any, search: Search) -> None:
    first = search("num_epochs=3", budget=("trials=2",), keep_trials=True)
    more = search(resume=first["id"], budget=("trials=4",))
    assert more["retry_of"] == first["id"]
    assert more["automl"]["study"] == first["automl"]["study"]
    assert [t["params"] for t in more["automl"]["trials"][:2]] == [t["params"] for t in first["automl"]["trials"]]
    assert more["automl"]["totals"]["trials"] == 4
    whole = search("num_epochs=3", budget=("trials=4",), keep_trials=True)
    assert [t["params"] for t in whole["automl"]["trials"][:2]] == [t["params"] for t in first["automl"]["trials"]]
    same = search(resume=more["id"])
    assert same["state"] == "COMPLETE"
    assert same["automl"]["totals"] == more["automl"]["totals"]
    assert same["automl"]["best"] == more["automl"]["best"]
    folders = {Path(path).parent for path in toy.folder.rglob("*.pth")}
    assert len(folders) >= 4, "--keep-trials is heeded by the job that goes on, too"
    assert same["automl"]["deleted"] == []


def test_a_search_of_an_earlier_version_is_refused_in_words(toy: Any, search: Search) -> None:
    path = toy.folder / "workspace" / "jobs" / f"{search('num_epochs=1', budget=('trials=1',))['id']}.json"
    record = json.loads(path.read_text())
    record["automl"] = {key: record["automl"][key] for key in ("metric", "direction", "budget", "space", "trials", "best")}
    path.write_text(json.dumps(record))
    with pytest.raises(UsageError, match="earlier version"):
        search(resume=path.stem)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ({"algorithm": "random"}, "--algorithm"),
        ({"search": ("train.lr=0.1..0.2",)}, "--search"),
        ({"no_prune": True}, "--no-prune"),
        ({"automl": "off"}, "--automl off"),
        ({"overrides": ("num_epochs=5",)}, "train.num_epochs"),
    ],
)
def test_a_search_goes_on_as_it_began(search: Search, words: dict[str, Any], says: str) -> None:
    first = search("num_epochs=1", budget=("trials=1",))
    sets = words.pop("overrides", ())
    with pytest.raises(UsageError) as caught:
        search(*sets, resume=first["id"], budget=("trials=2",), **words)
    assert says in str(caught.value)


def test_what_is_kept_and_what_is_deleted_is_told(toy: Any, search: Search) -> None:
    record = search("num_epochs=4", budget=("trials=4",), no_prune=True)
    deleted = record["automl"]["deleted"]
    assert deleted
    assert not [path for path in deleted if Path(path).exists()]
    winner = Path(record["artifacts"]["checkpoint"])
    assert sorted({path.parent for path in toy.folder.rglob("*.pth")}) == [winner.parent]
    kept = search("num_epochs=4", budget=("trials=3",), keep_trials=True)
    folders = {Path(job["results_dir"]) for job in jobs_of(toy, kept).values() if job["study_job"] == kept["id"]}
    assert all(list(folder.glob("*.pth")) for folder in folders)
    assert kept["automl"]["deleted"] == []


def test_a_trial_keeps_the_newest_the_best_and_what_the_interval_asks_for(tmp_path: Path) -> None:
    def left() -> list[int]:
        return sorted(int(path.name[12:15]) + 1 for path in tmp_path.glob("*.pth"))

    trimmer = study_keep.Trimmer(4, tmp_path)
    losses = {1: 5.0, 2: 1.0, 3: 2.0, 4: 3.0, 5: 4.0, 6: 4.5, 7: float("nan")}
    for epoch, loss in losses.items():
        (tmp_path / f"model_epoch_{epoch - 1:03d}_step_{epoch:05d}.pth").touch()
        trimmer.after(epoch, {"val_loss": loss})
    assert left() == [1, 2, 4, 6, 7], "the highest too: of some metrics that is the best"
    best = str(tmp_path / "model_epoch_001_step_00002.pth")
    trimmer.end(Outcome({}, {"checkpoint": best}, [{"path": best, "best": True}]))
    assert left() == [2, 4, 7]


def test_best_rec_and_best_spec_repeat_the_winner(search: Search) -> None:
    record = search("num_epochs=3", budget=("trials=4",))
    best_rec = json.loads(Path(record["artifacts"]["best_rec"]).read_text())
    jsonschema.validate(best_rec, json.loads((SCHEMAS / "best_rec.schema.json").read_text()))
    best = record["automl"]["best"]
    assert (best_rec["best"]["rec_id"], best_rec["best"]["score"]) == (best["number"], best["value"])
    assert best_rec["best"]["observed_budget"] == 3
    assert "num_epochs" not in best_rec["best"]["specs"]["train"]
    assert best_rec["best"]["checkpoint_uri"] == record["artifacts"]["checkpoint"]
    again = search(spec_file=Path(record["artifacts"]["best_spec"]), automl="off", workers=None)
    assert again["metrics"]["val_loss"] == record["metrics"]["val_loss"]


def test_all_failed_is_an_error_with_the_reasons(search: Search) -> None:
    record = search("num_epochs=1", "train.behave=nan", budget=("trials=2",))
    assert record["state"] == "ERROR"
    assert record["error"]["class"] == "SearchFailed"
    assert len(record["error"]["problems"]) == 2
    assert "not a number" in record["error"]["problems"][0]["says"]


def test_choices_and_ranges_of_the_command_line_are_searched(search: Search) -> None:
    record = search(
        "num_epochs=1",
        budget=("trials=5",),
        algorithm="random",
        search=("train.lr=0.2,0.3,0.4", "train.seconds=0..0.01"),
    )
    trials = record["automl"]["trials"]
    assert trials[0]["params"] == {"train.seconds": 0.0}, "0.5 is none of the choices, and stays as it is"
    assert {t["params"]["train.lr"] for t in trials[1:]} <= {0.2, 0.3, 0.4}
    assert all(0 <= t["params"]["train.seconds"] <= 0.01 for t in trials)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ({"algorithm": "hyperbnad"}, "allowed: bayesian, bfbo"),
        ({"algorithm": "pbt"}, "Nearest: asha"),
        ({"search": ("train.lrr=1..2",)}, "did you mean train.lr?"),
        ({"search": ("train.lr=0.9..0.1",)}, "the range is empty"),
        ({"search": ("train.lr=0.5..2",)}, "0 or more and 1 or less"),
        ({"search": ("train.lr=log:0..1",)}, "begins above 0"),
        ({"search": ("train.lr=1..x",)}, "no range"),
        ({"search": ("train.lr=0.1",)}, "two choices or more"),
        ({"search": ("train.behave=well,bad",)}, "'bad' is not one of the choices"),
        ({"search": ("train.fold=0..2",)}, "cannot be compared"),
        ({"search": ("num_epochs=1..9",)}, "--budget epochs=N"),
        ({"search": ("encryption_key=a,b",)}, "train.lr"),
        ({"search": ("train.seconds",)}, "no search range of its own"),
        ({"search": ("train.lr",), "no_search": ("train.lr",)}, "one of them"),
        ({"no_search": ("train.sedonds",)}, "did you mean train.seconds?"),
        ({"no_search": ("train.seconds",)}, "it is not searched; allowed: train.lr"),
        ({"no_search": ("all",)}, "no parameter is left to search"),
        ({"workers": "many"}, "allowed: auto"),
        ({"budget": ("tirals=3",)}, "allowed: trials=N"),
        ({"budget": ("trials=3", "trials=4")}, "given twice"),
        ({"join": True}, "--resume JOB"),
        ({"automl": "off", "algorithm": "random"}, "none is run"),
    ],
)
def test_wrong_words_are_refused_before_anything_is_written(toy: Any, search: Search, words: dict[str, Any], says: str) -> None:
    with pytest.raises((UsageError, SpecInvalid)) as caught:
        search(**words)
    assert says in str(caught.value)
    assert not (toy.folder / "workspace").exists()


def test_a_skill_that_cannot_be_stopped_is_searched_without_and_says_so(
    toy: Any, search: Search, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    import shutil

    bank = tmp_path_factory.mktemp("other") / "bank"
    shutil.copytree(toy.env["SKILL_BANK"], bank)
    info = bank / "skills/tao-train-toy/references/skill_info.yaml"
    info.write_text(info.read_text().replace("    control: true\n", ""))
    monkeypatch.setenv("SKILL_BANK", str(bank))
    record = search("num_epochs=3", budget=("trials=3",))
    assert by_status(record) == {"complete": 3}
    assert record["automl"]["prune"] is False
    assert record["automl"]["totals"]["epochs"] == 9
    with pytest.raises(UsageError, match="takes no `control`"):
        search(algorithm="hyperband")
    with pytest.raises(UsageError, match="nothing can stop a training"):
        search(budget=("epochs=5",))


def test_nobody_else_runs_a_search_that_is_run(toy: Any, search: Search) -> None:
    from runner import study_claim

    first = search("num_epochs=1", budget=("trials=1",))
    where = Path(first["automl"]["study"])
    with study_claim.claimed({"study": str(where), "join": False}, "somebody"), pytest.raises(Refused, match="run by somebody"):
        search(resume=first["id"], budget=("trials=2",))
    with pytest.raises(Refused, match="nothing to join"):
        search(resume=first["id"], budget=("trials=2",), join=True)
    assert len([job for job in toy.jobs() if job["automl"]]) == 1


@pytest.mark.parametrize(
    ("asked", "trials", "cores", "memory", "cards", "found"),
    [
        ("auto", 10, 2, 64, [], (2, "2 cores")),
        ("auto", 10, 64, 256, [], (8, "8 at most")),
        ("auto", 1, 8, 64, [], (1, "1 trials")),
        ("auto", 10, 8, 4, [], (2, "4.0 GiB of memory")),
        ("auto", 10, 16, 256, ["0", "1"], (2, "2 GPUs")),
        (6, 4, 2, 64, [], (4, "4 trials")),
        (3, None, 2, 64, [], (3, "as asked")),
    ],
)
def test_how_many_workers(
    monkeypatch: pytest.MonkeyPatch, asked: Any, trials: int | None, cores: int, memory: int, cards: list[str], found: Any
) -> None:
    monkeypatch.setattr(study_workers, "usable_cores", lambda: cores)
    monkeypatch.setattr(study_workers, "free_memory", lambda: memory * 2**30)
    monkeypatch.setattr(study_workers, "gpus", lambda: cards)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    crew = study_workers.crew(asked, trials=trials, gpus_each=1, data=0)
    assert (crew.workers, crew.why) == found
    if crew.workers > 1:
        assert {around["OMP_NUM_THREADS"] for around in crew.surroundings} == {str(max(1, cores // crew.workers))}
    if cards:
        assert [around["CUDA_VISIBLE_DEVICES"] for around in crew.surroundings] == cards


@pytest.mark.parametrize(
    ("gpu_ids", "asked", "each"),
    [
        ([0], "auto", ["a", "b", "c"]),  # as where nothing is said
        ([2], 2, ["c", "c"]),
        ([1, 2], "auto", [None]),  # both for one training, which counts them as its spec does
        ([1, 2], 2, ["b,c", "b,c"]),
        ([7], 2, [None, None]),  # there is none: the training says so
    ],
)
def test_whose_gpus_are_which(monkeypatch: pytest.MonkeyPatch, gpu_ids: list[int], asked: Any, each: list[Any]) -> None:
    from runner import study_legs

    monkeypatch.setattr(study_workers, "gpus", lambda: ["a", "b", "c"])
    monkeypatch.setattr(study_workers, "free_memory", lambda: None)
    monkeypatch.setattr(study_workers, "usable_cores", lambda: 2)
    spec, keys = {"train": {"gpu_ids": gpu_ids}}, {"gpu_ids": "train.gpu_ids"}
    named = study_legs.gpu_ids(spec, keys)
    crew = study_workers.crew(asked, trials=None, gpus_each=1, data=0, gpu_ids=named)
    assert [around.get(study_workers.VISIBLE) for around in crew.surroundings] == each
    for around in crew.surroundings:
        own = study_legs.own_settings(spec, keys, None, steered=False, gpus=study_workers.gpus_of(around))
        seen = around.get(study_workers.VISIBLE)
        assert own == ({"train.gpu_ids": list(range(len(seen.split(","))))} if seen else {})


def test_recommendations_that_cannot_be_trained_are_adjusted_with_a_reason() -> None:
    from runner import bank
    from runner.study_legs import Adjuster

    skill = bank.get("tao-train-pose-classification")
    spec = skill.schema("train").defaults()
    spec["train"]["optim"]["lr_scheduler"] = "OneCycle"
    adjust = Adjuster({"skill": skill.name, "action": "train"}, spec)
    settings = {"model.dropout": 1.5, "train.checkpoint_interval": 40, "train.optim.lr": 0.001, "train.optim.min_lr": 0.01}
    found, changes = adjust(settings)
    assert found == {**settings, "model.dropout": 1.0, "train.checkpoint_interval": 10, "train.optim.min_lr": 0.0}
    assert [change.partition(":")[0] for change in changes] == [
        "model.dropout",
        "train.checkpoint_interval",
        "train.optim.min_lr",
    ]
    assert changes[1] == "train.checkpoint_interval: 40 became 10, as num_epochs is 10"
    assert adjust(found) == (found, [])
