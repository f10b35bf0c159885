"""Parameters a job can know by itself or from its parent: INFERENCES, name -> f(job, parent) -> value.

Pure functions over plain records. Writes nothing, launches nothing, searches no folder. None means: leave it as it is.
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Collection, Mapping
from typing import Any, NamedTuple

from runner import checkpoints
from runner import spec as specs
from runner.errors import CannotInfer, ParentError, SchemaInvalid

Record = Mapping[str, Any]
_UNSET = ("", "???", None)
_REDACTED = "***"
_RESUME_KEY = "train.resume_training_checkpoint_path"  # the same in every network of TAO


class JobView(NamedTuple):
    """What an inference may know of the job that is being composed."""

    id: str
    action: str
    network_arch: str
    key: str  # the spec key being filled
    results_dir: str
    spec: Mapping[str, Any]
    parent_choice: str = "best"  # best, latest, epoch:N or step:N
    resume: Record | None = None  # the job to go on from
    pretrained: str | None = None
    encryption_key: str | None = None
    arguments: tuple[str, ...] = ()  # of `assign_const_value,a,b`


class Inferred(NamedTuple):
    """One value that was filled in, the function that gave it and where that had it from."""

    key: str
    value: Any
    function: str
    source: str


def fill(
    spec: Mapping[str, Any],
    spec_params: Mapping[str, str],
    job: JobView,
    parent: Record | None,
    user_keys: Collection[str],
) -> tuple[dict[str, Any], list[Inferred]]:
    """A new spec with the inferred values filled in, in the order of ``spec_params``; never over one of ``user_keys``.

    Raises:
        CannotInfer, ParentError: the parent or resumed job is not there to take from, or does not fit.
        SchemaInvalid: spec_params names a function that does not exist.
    """
    filled = specs.merge(spec, {})
    inferred: list[Inferred] = []
    for key, text in spec_params.items():
        if key in user_keys:
            continue
        name, *arguments = (word.strip() for word in text.split(","))
        if name not in INFERENCES:
            raise SchemaInvalid(f"spec_params of {key}: no inference {name!r}", hint=f"Known: {', '.join(INFERENCES)}")
        view = job._replace(key=key, spec=filled, arguments=tuple(arguments))
        value = INFERENCES[name](view, parent)
        if value is not None:
            specs.set_(filled, key, value)
            inferred.append(Inferred(key, value, name, _source(name, value, job, parent)))
    return filled, inferred


def output_dir(job: JobView, parent: Record | None) -> str:
    """The job's own results folder."""
    return job.results_dir


def key(job: JobView, parent: Record | None) -> str | None:
    """The passphrase of checkpoints at rest, when the surroundings have one."""
    return job.encryption_key


def verbose(job: JobView, parent: Record | None) -> bool:
    """Always true."""
    return True


def parent_model(job: JobView, parent: Record | None) -> str | None:
    """The model of the parent: the chosen checkpoint of a training or a search, the ONNX file of an export."""
    if parent is None:
        return None
    _require_fitting(job, parent)
    action = parent.get("action")
    if action == "train":
        return str(checkpoints.pick(parent.get("checkpoints") or [], job.parent_choice)["path"])
    if action == "export" and job.action != "export":
        return _onnx_file(job, parent)
    what = "has an ONNX file, which cannot be exported again" if action == "export" else "makes no model"
    raise CannotInfer(job.key, f"{parent['id']} is an {action} job, which {what}; allowed: {_allowed_parents(job)}")


def parent_model_folder(job: JobView, parent: Record | None) -> str | None:
    """The folder of ``parent_model``."""
    model = parent_model(job, parent)
    return None if model is None else posixpath.dirname(model)


def parent_model_or_ptm(job: JobView, parent: Record | None) -> str | None:
    """The model of the parent, or the pretrained one when there is no parent."""
    return job.pretrained if parent is None else parent_model(job, parent)


def parent_spec(job: JobView, parent: Record | None) -> Any:
    """The value the parent ran with: what describes the model has to stay the same downstream."""
    if parent is None:
        return None
    _require_fitting(job, parent)
    value = specs.get(parent.get("spec") or {}, job.key)
    return None if value in _UNSET or value == _REDACTED else value


def ptm(job: JobView, parent: Record | None) -> str | None:
    """The pretrained model: the one named, or what the parent of a training learned. Converted data is no model."""
    if job.pretrained is not None:
        return job.pretrained
    if parent is None or job.action != "train" or parent.get("action") == "dataset_convert":
        return None
    if parent.get("action") == "export":
        raise CannotInfer(job.key, f"{parent['id']} is an export job; training starts from a checkpoint: name its parent")
    return parent_model(job, parent)


