"""Files at rest under a passphrase: AES-256-GCM in chunks, the key from scrypt, in a container that says how it was made.

Knows bytes only, neither checkpoints nor specs nor where a passphrase comes from. The ``cryptography`` package is imported
when something is sealed or opened. The layout is described in docs/security.md.
"""

from __future__ import annotations

import hashlib
import hmac
import importlib.util
import secrets
import struct
import unicodedata
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from stgcn.errors import CheckpointError, ResourceError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

MAGIC = b"\x93SKBKEY\n"  # no text begins so, and a transfer that converts line ends breaks it
VERSION = 1
SHORTEST = 8  # characters of a passphrase
MISSING = "the package cryptography is not installed: pip install 'tao-skill-bank[crypto]'"
HOW = "set the environment variable SKILLBANK_ENCRYPTION_KEY, or give --encryption-key-file FILE"

CHUNK = 1 << 20  # bytes encrypted at a time
TAG = 16
# magic, version, log2 of scrypt's n, r, p, salt, key check, salt of this file, bytes of the content; then the header's digest
_FIELDS = struct.Struct(">8sBBBB16s16s16sQ")
_DIGEST = 8
HEADER = _FIELDS.size + _DIGEST


class Cost(NamedTuple):
    """What scrypt takes: 2**log2_n rounds over blocks of 128 * r bytes, p times."""

    log2_n: int
    r: int
    p: int

    @property
    def memory(self) -> int:
        """Bytes that deriving the key needs."""
        return 128 * self.r << self.log2_n


COST = Cost(17, 8, 1)  # 128 MiB, about half a second, once per process
MOST_MEMORY = 256 << 20  # what a file may ask for when it is read
MOST_P = 4


class Header(NamedTuple):
    """The first bytes of a sealed file; all of them go into the tag of every chunk."""

    version: int
    cost: Cost
    salt: bytes
    check: bytes
    own_salt: bytes
    size: int

    def packed(self) -> bytes:
        """The header as bytes, its digest last."""
        plain = _FIELDS.pack(MAGIC, self.version, *self.cost, self.salt, self.check, self.own_salt, self.size)
        return plain + hashlib.sha256(plain).digest()[:_DIGEST]


def installed() -> bool:
    """Whether files can be sealed and opened here."""
    return importlib.util.find_spec("cryptography") is not None


def problems(passphrase: str) -> list[str]:
    """Why nothing can be sealed with ``passphrase`` here, in the words of the spec."""
    found = []
    if len(passphrase) < SHORTEST:
        found.append(f"encryption_key has {len(passphrase)} characters; allowed: at least {SHORTEST}")
    if not installed():
        found.append(f"encryption_key is set, and {MISSING}; or leave the key out")
    return found


def is_sealed(path: str | Path) -> bool:
    """Whether a file is one of these containers; what cannot be read is none."""
    try:
        with open(path, "rb") as file:
            return file.read(len(MAGIC)) == MAGIC
    except OSError:
        return False


def seal(content: bytes, passphrase: str) -> bytes:
    """The content in a container that only ``passphrase`` opens.

    Raises:
        ResourceError: the cryptography package is not installed.
    """
    salt = _salt_of(passphrase)
    check, master = _derived(passphrase, salt, COST)
    header = Header(VERSION, COST, salt, check, secrets.token_bytes(16), len(content))
    head, cipher = header.packed(), _cipher(master, header)
    parts = [head]
    for number in range(_chunks(header.size)):
        chunk = content[number * CHUNK : (number + 1) * CHUNK]
        parts.append(cipher.encrypt(_nonce(number), chunk, head))
    return b"".join(parts)


