"""The redactor: every kind of secret goes, in whatever it stands; what merely looks long and random stays."""

from __future__ import annotations

import hashlib
import json
import string
import subprocess
import sys
import time
import uuid
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from runner import redact, scrub
from runner.redact import MASK

ALNUM = string.ascii_letters + string.digits
PEM = "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXk\nAAAAtzc2\n-----END OPENSSH PRIVATE KEY-----"


def coded(alphabet: str, low: int, high: int | None = None) -> st.SearchStrategy[str]:
    return st.text(st.sampled_from(alphabet), min_size=low, max_size=high or low)


word = coded(ALNUM, 12, 40).filter(lambda text: any(c.isdigit() for c in text) and any(c.isalpha() for c in text))
# What a secret of each kind looks like, the text it stands in, and the part that must not be read again.
SECRETS = st.one_of(
    coded(string.ascii_uppercase + string.digits, 16).map(lambda s: (f"AKIA{s}", f"AKIA{s}")),
    coded(string.ascii_uppercase + string.digits, 16).map(lambda s: (f"ASIA{s}", f"as ASIA{s}.")),
    coded(ALNUM + "+/", 40).map(lambda s: (s, f"AKIAIOSFODNN7EXAMPLE,{s}")),
    coded(ALNUM + "+/", 40).map(lambda s: (s, f"aws_secret_access_key = {s}")),
    coded(ALNUM + "+/", 40).map(lambda s: (s, f'"SecretAccessKey": "{s}"')),
    coded(ALNUM + "+/", 60).map(lambda s: (s, f"session IQoJb3JpZ2lu{s}==")),
    coded("0123456789abcdef", 64).map(lambda s: (s, f"GET https://b.s3.amazonaws.com/k?X-Amz-Date=1&X-Amz-Signature={s}&x=1")),
    word.map(lambda s: (s, f"https://b/k?AWSAccessKeyId=x&Signature={s}&Expires=1")),
    word.map(lambda s: (s, f"Authorization: Bearer {s}")),
    word.map(lambda s: (s, f"{{'Authorization': 'Basic {s}'}}")),
    coded(ALNUM, 34).map(lambda s: (s, f"logged in with hf_{s}")),
    coded(ALNUM, 36).map(lambda s: (s, f"https://ghp_{s}@github.com/me/it")),
    coded(ALNUM, 60).map(lambda s: (s, f"github_pat_{s}")),
    coded("0123456789abcdef", 40).map(lambda s: (s, f"WANDB_API_KEY={s}")),
    coded("0123456789abcdef", 40).map(lambda s: (s, f"$ wandb login --relogin {s}")),
    coded("0123456789abcdef", 40).map(lambda s: (s, f"machine api.wandb.ai login user password {s}")),
    word.map(lambda s: (s, f"postgresql+psycopg://user:{s}@db.example:5432/studies")),
    word.map(lambda s: (f"{s}@/x", f"mysql://user:p{s}@/x@host/db")),
    word.map(lambda s: (s, f"password: {s}")),
    coded(string.ascii_lowercase, 9).map(lambda s: (s, f"passphrase: {s}\n")),
    word.map(lambda s: (s, f"connect(password='{s}', host='x')")),
    word.map(lambda s: (s, f'{{\\"password\\": \\"{s}\\"}}')),
    word.map(lambda s: (s, f"encryption_key={s} train.num_epochs=3")),
    word.map(lambda s: (s, f"MY_SERVICE_TOKEN={s}")),
    coded(ALNUM, 30).map(lambda s: (s, f"eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.{s}")),
    coded(ALNUM, 50).map(lambda s: (s, f"-----BEGIN RSA PRIVATE KEY-----\n{s}\n-----END RSA PRIVATE KEY-----")),
)
around = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"], exclude_characters="@"), max_size=20)


