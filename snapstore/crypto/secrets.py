"""What people type, made into bytes: secrets and recovery codes.

Here: the rules of docs/format/02-keys.md for text, for secret files and for recovery codes. Not here: asking for
them, or turning them into keys (`kdf`).

Rules: no message and no chained exception holds any part of a secret: Python's own decoding errors carry the whole
input, so ours are raised outside their handlers. The same secret typed on any system gives the same bytes, hence
NFKC.
"""

from __future__ import annotations

import base64
import re
import unicodedata
from typing import Final

from ..errors import InputError, SecretTooShortError
from ..limits import SECRET_MAX_BYTES, SECRET_MIN_CODE_POINTS
from .entropy import random_bytes

RECOVERY_CODE_BYTES: Final = 20  # 160 bits: out of reach even without the slow key derivation
RECOVERY_CODE_DIGITS: Final = 32
_GROUP_DIGITS: Final = 4  # short enough to be read out and copied without losing the place
_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"


def normalise_secret(text: str) -> bytes:
    """The bytes a secret stands for. `SecretTooShortError` under 8 code points, `InputError` if it is no text."""
    normal = unicodedata.normalize("NFKC", text)
    if len(normal) < SECRET_MIN_CODE_POINTS:
        raise SecretTooShortError(f"A secret needs at least {SECRET_MIN_CODE_POINTS} characters.")
    if any("\ud800" <= character <= "\udfff" for character in normal):
        raise InputError("The secret holds something that is not a character. Type it again.")
    data = normal.encode("utf-8")
    if len(data) > SECRET_MAX_BYTES:
        raise InputError(f"The secret is longer than {SECRET_MAX_BYTES} bytes.")
    return data


def secret_from_bytes(data: bytes) -> str:
    """The secret in a file's bytes: without a byte order mark and without one newline at the end."""
    data = data.removeprefix(_BYTE_ORDER_MARK)
    if data.endswith(b"\n"):
        data = data[:-2] if data.endswith(b"\r\n") else data[:-1]
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        pass  # that error holds the secret; it must not become the context of ours
    raise InputError("The secret in the file is not UTF-8 text.")


def normalise_recovery_code(text: str) -> bytes:
    """The bytes a recovery code stands for; spaces, dashes and letter case do not matter."""
    digits = re.sub("[^0-9a-z]", "", text.lower())
    if not re.fullmatch(f"[0-9a-v]{{{RECOVERY_CODE_DIGITS}}}", digits):
        raise InputError(
            f"A recovery code has {RECOVERY_CODE_DIGITS} digits and letters from 0 to 9 and a to v.",
            code="invalid_recovery_code",
        )
    return digits.encode("ascii")


def new_recovery_code() -> str:
    """A new recovery code in groups of four, for a printed sheet."""
    return group_recovery_code(random_bytes(RECOVERY_CODE_BYTES))


def group_recovery_code(data: bytes) -> str:
    """The recovery code made of 20 given bytes."""
    digits = base64.b32hexencode(data).decode("ascii").lower()
    return "-".join(digits[at : at + _GROUP_DIGITS] for at in range(0, len(digits), _GROUP_DIGITS))
