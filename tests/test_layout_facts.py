"""The built-in layouts against what their sources publish, in the sources' own spelling; see the table in docs/layouts.md."""

from __future__ import annotations

import pytest
from conftest import ROOT

from stgcn.graph import LAYOUTS, canonical
from stgcn.remap import plan

KINECT_2 = (
    "SpineBase SpineMid Neck Head ShoulderLeft ElbowLeft WristLeft HandLeft ShoulderRight ElbowRight WristRight HandRight "
    "HipLeft KneeLeft AnkleLeft FootLeft HipRight KneeRight AnkleRight FootRight SpineShoulder HandTipLeft ThumbLeft "
    "HandTipRight ThumbRight"
)

# Joints in order, as the source spells them.
JOINTS = {
    "nvidia": (
        "pelvis left_hip right_hip torso left_knee right_knee neck left_ankle right_ankle left_big_toe right_big_toe "
        "left_small_toe right_small_toe left_heel right_heel nose left_eye right_eye left_ear right_ear left_shoulder "
        "right_shoulder left_elbow right_elbow left_wrist right_wrist left_pinky_knuckle right_pinky_knuckle "
        "left_middle_tip right_middle_tip left_index_knuckle right_index_knuckle left_thumb_tip right_thumb_tip"
    ),
    "openpose": (
        "Nose Neck RShoulder RElbow RWrist LShoulder LElbow LWrist RHip RKnee RAnkle LHip LKnee LAnkle REye LEye REar LEar"
    ),
    "human3.6m": (
        "Hip RHip RKnee RFoot LHip LKnee LFoot Spine Thorax Neck/Nose Head LShoulder LElbow LWrist RShoulder RElbow RWrist"
    ),
    "ntu-rgb+d": KINECT_2,
    "coco": (
        "nose left_eye right_eye left_ear right_ear left_shoulder right_shoulder left_elbow right_elbow left_wrist "
        "right_wrist left_hip right_hip left_knee right_knee left_ankle right_ankle"
    ),
    "body_25": (
        "Nose Neck RShoulder RElbow RWrist LShoulder LElbow LWrist MidHip RHip RKnee RAnkle LHip LKnee LAnkle REye LEye "
        "REar LEar LBigToe LSmallToe LHeel RBigToe RSmallToe RHeel"
    ),
    "halpe_26": (
        "Nose LEye REye LEar REar LShoulder RShoulder LElbow RElbow LWrist RWrist LHip RHip LKnee RKnee LAnkle RAnkle "
        "Head Neck Hip LBigToe RBigToe LSmallToe RSmallToe LHeel RHeel"
    ),
    "mediapipe_33": (
        "NOSE LEFT_EYE_INNER LEFT_EYE LEFT_EYE_OUTER RIGHT_EYE_INNER RIGHT_EYE RIGHT_EYE_OUTER LEFT_EAR RIGHT_EAR "
        "MOUTH_LEFT MOUTH_RIGHT LEFT_SHOULDER RIGHT_SHOULDER LEFT_ELBOW RIGHT_ELBOW LEFT_WRIST RIGHT_WRIST LEFT_PINKY "
        "RIGHT_PINKY LEFT_INDEX RIGHT_INDEX LEFT_THUMB RIGHT_THUMB LEFT_HIP RIGHT_HIP LEFT_KNEE RIGHT_KNEE LEFT_ANKLE "
        "RIGHT_ANKLE LEFT_HEEL RIGHT_HEEL LEFT_FOOT_INDEX RIGHT_FOOT_INDEX"
    ),
    "hand_21": (
        "WRIST THUMB_CMC THUMB_MCP THUMB_IP THUMB_TIP INDEX_FINGER_MCP INDEX_FINGER_PIP INDEX_FINGER_DIP INDEX_FINGER_TIP "
        "MIDDLE_FINGER_MCP MIDDLE_FINGER_PIP MIDDLE_FINGER_DIP MIDDLE_FINGER_TIP RING_FINGER_MCP RING_FINGER_PIP "
        "RING_FINGER_DIP RING_FINGER_TIP PINKY_MCP PINKY_PIP PINKY_DIP PINKY_TIP"
    ),
    "kinect_v1_20": (
        "HIP_CENTER SPINE SHOULDER_CENTER HEAD SHOULDER_LEFT ELBOW_LEFT WRIST_LEFT HAND_LEFT SHOULDER_RIGHT ELBOW_RIGHT "
        "WRIST_RIGHT HAND_RIGHT HIP_LEFT KNEE_LEFT ANKLE_LEFT FOOT_LEFT HIP_RIGHT KNEE_RIGHT ANKLE_RIGHT FOOT_RIGHT"
    ),
    "smpl_24": (
        "pelvis left_hip right_hip spine1 left_knee right_knee spine2 left_ankle right_ankle spine3 left_foot right_foot "
        "neck left_collar right_collar head left_shoulder right_shoulder left_elbow right_elbow left_wrist right_wrist "
        "left_hand right_hand"
    ),
}
# Where this bank's name is another than the source's.
RENAMED = {"human3.6m": {"Hip": "pelvis", "RFoot": "right_ankle", "LFoot": "left_ankle", "Neck/Nose": "neck_nose"}}

