"""The layouts that are built in: those of TAO, and the output of common pose estimators and sensors. Data only."""

from __future__ import annotations

from stgcn.graph.layout import Layout, pairs_by_name

# Which joint plays a part; where a layout lacks the first, the middle of the others counts.
_ROLES: dict[str, tuple[tuple[str, ...], ...]] = {
    "root": (("pelvis",), ("spine_base",), ("hip_center",), ("mid_hip",), ("hip",), ("left_hip", "right_hip"), ("wrist",)),
    "neck": (("thorax",), ("neck",), ("spine_shoulder",), ("shoulder_center",), ("left_shoulder", "right_shoulder")),
    "head": (("head",), ("left_ear", "right_ear"), ("nose",)),
    **{joint: ((joint,),) for joint in ("left_shoulder", "right_shoulder", "left_hip", "right_hip")},
}


def _layout(name: str, center: int, joints: str, edges: str, first: int = 0) -> Layout:
    """Read a layout from words: edges as ``a-b`` with joints counted from ``first``."""
    bones = (edge.split("-") for edge in edges.split())
    names = joints.split()
    return Layout(
        name,
        tuple(names),
        tuple((int(a) - first, int(b) - first) for a, b in bones),
        center,
        pairs_by_name(names),
        _roles(names),
    )


def _roles(names: list[str]) -> dict[str, tuple[int, ...]]:
    found = {}
    for role, ways in _ROLES.items():
        way = next((way for way in ways if all(joint in names for joint in way)), None)
        if way:
            found[role] = tuple(names.index(joint) for joint in way)
    return found


_KINECT = (
    "spine_base spine_mid neck head left_shoulder left_elbow left_wrist left_hand right_shoulder right_elbow right_wrist "
    "right_hand left_hip left_knee left_ankle left_foot right_hip right_knee right_ankle right_foot"
)
_KINECT_HANDS = "left_hand_tip left_thumb right_hand_tip right_thumb"

