"""What is left out of a snapshot.

Here: `ExcludeRules`: patterns in gitignore syntax, a size limit, folders that say they are caches, other file
systems. Not here: the walk; it must not go into a folder that is excluded, which is also why nothing in one can be
taken back in.

Rules: patterns are matched against the path in the snapshot, as if a `.gitignore` lay in its root: `/x` is `x` in the
root, `x` is any `x`, `x/` only folders, `!x` takes back what an earlier pattern left out; the last one that fits
decides. Those of files come first, those given directly last. On Windows, case makes no difference. Each pattern is
held against the entry itself only, as git does it; the walk has dealt with the folders above. A pattern that is none
is an InputError: git would ignore it, and something unwanted, or too little, would be saved for years.

Cache folders follow https://bford.info/cachedir/: a folder with a regular file `CACHEDIR.TAG` that begins with the
signature. The folder and its tag are kept, so that a restored cache is still known as one.
"""

from __future__ import annotations

import os
import re
import warnings
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from operator import attrgetter
from typing import Final

from ..errors import InputError
from ..types import EntryType
from .directory import ScannedEntry, SourceDirectory
from .scanned import WINDOWS

CACHE_TAG_NAME: Final = b"CACHEDIR.TAG"
CACHE_TAG_SIGNATURE: Final = b"Signature: 8a477f597d28d172789f06886806bc55"

_FLAGS: Final = re.DOTALL | (re.IGNORECASE if WINDOWS else 0)  # a name may hold newlines


class ExcludeRules:
    """Decides for one entry at a time. Immutable, safe to share between threads."""

    __slots__ = ("_identity", "_patterns", "exclude_caches", "larger_than", "one_file_system")

    def __init__(
        self,
        patterns: Sequence[str] = (),
        exclude_files: Sequence[str | os.PathLike[str]] = (),
        *,
        exclude_caches: bool = False,
        larger_than: int | None = None,
        one_file_system: bool = False,
    ) -> None:
        """Read and check all patterns. Raises InputError, which names the file and the line.

        `larger_than`: files of more bytes are left out. `one_file_system`: see `crosses`.
        """
        if larger_than is not None and larger_than < 0:
            raise InputError(f"A size limit of {larger_than} bytes leaves nothing. Give a positive one.")
        self.exclude_caches = exclude_caches
        self.larger_than = larger_than
        self.one_file_system = one_file_system
        ruled: list[tuple[re.Pattern[str], bool]] = []
        for path in exclude_files:
            for number, line in enumerate(_lines(path), start=1):
                ruled.extend(_compile(line, f"{os.fspath(path)}, line {number}"))
        for pattern in patterns:
            ruled.extend(_compile(pattern, "the exclude patterns"))
        self._patterns = tuple(reversed(ruled))
        told = [(pattern.pattern, excluded) for pattern, excluded in self._patterns], larger_than, exclude_caches
        self._identity = repr(told).encode("utf-8", "backslashreplace")

    @property
    def may_exclude(self) -> bool:
        """Whether `excludes` says yes to anything at all."""
        return bool(self._patterns) or self.larger_than is not None

    def fingerprint(self, folder_in_snapshot: bytes) -> bytes:
        """Return bytes that are equal only where the same is left out in the folder at that path."""
        return self._identity + folder_in_snapshot if self._patterns else self._identity

    def excludes(self, path_in_snapshot: str, *, is_directory: bool, size: int) -> bool:
        """Tell whether an entry, and all below it, is left out. The root ("") never is."""
        if self.larger_than is not None and not is_directory and size > self.larger_than:
            return True
        if not self._patterns or not path_in_snapshot:
            return False
        subject = path_in_snapshot + "/" if is_directory else path_in_snapshot
        for pattern, excluded in self._patterns:
            if pattern.search(subject) is not None:
                return excluded
        return False

    def crosses(self, entry: ScannedEntry, device: int) -> bool:
        """Tell whether a folder is on another file system than its source (`device`) and is to be saved empty for
        that."""
        return self.one_file_system and entry.type is EntryType.DIRECTORY and entry.device != device

    def without_cache(self, directory: SourceDirectory, entries: list[ScannedEntry]) -> list[ScannedEntry]:
        """Return the entries of a folder, sorted as `scan` gives them; of a cache only its tag, if caches are left
        out."""
        if not self.exclude_caches:
            return entries
        position = bisect_left(entries, CACHE_TAG_NAME, key=attrgetter("name"))
        if position == len(entries) or entries[position].name != CACHE_TAG_NAME:
            return entries
        tag = entries[position]
        return [tag] if _is_cache_tag(directory, tag) else entries


def _is_cache_tag(directory: SourceDirectory, tag: ScannedEntry) -> bool:
    if tag.type is not EntryType.FILE:
        return False
    try:
        with directory.open_file(tag) as file:
            return file.read_all(len(CACHE_TAG_SIGNATURE)) == CACHE_TAG_SIGNATURE
    except OSError:
        return False  # in doubt it is saved


def _lines(path: str | os.PathLike[str]) -> Iterable[str]:
    try:
        with open(path, "rb") as file:
            content = file.read()
    except OSError as error:
        raise InputError(
            f"The exclude file {os.fspath(path)} cannot be read: {error.strerror}.", code="exclude_file_unreadable"
        ) from error
    text = content.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "surrogateescape")
    return (line.removesuffix("\r") for line in text.split("\n"))


def _compile(line: str, where: str) -> Iterator[tuple[re.Pattern[str], bool]]:
    """Yield what a line means: nothing for a blank or a comment, else an expression and whether it leaves out."""
    text = line if line.endswith("\\ ") else line.rstrip()
    if not text or text.startswith("#"):
        return
    from pathspec.patterns.gitignore.spec import GitIgnoreSpecPattern

    try:
        expression, excluded = GitIgnoreSpecPattern.pattern_to_regex(_contents_only(text))
        if expression is None or excluded is None:
            raise ValueError("it fits nothing")
        # What fits an entry itself fits to the end; pathspec alone would also take what lies below a folder that fits.
        with warnings.catch_warnings():  # a bracket within brackets, which is fine in gitignore and in `re` as it is
            warnings.simplefilter("ignore", FutureWarning)
            compiled = re.compile(rf"(?:{expression})\Z", _FLAGS)
        yield compiled, excluded
    except (ValueError, re.error) as error:
        raise InputError(f"{text!r} in {where} is not a gitignore pattern: {error}.", code="invalid_pattern") from error


def _contents_only(text: str) -> str:
    """Say "everything below", which pathspec takes as the folder itself too, in a way that it takes at its word."""
    for ending in ("/**", "/**/"):
        if text.endswith(ending):
            return text.removesuffix(ending) + "/**/*" + ending[3:]
    return text