# The joint each joint hangs on, -1 for the root, by index.
PARENTS = {
    "ntu-rgb+d": [-1, 0, 20, 2, 20, 4, 5, 6, 20, 8, 9, 10, 0, 12, 13, 14, 0, 16, 17, 18, 1, 22, 7, 24, 11],
    "ntu_edge": [-1, 0, 1, 2, 1, 4, 5, 6, 1, 8, 9, 10, 0, 12, 13, 14, 0, 16, 17, 18, 21, 7, 23, 11],
    "kinect_v1_20": [-1, 0, 1, 2, 2, 4, 5, 6, 2, 8, 9, 10, 0, 12, 13, 14, 0, 16, 17, 18],
    "smpl_24": [-1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19, 20, 21],
}
# Pairs that the sources draw; those that TAO or this bank adds, here so that the skeleton hangs together; those that TAO drops.
DRAWN = {
    "nvidia": (
        "0-1 0-2 0-3 1-4 2-5 3-6 4-7 5-8 7-9 8-10 7-11 8-12 7-13 8-14 6-15 15-16 15-17 15-18 15-19 6-20 6-21 20-22 21-23 22-24 "
        "23-25 24-26 25-27 24-28 25-29 24-30 25-31 24-32 25-33",
        "9-11 10-12 16-18 17-19 1-20 2-21",
        "7-11 8-12 15-18 15-19",
    ),
    "openpose": ("1-2 1-5 2-3 3-4 5-6 6-7 1-8 8-9 9-10 1-11 11-12 12-13 1-0 0-14 14-16 0-15 15-17", "8-2 11-5", "1-8 1-11"),
    "human3.6m": (
        "0-1 1-2 2-3 0-4 4-5 5-6 0-7 7-8 8-9 9-10 8-11 11-12 12-13 8-14 14-15 15-16",
        "1-7 4-7 9-11 9-14",
        "0-7 8-11 8-14",
    ),
    "coco": ("15-13 13-11 16-14 14-12 11-12 5-11 6-12 5-6 5-7 6-8 7-9 8-10 1-2 0-1 0-2 1-3 2-4 3-5 4-6", "", ""),
    "body_25": (
        "1-8 1-2 1-5 2-3 3-4 5-6 6-7 8-9 9-10 10-11 8-12 12-13 13-14 1-0 0-15 15-17 0-16 16-18 14-19 19-20 14-21 11-22 22-23 "
        "11-24",
        "",
        "",
    ),
    "halpe_26": (
        "0-1 0-2 1-3 2-4 5-18 6-18 5-7 7-9 6-8 8-10 17-18 18-19 19-11 19-12 11-13 12-14 13-15 14-16 20-24 21-25 23-25 22-24 "
        "15-24 16-25",
        "0-18",
        "",
    ),
    "mediapipe_33": (
        "0-1 1-2 2-3 3-7 0-4 4-5 5-6 6-8 9-10 11-12 11-13 13-15 15-17 15-19 15-21 17-19 12-14 14-16 16-18 16-20 16-22 18-20 "
        "11-23 12-24 23-24 23-25 24-26 25-27 26-28 27-29 28-30 29-31 30-32 27-31 28-32",
        "0-9 0-10 0-11 0-12",
        "",
    ),
    "hand_21": (
        "0-1 0-5 9-13 13-17 5-9 0-17 1-2 2-3 3-4 5-6 6-7 7-8 9-10 10-11 11-12 13-14 14-15 15-16 17-18 18-19 19-20",
        "",
        "",
    ),
}
# The joint, or the joints whose middle, each role is.
ROLES = {
    "nvidia": {"root": "pelvis", "neck": "neck", "head": "left_ear right_ear"},
    "openpose": {"root": "left_hip right_hip", "neck": "neck", "head": "left_ear right_ear"},
    "human3.6m": {"root": "pelvis", "neck": "thorax", "head": "head"},
    "ntu-rgb+d": {"root": "spine_base", "neck": "neck", "head": "head"},
    "ntu_edge": {"root": "spine_base", "neck": "neck", "head": "head"},
    "coco": {"root": "left_hip right_hip", "neck": "left_shoulder right_shoulder", "head": "left_ear right_ear"},
    "body_25": {"root": "mid_hip", "neck": "neck", "head": "left_ear right_ear"},
    "halpe_26": {"root": "hip", "neck": "neck", "head": "head"},
    "mediapipe_33": {"root": "left_hip right_hip", "neck": "left_shoulder right_shoulder", "head": "left_ear right_ear"},
    "hand_21": {"root": "wrist"},
    "kinect_v1_20": {"root": "hip_center", "neck": "shoulder_center", "head": "head"},
    "smpl_24": {"root": "pelvis", "neck": "neck", "head": "head"},
}