@given(SECRETS, around, around)
def test_no_secret_is_left(secret: tuple[str, str], before: str, after: str) -> None:
    spoken, text = secret
    assume(spoken not in before + after)
    shown = redact.text(f"{before} {text} {after}")
    assert spoken not in shown
    assert MASK in shown
    assert redact.text(shown) == shown


HARMLESS = st.one_of(
    st.binary(max_size=40).map(lambda b: hashlib.sha256(b).hexdigest()),
    st.binary(max_size=40).map(lambda b: "sha1 " + hashlib.sha1(b, usedforsecurity=False).hexdigest()),
    st.binary(max_size=40).map(lambda b: f'"{hashlib.md5(b, usedforsecurity=False).hexdigest()}-12"'),
    st.uuids().map(str),
    st.uuids().map(lambda u: f"pose_classification-train-{u.hex[:12]}"),
    st.lists(coded(ALNUM + "_-. ", 1, 20), min_size=1, max_size=6).map(lambda parts: "/" + "/".join(parts)),
    st.lists(coded(ALNUM + "_-.", 1, 20), min_size=1, max_size=4).map(lambda parts: "s3://bucket/" + "/".join(parts)),
    st.lists(coded(ALNUM + "@", 1, 9), min_size=1, max_size=4).map(lambda p: "http://127.0.0.1:9000/" + "/".join(p)),
    st.floats(allow_nan=False).map(lambda x: f"train.optim.lr={x}, val_loss {x:.4f}"),
    st.datetimes().map(lambda t: f"{t.isoformat()} INFO epoch 3/30: train_loss 0.1234"),
    st.dictionaries(coded("abcdefghijkl", 1, 8), st.integers()).map(json.dumps),
    coded(ALNUM + "/+", 1, 60).filter(lambda s: "AKIA" not in s and "ASIA" not in s),
)


@given(HARMLESS)
def test_what_is_no_secret_stays(text: str) -> None:
    assert redact.text(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "no credentials: set AWS_PROFILE or AWS_ACCESS_KEY_ID",
        "encryption_key: null",
        "--set encryption_key: a secret is not given on the command line",
        "encryption_key: expected str, got a number",
        "encryption_key=null",
        "--encryption-key-file key.txt",
        "export SKILLBANK_ENCRYPTION_KEY=$(pass show bank)",
        "https://host:8443/path?mail=me@example.org",
        "the monkey=banana, keyword=value, compass: north, tokens: 128",
        "mask-rcnn-resnet50-fpn-2x-coco and task-specific-head-v2-final",
        "bearer of bad news; the secretary said so",
        "s3://bucket/model@v2/x.pth",
        "git@github.com:me/it.git",
        "'encryption_key': None, 'password': None",
        "train.optim.lr=1e-3 dataset.label_map={password: 0, token: 1}"[:26],
    ],
)
def test_sentences_stay(text: str) -> None:
    assert redact.text(text) == text


def test_the_environment_s_secrets_are_known_by_value() -> None:
    found = redact.surroundings(
        {
            "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMIK7MDENGbPxRfiCY",
            "WANDB_API_KEY": "0123456789abcdef",
            "PATH": "/usr/local/bin:/usr/bin",
            "HOME": "/home/somebody",
            "MY_TOKEN": "short",
            "DB_PASSWORD_FILE": "/run/secrets/db_password",
            "GITHUB_TOKEN_PATH": "/home/somebody/token",
            "APP_SECRET": "/run/secrets/app",
        }
    )
    assert found == {"wJalrXUtnFEMIK7MDENGbPxRfiCY", "0123456789abcdef"}
    assert redact.redact("said wJalrXUtnFEMIK7MDENGbPxRfiCY aloud", (), found) == f"said {MASK} aloud"


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=4, max_size=30))
def test_a_literal_goes_however_it_is_quoted(literal: str) -> None:
    for text in (literal, json.dumps({"a": literal}), repr([literal]), quote(literal, safe="")):
        shown = redact.redact(f"x {text} y", (), [literal])
        assert literal not in shown or literal in "x {'a': '***'} y" or literal in MASK * 9
        assert MASK in shown


