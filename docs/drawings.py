"""Draws the skeleton graph, its partitions and the blocks of the networks as SVG, from the layouts and matrices of the code.

Each drawing has a ground of its own in the colours of the reader's system, light or dark, so that it reads on any page.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

import numpy as np

from stgcn.graph import LAYOUTS, rooted
from stgcn.stages import GROUPS, STAGES, WIDTH

COCO = LAYOUTS["coco"]
PLACES = {  # of COCO's joints seen from the front, in a field of 200 x 300; the body's left is on the viewer's right
    "nose": (100, 34), "left_eye": (110, 22), "right_eye": (90, 22), "left_ear": (124, 30), "right_ear": (76, 30),
    "left_shoulder": (136, 76), "right_shoulder": (64, 76), "left_elbow": (160, 122), "right_elbow": (40, 122),
    "left_wrist": (172, 168), "right_wrist": (28, 168), "left_hip": (124, 172), "right_hip": (76, 172),
    "left_knee": (130, 228), "right_knee": (70, 228), "left_ankle": (134, 286), "right_ankle": (66, 286),
}  # fmt: skip
SHOWN = "left_elbow"
STYLE = """
.ground{fill:#fbfaf7;stroke:#d8d4ca} .ink{fill:#1f2933} .faint{fill:#5d6875}
.bone{stroke:#8a95a1;stroke-width:2;fill:none} .ghost{opacity:.3}
.time{stroke:#2563a8;stroke-width:1.5;stroke-dasharray:3 3;fill:none}
.joint{fill:#fbfaf7;stroke:#1f2933;stroke-width:1.5}
.blue{stroke:#2563a8;fill:#2563a8} .amber{stroke:#b45309;fill:#b45309} .green{stroke:#15803d;fill:#15803d}
.line{fill:none;stroke-width:2}
.box{fill:#eef2f6;stroke:#8a95a1} .graphbox{fill:#dbe9f7;stroke:#2563a8} .timebox{fill:#fbe8d0;stroke:#b45309}
.wire{stroke:#1f2933;stroke-width:1.5;fill:none}
text{font:13px system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif}
text.title{font-size:15px;font-weight:600} text.small{font-size:12px}
@media (prefers-color-scheme:dark){
.ground{fill:#16191d;stroke:#3a424c} .ink{fill:#e6e9ec} .faint{fill:#a3adb8}
.bone{stroke:#7a8591} .time{stroke:#7db4f0} .joint{fill:#16191d;stroke:#e6e9ec}
.blue{stroke:#7db4f0;fill:#7db4f0} .amber{stroke:#f0a860;fill:#f0a860} .green{stroke:#6fce8f;fill:#6fce8f} .line{fill:none}
.box{fill:#262c33;stroke:#7a8591} .graphbox{fill:#1b3350;stroke:#7db4f0} .timebox{fill:#472c10;stroke:#f0a860}
.wire{stroke:#e6e9ec}}
"""


def drawings() -> dict[str, str]:
    """Name to SVG."""
    return {"skeleton": skeleton(), "blocks": blocks(), "network": network()}


def _page(width: int, height: int, title: str, body: Sequence[str]) -> str:
    arrows = "".join(
        f'<marker id="{name}" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="{size}" markerHeight="{size}" '
        f'markerUnits="userSpaceOnUse" orient="auto"><path d="M0 0 8 4 0 8z" class="{shade}"/></marker>'
        for name, shade, size in (("in", "blue", 9), ("out", "amber", 9), ("end", "ink", 9))
    )
    ground = f'<rect class="ground" x="0.5" y="0.5" width="{width - 1}" height="{height - 1}" rx="8"/>'
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img">'
    )
    parts = (
        head,
        f"<title>{escape(title)}</title>",
        f"<style>{STYLE}</style>",
        f"<defs>{arrows}</defs>",
        ground,
        *body,
        "</svg>",
    )
    return "\n".join(parts) + "\n"


def _text(x: float, y: float, text: str, shade: str = "ink", anchor: str = "middle") -> str:
    return f'<text class="{shade}" x="{x:g}" y="{y:g}" text-anchor="{anchor}">{escape(text)}</text>'


def _box(kind: str, x: float, y: float, width: float, height: float) -> str:
    return f'<rect class="{kind}" x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="5"/>'


# --- the graph and its partitions ---


def skeleton() -> str:
    """The graph over frames, and what each partition gives to each joint."""
    titles = ("The graph", "1  itself", "2  from the side of the centre", "3  from the other side")
    under = ("bones, and a joint to itself in time", "", "", "")
    body = [_text(120 + 240 * i, 34, title, "ink title") for i, title in enumerate(titles)]
    body += [_text(120 + 240 * i, 386, line, "faint small") for i, line in enumerate(under) if line]
    body += [_body_in_time()]
    for number, part in enumerate(rooted(COCO), start=1):
        body.append(f'<g transform="translate({20 + 240 * number} 56)">{_bones()}{_partition(part)}{_joints()}</g>')
    return _page(960, 404, "A skeleton as a graph, and the three partitions of each joint's neighbours", body)


def _at(index: int) -> tuple[float, float]:
    return PLACES[COCO.joints[index]]


def _bones() -> str:
    drawn = ""
    for a, b in COCO.edges:
        (x1, y1), (x2, y2) = _at(a), _at(b)
        drawn += f'<path class="bone" d="M{x1} {y1} {x2} {y2}"/>'
    return drawn


def _joints() -> str:
    drawn = ""
    for index, name in enumerate(COCO.joints):
        x, y = _at(index)
        shade = "green" if index == COCO.center else "ink" if name == SHOWN else "joint"
        drawn += f'<circle class="{shade}" cx="{x}" cy="{y}" r="{5 if shade != "joint" else 3.5}"/>'
    return drawn


def _body_in_time() -> str:
    steps = [(-16.0, 10.0), (0.0, 0.0), (16.0, -10.0)]
    drawn = ""
    for dx, dy in steps:
        ghost = ' class="ghost"' if dx else ""
        drawn += f'<g{ghost} transform="translate({20 + dx:g} {56 + dy:g})">{_bones()}{"" if dx else _joints()}</g>'
    for name in (SHOWN, "left_ankle", "right_wrist", "left_knee"):
        x, y = PLACES[name]
        (ax, ay), (bx, by) = steps[0], steps[-1]
        drawn += f'<path class="time" d="M{20 + x + ax:g} {56 + y + ay:g} {20 + x + bx:g} {56 + y + by:g}"/>'
    return drawn


def _partition(part: np.ndarray) -> str:
    """Arrows from the joint that gives to the joint that takes; rings where a joint gives to itself."""
    drawn = ""
    inward = bool(part[COCO.center].any()) and not part.diagonal().any()
    for giver, taker in np.argwhere(part):
        (x1, y1), (x2, y2) = _at(giver), _at(taker)
        if giver == taker:
            drawn += f'<circle class="green line" cx="{x1}" cy="{y1}" r="8"/>'
            continue
        length = math.hypot(x2 - x1, y2 - y1)
        short = 7 / length  # the arrow's head lies beside the joint, not on it
        x2, y2 = x2 - (x2 - x1) * short, y2 - (y2 - y1) * short
        shade, head = ("blue", "in") if inward else ("amber", "out")
        drawn += f'<path class="{shade} line" d="M{x1:g} {y1:g} {x2:.1f} {y2:.1f}" marker-end="url(#{head})"/>'
    return drawn


# --- blocks ---


def blocks() -> str:
    """One block of ST-GCN beside one of Sep-GCN."""
    st = [
        ("box", "C channels, T frames, V joints"),
        ("graphbox", "mix channels: 1 x 1 convolution, C to 3 C'"),
        ("graphbox", "mix joints: x A1, x A2, x A3, summed"),
        ("box", "batch norm, ReLU"),
        ("timebox", "convolution over 9 frames, all channels"),
        ("box", "batch norm, dropout"),
        ("sum", "1"),
        ("box", "ReLU: C' channels, T or T / 2 frames"),
    ]
    sep = [
        ("box", "C channels, T frames, V joints"),
        ("graphbox", "mix channels: 1 x 1 convolution, C to C'"),
        ("graphbox", f"mix joints: {GROUPS} groups, each x its own A"),
        ("sum", "1"),
        ("timebox", "filter over 7 frames, each channel alone"),
        ("timebox", "mix channels: 1 x 1 convolution"),
        ("sum", "0"),
        ("box", "ReLU: C' channels, T or T / 2 frames"),
    ]
    body = [_text(250, 34, "ST-GCN", "ink title"), _text(730, 34, "Sep-GCN", "ink title")]
    body += _column(250, st, [(0, 6)]) + _column(730, sep, [(0, 3), (0, 6)])
    body += [
        _text(250, 500, "A1 to A3: the partitions, times a weight learned per edge", "faint small"),
        _text(730, 500, "A: begins as a partition, then learned as it is; batch norms not drawn", "faint small"),
    ]
    return _page(960, 520, "A block of ST-GCN and a block of Sep-GCN", body)


def _column(center: float, steps: list[tuple[str, str]], shortcuts: list[tuple[int, int]]) -> list[str]:
    top, pitch, height, half = 56.0, 54.0, 34.0, 160.0
    drawn = []
    for i, (kind, text) in enumerate(steps):
        y = top + i * pitch
        if kind == "sum":
            drawn.append(f'<circle class="box" cx="{center:g}" cy="{y + height / 2:g}" r="13"/>')
            drawn.append(_text(center, y + height / 2 + 5, "+", "ink title"))
            if text == "1" and steps[i + 1][0] == "timebox":
                drawn.append(_text(center - 22, y + height / 2 + 4, "then ReLU", "faint small", "end"))
        else:
            drawn.append(
                f'<rect class="{kind}" x="{center - half:g}" y="{y:g}" width="{2 * half:g}" height="{height:g}" rx="5"/>'
            )
            drawn.append(_text(center, y + height / 2 + 5, text))
        if i:
            above = 13 if steps[i - 1][0] == "sum" else height / 2
            below = 13 if kind == "sum" else height / 2
            start, end = y - pitch + height / 2 + above, y + height / 2 - below
            drawn.append(f'<path class="wire" d="M{center:g} {start:g} V{end:g}" marker-end="url(#end)"/>')
    for number, (first, last) in enumerate(shortcuts):
        side = center + half + 16 + 18 * number
        y1, y2 = top + first * pitch + height / 2, top + last * pitch + height / 2
        path = f"M{center + half:g} {y1 - 5 + 10 * number:g} H{side:g} V{y2:g} H{center + 14:g}"
        drawn.append(f'<path class="wire" d="{path}" marker-end="url(#end)"/>')
    side = center + half + 24 + 18 * (len(shortcuts) - 1)
    drawn.append(
        f'<text class="faint small" transform="translate({side:g} 230) rotate(90)" text-anchor="middle">shortcut</text>'
    )
    return drawn


# --- the whole network ---


def network() -> str:
    """From keypoints to classes, with the blocks of the published size."""
    body = [_text(480, 34, "From keypoints to classes", "ink title")]
    body += _station(20, "box", ("keypoints", "N, C, T, V, M"))
    body += _station(150, "box", ("batch norm", "of each joint's", "each channel"))
    x = 290.0
    for stage, count in enumerate(STAGES):
        for _ in range(count):
            height = 60 + 40 * stage
            body.append(_box("graphbox", x, 150 - height / 2, 30, height))
            x += 36
        frames = "T frames" if not stage else f"T / {2**stage}"
        middle = x - 36 * count / 2 - 3
        body.append(_text(middle, 240, f"{count} blocks of {WIDTH * 2**stage}", "ink small"))
        body.append(_text(middle, 258, frames, "faint small"))
        x += 12
    body += _station(x + 4, "box", ("mean", "over frames,", "joints, persons"))
    body += _station(x + 134, "box", ("linear", "a logit", "per class"))
    wires = ((130, 150), (260, 288), (x - 16, x + 3), (x + 114, x + 133))
    body += [f'<path class="wire" d="M{a:g} 150 H{b:g}" marker-end="url(#end)"/>' for a, b in wires]
    return _page(960, 284, "The whole network, from keypoints to classes", body)


def _station(x: float, kind: str, lines: tuple[str, ...]) -> list[str]:
    drawn = [_box(kind, x, 112, 110, 76)]
    first = 154 - 9 * (len(lines) - 1)
    for i, line in enumerate(lines):
        drawn.append(_text(x + 55, first + 18 * i, line, "ink" if not i else "faint small"))
    return drawn
