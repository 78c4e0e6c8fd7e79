"""What the target's file system can hold, and the names it gets for those it cannot.

Here: `Capabilities`, the facts, found out once by `probing`; the replacement of names; the losses that concern the
whole target. The codes of all Problems and errors of this package are in the table of `problems`.

Rules of replaced names. A name that the target holds as it is stays as it is. Otherwise what it cannot hold becomes
"_", and "~" with eight characters of the original's hash is put before the extension: readable, the same in every
restore, and different for names that differ. Two names that the target takes for one (by case, or by Unicode form)
are told apart in the order in which they come: the first keeps its name, so callers go through a folder's entries in
byte order.
"""

from __future__ import annotations

import hashlib
import unicodedata
from dataclasses import dataclass
from typing import Final

from ..errors import TargetError
from ..types import Problem
from .names import is_reserved

FAT_MAX_FILE_BYTES: Final = (1 << 32) - 1
_MARK_CHARS: Final = 9  # "~" and eight of the hash
_EXTENSION_MAX_CHARS: Final = 16  # beyond that a dot is part of the name, not the start of an extension


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """Found out by trying; the defaults are those of a file system that holds everything."""

    symlinks: bool = True
    hard_links: bool = True
    mode: bool = True
    owner: bool = True
    """Whether this process can give files to others here: false for all but the administrator."""
    xattrs: bool = True
    sparse: bool = True
    fifos: bool = True
    devices: bool = True
    time_granularity_ns: int = 1
    max_file_bytes: int | None = None
    """None: no limit known."""
    case_sensitive: bool = True
    unicode_sensitive: bool = True
    """False: composed and decomposed forms of one text are one name."""
    any_bytes: bool = True
    """False: names must be valid UTF-8."""
    lone_surrogates: bool = True
    """Whether halves of UTF-16 pairs, as three bytes each, are taken all the same: so on Windows itself."""
    forbidden: bytes = b""
    """Bytes below 128 that no name may hold, "/" and NUL apart."""
    trailing_dot_or_space: bool = True
    reserved_names: bool = True
    """True: NUL, COM1 and the like are ordinary names here."""
    name_max: int = 255
    name_max_in_utf16: bool = False
    """Whether `name_max` counts UTF-16 units, as on FAT and NTFS, and not bytes."""

    def key(self, name: bytes) -> bytes:
        """The same for all names that the target takes for one."""
        if self.case_sensitive and self.unicode_sensitive:
            return name
        text = name.decode("utf-8", "surrogateescape")
        if not self.unicode_sensitive:
            text = unicodedata.normalize("NFD", text)
        if not self.case_sensitive:
            # File systems fold each in their own way; taking too many names for one costs a name, too few a file.
            text = text.upper().casefold()
        if not self.unicode_sensitive:
            text = unicodedata.normalize("NFD", text)
        return text.encode("utf-8", "surrogateescape")

    @property
    def holds_all_names(self) -> bool:
        """True if names of up to `name_max` bytes stay as they are, and no two are taken for one."""
        return (
            self.case_sensitive
            and self.unicode_sensitive
            and self.any_bytes
            and not self.forbidden
            and self.trailing_dot_or_space
            and self.reserved_names
            and not self.name_max_in_utf16
        )

    def holds(self, name: bytes) -> bool:
        """True if the target keeps `name` as it is, other names apart."""
        return not (
            any(byte in self.forbidden for byte in name)
            or (not self.trailing_dot_or_space and name[-1:] in (b".", b" "))
            or (not self.reserved_names and is_reserved(name))
            or self._size(name) > self.name_max
            or (not self.any_bytes and not _is_text(name, lone_surrogates=self.lone_surrogates))
        )

    def portable_name(self, name: bytes, taken: set[bytes]) -> bytes:
        """`name`, or what stands for it here; its key is added to `taken`, the keys of one folder's names so far.

        The caller reports `problems.renamed` when the result differs.
        """
        chosen = name
        if not self.holds(name) or self.key(name) in taken:
            digest = hashlib.blake2b(name, digest_size=32).hexdigest()
            readable = self._readable(name)
            chosen = self._marked(readable, digest[: _MARK_CHARS - 1])
            attempt = 0
            while self.key(chosen) in taken:
                attempt += 1
                again = hashlib.blake2b(name + attempt.to_bytes(4, "big"), digest_size=32).hexdigest()
                chosen = self._marked(readable, again[: _MARK_CHARS - 1])
        taken.add(self.key(chosen))
        return chosen

    def check_size(self, size: int, path: str) -> None:
        """TargetError `file_too_large` for a file that cannot be stored here, before it is begun."""
        if self.max_file_bytes is not None and size > self.max_file_bytes:
            raise TargetError(
                f"{path!r} has {size} bytes, and a file here may have {self.max_file_bytes}; it was not restored.",
                code="file_too_large",
            )

    def losses(self) -> list[Problem]:
        """What every restored file may lose here, each said once and not for each file."""
        found = []
        if self.time_granularity_ns > 1000:
            seconds = self.time_granularity_ns / 1e9
            found.append(Problem(code="times_rounded", path="", message=f"Times are kept to {seconds:g} s here."))
        if not self.sparse:
            found.append(Problem(code="holes_filled", path="", message="Holes of sparse files take space here."))
        return found

    def _size(self, name: bytes) -> int:
        if not self.name_max_in_utf16:
            return len(name)
        return len(name.decode("utf-8", "replace").encode("utf-16-le")) // 2

    def _readable(self, name: bytes) -> str:
        text = name.decode("utf-8", "replace").replace("\ufffd", "_")
        text = "".join("_" if ord(char) < 128 and ord(char) in self.forbidden else char for char in text)
        if not self.trailing_dot_or_space:
            kept = text.rstrip(". ")
            text = kept + "_" * (len(text) - len(kept))
        return text

    def _marked(self, text: str, digest: str) -> bytes:
        stem, dot, extension = text.rpartition(".")
        if not stem or len(extension) > _EXTENSION_MAX_CHARS:
            stem, dot, extension = text, "", ""
        ending = f"~{digest}{dot}{extension}".encode()
        while self._size(stem.encode() + ending) > self.name_max:
            stem = stem[:-1]
        if not self.reserved_names and is_reserved(stem.encode() + ending):
            stem = f"_{stem[1:]}"
        return stem.encode() + ending


def _is_text(name: bytes, *, lone_surrogates: bool) -> bool:
    try:
        name.decode("utf-8", "surrogatepass" if lone_surrogates else "strict")
    except UnicodeDecodeError:
        return False
    return True