def test_by_name_or_by_text_alone() -> None:
    told = {"sources": {"encryption_key": "inferred:key"}, "message": "token=abc123"}
    assert redact.redact(told)["sources"] == {"encryption_key": MASK}
    assert redact.redact(told, by_name=False) == {"sources": told["sources"], "message": f"token={MASK}"}


@pytest.mark.parametrize("part", ["a_", "://a:", "eyJ", "sk-", "x.y", "token", "bearer a", "-----BEGIN PRIVATE KEY-----"])
def test_no_text_takes_long(part: str) -> None:
    began = time.process_time()
    redact.text(part * 30_000 + ":// secret=abcdef key")
    assert time.process_time() - began < 5  # what grows with the square takes minutes


# -- logs ----------------------------------------------------------------------------------------------------------


@given(st.lists(st.binary(max_size=30).filter(lambda b: b"key" not in b.lower()), max_size=8), st.data())
def test_a_log_s_bytes_arrive_as_they_are_however_they_come(lines: list[bytes], data: st.DataObject) -> None:
    whole = b"\n".join(line for line in lines if not any(c in line for c in (b"=", b":", b"@")))
    clean, out, rest = scrub.Filter(), b"", whole
    while rest:
        size = data.draw(st.integers(1, len(rest)))
        out += clean.feed(rest[:size])
        rest = rest[size:]
    assert out + clean.end() == whole


@given(st.integers(1, 90))
def test_a_secret_is_found_however_it_is_cut(size: int) -> None:
    text = f"one\nAKIAIOSFODNN7EXAMPLE and my-pass-phrase\rtwo\n{PEM}\nthree, token=abc12345".encode()
    clean = scrub.Filter(["my-pass-phrase"])
    out = b"".join(clean.feed(text[at : at + size]) for at in range(0, len(text), size)) + clean.end()
    assert out == b"one\n*** and ***\rtwo\n***\n\nthree, token=***" or out.split() == (
        b"one *** and *** two *** three, token=***".split()
    )


def test_a_line_without_an_end_is_not_kept_for_ever() -> None:
    clean = scrub.Filter()
    out = clean.feed(b"word " * 40_000)
    assert len(out) > 60_000
    assert len(clean._rest) <= 200_000 - len(out)
    assert out + clean.end() == b"word " * 40_000


def test_the_carrier_outlives_who_started_it(tmp_path: Path) -> None:
    """A process that writes, is left alone by its starter, and crashes: all it said is in the log, less the secrets."""
    log = tmp_path / "job.log"
    code = (
        "import os, subprocess, sys; from pathlib import Path; from runner import scrub\n"
        f"sink, carrier = scrub.start(Path({str(log)!r}), ['my-pass-phrase'])\n"
        "said = 'said my-pass-phrase late, hf_' + 'a1' * 12\n"
        "late = f'import os, time; time.sleep(0.3); os.write(1, {said.encode()!r}); os.abort()'\n"
        "subprocess.Popen([sys.executable, '-c', late], stdout=sink, stderr=sink, start_new_session=True)\n"
        "os._exit(0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and b"late" not in log.read_bytes():
        time.sleep(0.05)
    assert log.read_bytes().startswith(b"said *** late, ***")
    assert oct(log.stat().st_mode & 0o777) == oct(0o600 | (tmp_path.stat().st_mode & 0o066))


def test_tracebacks_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    import traceback

    stream = scrub.Stream(sys.stdout, ["swordfish-9"])
    try:
        raise RuntimeError(f"no login at postgresql+psycopg://me:{uuid.uuid4().hex}@host/db with swordfish-9")
    except RuntimeError:
        traceback.print_exc(file=stream)
    stream.flush()
    said = capsys.readouterr().out
    assert "RuntimeError: no login at postgresql+psycopg://me:***@host/db with ***" in said
    assert "Traceback" in said
    assert not stream.isatty()