def pairs(text: str) -> set[frozenset[int]]:
    return {frozenset(map(int, pair.split("-"))) for pair in text.split()}


def bones(name: str) -> set[frozenset[int]]:
    return {frozenset(edge) for edge in LAYOUTS[name].edges}


@pytest.mark.parametrize("name", JOINTS)
def test_joints_stand_in_the_order_of_the_source(name: str) -> None:
    renamed = [RENAMED.get(name, {}).get(joint, joint) for joint in JOINTS[name].split()]
    assert [canonical(joint) for joint in renamed] == [canonical(joint) for joint in LAYOUTS[name].joints]


def test_ntu_edge_is_the_second_kinect_without_the_spine_at_the_shoulders() -> None:
    joints = list(LAYOUTS["ntu-rgb+d"].joints)
    joints.remove("spine_shoulder")
    assert list(LAYOUTS["ntu_edge"].joints) == joints


@pytest.mark.parametrize("name", PARENTS)
def test_bones_are_the_parents(name: str) -> None:
    """The Kinect hangs tip and thumb on the hand each; NTU RGB+D, and so TAO, the tip on the thumb."""
    parents = PARENTS[name]
    assert bones(name) == {frozenset((i, parent)) for i, parent in enumerate(parents) if parent >= 0}


@pytest.mark.parametrize("name", DRAWN)
def test_bones_are_those_the_source_draws_but_for_the_listed_ones(name: str) -> None:
    drawn, added, dropped = map(pairs, DRAWN[name])
    assert not drawn & added
    assert dropped <= drawn
    assert bones(name) == (drawn - dropped) | added


@pytest.mark.parametrize("name", LAYOUTS)
def test_roles(name: str) -> None:
    layout = LAYOUTS[name]
    said = {role: " ".join(layout.joints[i] for i in joints) for role, joints in layout.roles.items()}
    sides = {side: side for side in ("left_shoulder", "right_shoulder", "left_hip", "right_hip") if side in layout.joints}
    assert said == ROLES[name] | sides
    assert len(sides) == (0 if name == "hand_21" else 4)


def test_pairs_are_all_joints_with_a_side() -> None:
    counts = {name: len(layout.pairs) for name, layout in LAYOUTS.items()}
    assert counts == {
        "nvidia": 15, "openpose": 8, "human3.6m": 6, "ntu-rgb+d": 10, "ntu_edge": 10, "coco": 8, "body_25": 11, "halpe_26": 11,
        "mediapipe_33": 16, "hand_21": 0, "kinect_v1_20": 8, "smpl_24": 9,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("source", "target", "joint", "taken"),
    [
        ("human3.6m", "openpose", "neck", ("thorax",)),  # between the shoulders, as OpenPose's neck is
        ("human3.6m", "coco", "nose", ("neck_nose",)),
        ("coco", "human3.6m", "neck_nose", ("nose",)),
        ("coco", "human3.6m", "thorax", ("left_shoulder", "right_shoulder")),
        ("openpose", "human3.6m", "thorax", ("neck",)),
        ("human3.6m", "nvidia", "torso", ("spine",)),
    ],
)
def test_the_neck_of_human36m_is_the_one_the_others_mean(source: str, target: str, joint: str, taken: tuple[str, ...]) -> None:
    rows = {row.joint: row for row in plan(LAYOUTS[source], LAYOUTS[target])}
    assert rows[joint].sources == taken


def test_the_document_names_a_source_for_every_layout() -> None:
    text = (ROOT / "docs" / "layouts.md").read_text(encoding="utf-8")
    sources = text.split("## Where this is from")[1].split("\n## ")[0]
    for name in LAYOUTS:
        assert f"| {name} |" in sources, name