def unseal(path: str | Path, passphrase: str | None) -> bytes:
    """The content of a sealed file.

    Raises:
        CheckpointError: there is no passphrase, it is the wrong one, or the file is truncated, damaged, changed or hostile;
            which of these is said as far as it can be told.
        ResourceError: the cryptography package is not installed.
    """
    with open(path, "rb") as file:
        sealed = file.read()
    header = _header(path, sealed)
    if not passphrase:
        raise CheckpointError(f"{path} is encrypted, and no key is given: {HOW}")
    check, master = _derived(passphrase, header.salt, header.cost)
    if not hmac.compare_digest(check, header.check):
        raise CheckpointError(f"{path} is encrypted with another key than the one given: {HOW}")
    from cryptography.exceptions import InvalidTag

    cipher = _cipher(master, header)
    parts = []
    view = memoryview(sealed)[HEADER:]
    for number in range(_chunks(header.size)):
        chunk = view[number * (CHUNK + TAG) : (number + 1) * (CHUNK + TAG)]
        try:
            parts.append(cipher.decrypt(_nonce(number), chunk, sealed[:HEADER]))
        except InvalidTag:
            raise CheckpointError(
                f"{path} was damaged or changed after it was encrypted (the key is right, the content is not, within the bytes "
                f"from {HEADER + number * (CHUNK + TAG)}): take another copy of it"
            ) from None
    return b"".join(parts)


def _header(path: str | Path, sealed: bytes) -> Header:
    """The header of a sealed file, with everything refused that can be seen without the key."""
    if len(sealed) < HEADER:
        raise CheckpointError(f"{path} is truncated: {len(sealed)} bytes are left of its header of {HEADER}")
    _, version, log2_n, r, p, salt, check, own_salt, size = _FIELDS.unpack_from(sealed)
    if version != VERSION:
        raise CheckpointError(
            f"{path} is encrypted in version {version} of the container; this program reads version {VERSION}"
        )
    header = Header(version, Cost(log2_n, r, p), salt, check, own_salt, size)
    if header.packed() != sealed[:HEADER]:
        raise CheckpointError(f"{path} is damaged: its header does not match its digest; take another copy of it")
    cost = header.cost
    if log2_n < 1 or r < 1 or not 1 <= p <= MOST_P or cost.memory > MOST_MEMORY:
        raise CheckpointError(
            f"{path} is refused: to check a key it asks for scrypt with n=2**{log2_n}, r={r}, p={p}; allowed are "
            f"{MOST_MEMORY >> 20} MiB and p up to {MOST_P}"
        )
    expected = HEADER + size + TAG * _chunks(size)
    if len(sealed) < expected:
        raise CheckpointError(f"{path} is truncated: it has {len(sealed)} bytes of {expected}")
    if len(sealed) > expected:
        raise CheckpointError(f"{path} was changed: {len(sealed) - expected} bytes stand after its end")
    return header


def _chunks(size: int) -> int:
    return max(1, -(-size // CHUNK))  # nothing at all has a tag as well


def _nonce(number: int) -> bytes:
    """Never the same twice under one key: each file has a key of its own, and each chunk its number."""
    return number.to_bytes(12, "big")


def _cipher(master: bytes, header: Header) -> AESGCM:
    """AES-256-GCM under the file's own key, which comes of the master key and the file's salt."""
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    return AESGCM(hmac.digest(master, b"chunks of a file" + header.own_salt, "sha256"))


@lru_cache(maxsize=1)
def _salt_of(_passphrase: str) -> bytes:
    """One salt per process and passphrase, so that scrypt runs once for all files a training writes."""
    return secrets.token_bytes(16)


@lru_cache(maxsize=8)
def _derived(passphrase: str, salt: bytes, cost: Cost) -> tuple[bytes, bytes]:
    """The value that tells a wrong passphrase, and the master key; neither says anything of the other."""
    if not installed():
        raise ResourceError(MISSING)
    from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

    spelt = unicodedata.normalize("NFC", passphrase).encode("utf-8", "surrogatepass")
    derived = Scrypt(salt=salt, length=48, n=1 << cost.log2_n, r=cost.r, p=cost.p).derive(spelt)
    return derived[:16], derived[16:]
