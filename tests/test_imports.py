"""The ladder: imports point down, in both packages, and heavy third parties are entered late."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

# Each rung may import those below it, never its own or one above.
RUNNER = [
    {"cli"},
    {"tao_cli"},
    {"render_search", "demo", "scaffold", "mcp", "api", "study_worker"},
    {"launch", "maintain", "render"},
    {"opening"},
    {"facts"},
    {"planhash"},
    {"study_review"},
    {"plan"},
    {"study", "study_plan"},
    {"study_share", "study_talk"},
    {"study_legs", "study_board", "study_asked", "study_final", "study_task", "places"},
    {"install", "series", "checks", "report", "compose", "doctor", "keyed"}
    | {"study_wishes", "study_claim", "study_facts", "study_faults", "study_keep", "study_result", "study_workers"}
    | {"study_far", "study_manifest", "study_slurm"},
    {"bank", "follow", "lineage", "match", "policy", "trials"},
    {"skill", "match_policy", "infer", "automl"},
    {"recipe", "match_text"},
    {"schema", "jobs", "datafolder"},
    {"spec", "storage", "backend", "checkpoints"},
    {"scrub"},
    {"ahead", "budget", "databases", "fingerprint", "keys", "private", "redact", "stopping", "terminal"},
    {"errors"},
]
STGCN = [
    {"train", "evaluate", "inference", "classifier", "stream", "export", "dataset_convert", "layout", "sample", "sample_clips"},
    {"continuing", "fit", "predict"},
    {"callbacks", "action", "importer", "inspect", "steering"},
    {"module", "checkpoint"},
    {"fast", "fast_training", "network"},
    {"folded"},
    {"adapt", "model", "stgcnpp", "ctrgcn", "sepgcn", "data", "finetune", "folds"},
    {"arrays", "augment", "calibration", "drawing", "metrics", "side_by_side", "tracking"},
    {"formats"},
    {"description", "bodypose", "status", "unheard"},
    {"jsonblocks", "workshop"},
    {
        "annotations",
        "averaging",
        "bodytrack",
        "labels",
        "files",
        "body",
        "camera",
        "consistency",
        "jsonlist",
        "mixing",
        "optim",
        "prepare",
        "remap",
        "splits",
    }
    | {"streams"},
    {"config", "cost", "fusion", "masking", "stages", "delimited", "graph", "npy", "people", "pickles", "quiet"}
    | {"windows", "resident"}
    | {
        "buckets",
        "channels",
        "crypto",
        "discreet",
        "dropout",
        "forked",
        "precision",
        "progress",
        "resident",
        "sessions",
        "toomcook",
    },
    {"pickled", "threads"},
    {"errors"},
]
LADDERS = {"runner": RUNNER, "stgcn": STGCN}


def test_the_documents_show_this_ladder():
    shown = " ".join((ROOT / "docs" / "architecture.md").read_text(encoding="utf-8").split())
    for ladder in LADDERS.values():
        assert " > ".join(", ".join(sorted(rung)) for rung in ladder) in shown


def modules(package):
    """Module name at the first level -> the source files it consists of."""
    found = {}
    for path in sorted((ROOT / package).rglob("*.py")):
        name = path.relative_to(ROOT / package).parts[0].removesuffix(".py")
        if name != "__init__":
            found.setdefault(name, []).append(path)
    return found


def imports(path):
    """(dotted module, line) of every import in a file, those inside functions and for typing too; none is relative."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: relative import"
            module = node.module or ""
            if module in LADDERS:
                yield from ((f"{module}.{alias.name}", node.lineno) for alias in node.names)
            else:
                yield module, node.lineno


@pytest.mark.parametrize("package", LADDERS)
def test_every_module_has_its_rung(package):
    rungs = [name for rung in LADDERS[package] for name in rung]
    assert sorted(rungs) == sorted(set(rungs))
    assert set(modules(package)) == set(rungs)


@pytest.mark.parametrize("package", LADDERS)
def test_imports_point_down(package):
    rung_of = {name: i for i, rung in enumerate(LADDERS[package]) for name in rung}
    wrong = []
    for name, paths in modules(package).items():
        for path in paths:
            for imported, line in imports(path):
                head, _, rest = imported.partition(".")
                other = rest.partition(".")[0]
                if head == package and other and other != name and rung_of[other] <= rung_of[name]:
                    wrong.append(f"{path.relative_to(ROOT)}:{line}: {name} imports {other}")
    assert wrong == []


@pytest.mark.parametrize(("package", "forbidden"), [("runner", {"stgcn", "torch", "pytorch_lightning"}), ("stgcn", {"runner"})])
def test_the_seam_is_not_crossed(package, forbidden):
    crossing = [
        f"{path.relative_to(ROOT)}:{line}: {imported}"
        for paths in modules(package).values()
        for path in paths
        for imported, line in imports(path)
        if imported.partition(".")[0] in forbidden
    ]
    assert crossing == []


HEAVY = {
    "torch", "torchmetrics", "pytorch_lightning", "lightning_fabric", "optuna", "boto3", "botocore", "matplotlib", "onnx",
    "onnxruntime", "onnxscript", "numpy", "scipy", "jinja2", "jsonschema", "jsonschema_rs", "yaml", "stgcn", "wandb",
    "sqlalchemy", "psycopg", "submitit",
    "tensorboard", "click", "cryptography", "simdjson", "mcp", "mcp_types", "pydantic", "anyio", "starlette", "uvicorn",
}  # fmt: skip
QUICK = "from runner import bank; bank.skills()"
PLAN = """
from runner import bank, infer, match, policy, spec
skill = bank.get("tao-train-pose-classification")
schema = skill.schema("train")
assert not schema.problems(schema.coerce(schema.defaults()))
schema.search_space(schema.defaults())
match.match("train pose classification", bank.skills())
"""


@pytest.mark.parametrize(
    ("code", "allowed"),
    [
        *((f"import runner.{name}", set()) for rung in RUNNER for name in sorted(rung)),
        (QUICK, {"yaml"}),
        (PLAN, {"yaml"}),
        ("import stgcn.config, stgcn.errors, stgcn.graph", {"numpy", "stgcn"}),
        ("import stgcn.config", {"stgcn"}),
        ("import stgcn.arrays, stgcn.labels, stgcn.metrics, stgcn.status, stgcn.augment", {"numpy", "stgcn"}),
    ],
)
def test_what_an_import_loads(code, allowed):
    """Importing a module of the runner loads nothing heavy; what is needed comes with the work."""
    listing = f"import sys\n{code}\nprint('\\n'.join({{m.partition('.')[0] for m in sys.modules}}))"
    done = subprocess.run([sys.executable, "-c", listing], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert set(done.stdout.split()) & HEAVY <= allowed
