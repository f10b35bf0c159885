"""The data card and the provenance: what the data are, and what was made of what, from the finished sections. Pure."""

from __future__ import annotations

from typing import Any

from runner.report import words
from runner.report.collect import Record

SOFTWARE = ("tao-skill-bank", "torch", "onnxruntime")
SPLITS = ("train", "val", "test")


def card(sections: dict[str, Any]) -> list[dict[str, str]]:
    """``name`` and ``value`` of each fact, as people say them; empty where no data were read."""
    splits = sorted(sections["data"], key=lambda told: SPLITS.index(told["split"]) if told["split"] in SPLITS else len(SPLITS))
    if not splits:
        return []
    settings = _settings(sections)
    shapes = [told["shape"] for told in splits if told["shape"] and len(told["shape"]) == 5]
    totals: dict[str, int] = {}
    for told in splits:
        for entry in told["per_class"]:
            totals[entry["name"]] = totals.get(entry["name"], 0) + (entry["sequences"] or 0)
    facts = {
        "Sequences": ", ".join(f"{words.number(t['sequences'])} {t['split']}" for t in splits if t["sequences"] is not None),
        "Classes": _classes(totals),
        "Skeleton": _skeleton(settings, shapes),
        "Frames": _frames(splits),
        "Persons": ", ".join(map(str, sorted({shape[4] for shape in shapes}))),
        "Joints missing": _missing(splits),
        "Prepared by": _prepared(settings),
        "Noticed": _noticed(sections),
    }
    return [{"name": name, "value": value} for name, value in facts.items() if value]


def provenance(records: list[Record], sections: dict[str, Any]) -> list[dict[str, Any]]:
    """One entry per job, oldest first: the data it read by SHA-256, the job it stands on, its settings, seed and software."""
    known = {job["id"]: job for job in sections["jobs"]}
    told = []
    for record in records:
        job = known[record["id"]]
        if job["role"] == "trial" and record.get("study_job") in known:
            continue
        packages = (record.get("environment") or {}).get("packages") or {}
        seed = next((row["value"] for row in job["spec"] if row["key"] == f"{job['action']}.seed"), None)
        told.append(
            {
                "job": job["id"],
                "action": job["action"],
                "status": job["status"],
                "when": job["started_at"] or job["submitted_at"],
                "of": job["parent_job"],
                "data": [
                    {"split": split["split"], "sha256": split["sha256"]}
                    for split in sections["data"]
                    if job["id"] in split["jobs"] and split["sha256"]
                ],
                "spec_sha256": job["hashes"].get("spec"),
                "seed": seed if isinstance(seed, int) else None,
                "software": ", ".join(f"{name} {packages[name]}" for name in SOFTWARE if packages.get(name)),
                "host": job["host"],
            }
        )
    return told


def _settings(sections: dict[str, Any]) -> dict[str, Any]:
    """The settings of the latest training that is no trial, else of the latest job."""
    jobs = [job for job in sections["jobs"] if job["role"] != "trial"] or sections["jobs"]
    job = next((j for j in reversed(jobs) if j["action"] == "train"), jobs[-1])
    return {row["key"]: row["value"] for row in job["spec"]}


def _classes(totals: dict[str, int]) -> str:
    if not totals:
        return ""
    most, least = max(totals, key=totals.__getitem__), min(totals, key=totals.__getitem__)
    if totals[most] == totals[least]:
        return f"{len(totals)}, {words.count(totals[most], 'sequence')} each"
    return f"{len(totals)}; largest {most} ({words.number(totals[most])}), smallest {least} ({words.number(totals[least])})"


def _skeleton(settings: dict[str, Any], shapes: list[list[int]]) -> str:
    parts = []
    layout = settings.get("model.graph_layout")
    if layout and "/" not in str(layout):
        parts.append(str(layout))
    elif layout:
        parts.append("a layout of its own")
    if shapes:
        parts.append(f"{shapes[0][3]} joints, {shapes[0][1]} channels")
    return ", ".join(parts)


def _missing(splits: list[dict[str, Any]]) -> str:
    shares = ((told["split"], told["missing_joint_share"]) for told in splits)
    return ", ".join(f"{words.share(share)} {split}" for split, share in shares if share)


def _frames(splits: list[dict[str, Any]]) -> str:
    lows = [t["frames"]["min"] for t in splits if t["frames"]["min"] is not None]
    highs = [t["frames"]["max"] for t in splits if t["frames"]["max"] is not None]
    if not lows or not highs:
        return ""
    window = max((t["shape"][2] for t in splits if t["shape"] and len(t["shape"]) == 5), default=None)
    padded = f", padded to {words.number(window)}" if window and min(lows) < window else ""
    return f"{words.number(min(lows))} to {words.number(max(highs))}{padded}"


def _prepared(settings: dict[str, Any]) -> str:
    """The settings of the preparation that do something."""
    idle = (None, "none", False, 0, -1, 0.0, "resample")
    found = {k.rsplit(".", 1)[1]: v for k, v in settings.items() if k.startswith("dataset.preparation.") and v not in idle}
    return ", ".join(f"{key} {words.value(value)}" for key, value in found.items())


def _noticed(sections: dict[str, Any]) -> str:
    if not sections["checks"]:
        return ""
    levels = [finding["level"] for finding in words.noticed(sections["checks"])]
    counts = [words.count(levels.count(level), level) for level in ("error", "warning", "note") if level in levels]
    return ", ".join(counts) or "nothing"