def resume_model(job: JobView, parent: Record | None) -> str | None:
    """The checkpoint to go on from: the latest of the resumed job unless another one is asked for."""
    if job.resume is None:
        return None
    if job.resume.get("state") in ("PENDING", "RUNNING"):
        raise ParentError(f"{job.resume['id']} is {job.resume['state']}: a job is resumed after it has ended")
    _require_same_network(job, job.resume)
    if job.resume.get("action") != job.action:
        raise CannotInfer(job.key, f"{job.resume['id']} is an {job.resume.get('action')} job; allowed: a {job.action} job")
    choice = "latest" if job.parent_choice == "best" else job.parent_choice
    return str(checkpoints.pick(job.resume.get("checkpoints") or [], choice)["path"])


def ptm_if_no_resume_model(job: JobView, parent: Record | None) -> str | None:
    """The pretrained model, unless the training goes on from a checkpoint."""
    return None if _resumes(job) else ptm(job, parent)


def resume_model_or_ptm(job: JobView, parent: Record | None) -> str | None:
    """The checkpoint to go on from, else the pretrained model."""
    return resume_model(job, parent) if _resumes(job) else ptm(job, parent)


def create_onnx_file(job: JobView, parent: Record | None) -> str:
    """The ONNX file an export writes."""
    return posixpath.join(job.results_dir, "model.onnx")


def create_inference_result_file_pose(job: JobView, parent: Record | None) -> str:
    """The file of predicted class names."""
    return posixpath.join(job.results_dir, "results.txt")


def assign_const_value(job: JobView, parent: Record | None) -> int | float | None:
    """The smallest of the setting's own value and the settings named: an interval no longer than the training."""
    own = specs.get(job.spec, job.key)
    section = job.key.rpartition(".")[0]
    others = [specs.get(job.spec, name, specs.get(job.spec, f"{section}.{name}")) for name in job.arguments]
    numbers = [v for v in (own, *others) if isinstance(v, int | float) and not isinstance(v, bool)]
    return min(numbers) if numbers and min(numbers) != own else None


INFERENCES: dict[str, Callable[[JobView, Record | None], Any]] = {
    "output_dir": output_dir,
    "key": key,
    "verbose": verbose,
    "parent_model": parent_model,
    "parent_model_folder": parent_model_folder,
    "parent_model_or_ptm": parent_model_or_ptm,
    "parent_spec": parent_spec,
    "ptm": ptm,
    "ptm_if_no_resume_model": ptm_if_no_resume_model,
    "resume_model": resume_model,
    "resume_model_or_ptm": resume_model_or_ptm,
    "create_onnx_file": create_onnx_file,
    "create_inference_result_file_pose": create_inference_result_file_pose,
    "assign_const_value": assign_const_value,
}


def _require_fitting(job: JobView, parent: Record) -> None:
    _require_same_network(job, parent)
    if parent.get("state") != "COMPLETE":
        raise ParentError(
            f"the parent {parent['id']} is {parent.get('state')}, not COMPLETE",
            hint=f"See: skillbank status {parent['id']}. An ended training goes on with --resume.",
        )


def _require_same_network(job: JobView, other: Record) -> None:
    if other.get("network_arch") != job.network_arch:
        raise ParentError(f"{other['id']} is of the network {other.get('network_arch')}; this job is of {job.network_arch}")


def _onnx_file(job: JobView, parent: Record) -> str:
    path = (parent.get("artifacts") or {}).get("onnx")
    if not path:
        raise CannotInfer(job.key, f"{parent['id']} recorded no ONNX file")
    return str(path)


def _allowed_parents(job: JobView) -> str:
    return "a train or an AutoML job" + ("" if job.action in ("export", "train") else ", or an export job")


def _resumes(job: JobView) -> bool:
    return job.resume is not None or specs.get(job.spec, _RESUME_KEY) not in _UNSET


def _source(name: str, value: Any, job: JobView, parent: Record | None) -> str:
    """Where a value came from, in words."""
    if name == "key":
        return "the encryption key of the surroundings"
    if value == job.pretrained:
        return "the pretrained model"
    if name.startswith("resume") and job.resume is not None:
        return f"job {job.resume['id']}"
    return f"job {parent['id']}" if parent is not None and name.startswith(("parent", "ptm")) else "this job"