LAYOUTS: dict[str, Layout] = {
    layout.name: layout
    for layout in (
        _layout(
            "nvidia",
            0,
            "pelvis left_hip right_hip torso left_knee right_knee neck left_ankle right_ankle left_big_toe right_big_toe "
            "left_small_toe right_small_toe left_heel right_heel nose left_eye right_eye left_ear right_ear left_shoulder "
            "right_shoulder left_elbow right_elbow left_wrist right_wrist left_pinky_knuckle right_pinky_knuckle "
            "left_middle_tip right_middle_tip left_index_knuckle right_index_knuckle left_thumb_tip right_thumb_tip",
            "0-1 0-2 0-3 1-4 2-5 3-6 4-7 5-8 7-9 8-10 9-11 10-12 7-13 8-14 6-15 15-16 15-17 16-18 17-19 1-20 2-21 6-20 6-21 "
            "20-22 21-23 22-24 23-25 24-26 25-27 24-28 25-29 24-30 25-31 24-32 25-33",
        ),
        _layout(
            "openpose",
            1,
            "nose neck right_shoulder right_elbow right_wrist left_shoulder left_elbow left_wrist right_hip right_knee "
            "right_ankle left_hip left_knee left_ankle right_eye left_eye right_ear left_ear",
            "4-3 3-2 7-6 6-5 13-12 12-11 10-9 9-8 11-5 8-2 5-1 2-1 0-1 15-0 14-0 17-15 16-14",
        ),
        _layout(
            "human3.6m",
            8,
            "pelvis right_hip right_knee right_ankle left_hip left_knee left_ankle spine thorax neck_nose head left_shoulder "
            "left_elbow left_wrist right_shoulder right_elbow right_wrist",
            "9-10 8-9 7-8 1-7 4-7 0-1 0-4 9-11 9-14 11-12 14-15 12-13 15-16 1-2 2-3 4-5 5-6",
        ),
        _layout(
            "ntu-rgb+d",
            20,
            f"{_KINECT} spine_shoulder {_KINECT_HANDS}",
            "1-2 2-21 3-21 4-3 5-21 6-5 7-6 8-7 9-21 10-9 11-10 12-11 13-1 14-13 15-14 16-15 17-1 18-17 19-18 20-19 22-23 "
            "23-8 24-25 25-12",
            first=1,
        ),
        _layout(
            "ntu_edge",
            2,
            f"{_KINECT} {_KINECT_HANDS}",
            "1-2 3-2 4-3 5-2 6-5 7-6 8-7 9-2 10-9 11-10 12-11 13-1 14-13 15-14 16-15 17-1 18-17 19-18 20-19 21-22 22-8 "
            "23-24 24-12",
            first=1,
        ),
        _layout(
            "coco",
            0,
            "nose left_eye right_eye left_ear right_ear left_shoulder right_shoulder left_elbow right_elbow left_wrist "
            "right_wrist left_hip right_hip left_knee right_knee left_ankle right_ankle",
            "16-14 14-12 17-15 15-13 12-13 6-12 7-13 6-7 8-6 9-7 10-8 11-9 2-3 2-1 3-1 4-2 5-3 4-6 5-7",
            first=1,
        ),
        _layout(
            "body_25",
            1,
            "nose neck right_shoulder right_elbow right_wrist left_shoulder left_elbow left_wrist mid_hip right_hip right_knee "
            "right_ankle left_hip left_knee left_ankle right_eye left_eye right_ear left_ear left_big_toe left_small_toe "
            "left_heel right_big_toe right_small_toe right_heel",
            "1-8 1-2 1-5 2-3 3-4 5-6 6-7 8-9 9-10 10-11 8-12 12-13 13-14 1-0 0-15 15-17 0-16 16-18 14-19 19-20 14-21 11-22 "
            "22-23 11-24",
        ),
        _layout(
            "halpe_26",
            18,
            "nose left_eye right_eye left_ear right_ear left_shoulder right_shoulder left_elbow right_elbow left_wrist "
            "right_wrist left_hip right_hip left_knee right_knee left_ankle right_ankle head neck hip left_big_toe "
            "right_big_toe left_small_toe right_small_toe left_heel right_heel",
            "0-1 0-2 1-3 2-4 5-18 6-18 5-7 7-9 6-8 8-10 17-18 18-19 19-11 19-12 11-13 12-14 13-15 14-16 20-24 21-25 23-25 "
            "22-24 15-24 16-25 0-18",  # the last hangs the face on the body
        ),
        _layout(
            "mediapipe_33",
            0,
            "nose left_eye_inner left_eye left_eye_outer right_eye_inner right_eye right_eye_outer left_ear right_ear "
            "mouth_left mouth_right left_shoulder right_shoulder left_elbow right_elbow left_wrist right_wrist left_pinky "
            "right_pinky left_index right_index left_thumb right_thumb left_hip right_hip left_knee right_knee left_ankle "
            "right_ankle left_heel right_heel left_foot_index right_foot_index",
            "0-1 1-2 2-3 3-7 0-4 4-5 5-6 6-8 9-10 11-12 11-13 13-15 15-17 15-19 15-21 17-19 12-14 14-16 16-18 16-20 16-22 "
            "18-20 11-23 12-24 23-24 23-25 24-26 25-27 26-28 27-29 28-30 29-31 30-32 27-31 28-32 "
            "0-9 0-10 0-11 0-12",  # these hang the mouth on the face and the face on the body
        ),
        _layout(
            "hand_21",
            0,
            "wrist thumb_cmc thumb_mcp thumb_ip thumb_tip index_finger_mcp index_finger_pip index_finger_dip index_finger_tip "
            "middle_finger_mcp middle_finger_pip middle_finger_dip middle_finger_tip ring_finger_mcp ring_finger_pip "
            "ring_finger_dip ring_finger_tip pinky_mcp pinky_pip pinky_dip pinky_tip",
            "0-1 0-5 9-13 13-17 5-9 0-17 1-2 2-3 3-4 5-6 6-7 7-8 9-10 10-11 11-12 13-14 14-15 15-16 17-18 18-19 19-20",
        ),
        _layout(
            "kinect_v1_20",
            2,
            "hip_center spine shoulder_center head left_shoulder left_elbow left_wrist left_hand right_shoulder right_elbow "
            "right_wrist right_hand left_hip left_knee left_ankle left_foot right_hip right_knee right_ankle right_foot",
            "0-1 1-2 2-3 2-4 4-5 5-6 6-7 2-8 8-9 9-10 10-11 0-12 12-13 13-14 14-15 0-16 16-17 17-18 18-19",
        ),
        _layout(
            "smpl_24",
            0,
            "pelvis left_hip right_hip spine1 left_knee right_knee spine2 left_ankle right_ankle spine3 left_foot right_foot "
            "neck left_collar right_collar head left_shoulder right_shoulder left_elbow right_elbow left_wrist right_wrist "
            "left_hand right_hand",
            "0-1 0-2 0-3 1-4 2-5 3-6 4-7 5-8 6-9 7-10 8-11 9-12 9-13 9-14 12-15 13-16 14-17 16-18 17-19 18-20 19-21 20-22 "
            "21-23",
        ),
    )
}
