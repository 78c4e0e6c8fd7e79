"""Which small files of a directory share a chunk.

A bundle ends after a file whose keyed name says so, weighted by the file's size, so bundles come out at about minimum
+ mean bytes. Only names and sizes decide (docs/design/001-bundles-cut-by-name.md says why, and what it costs when
files are renamed): the plan is made before any file is read, and an unchanged bundle needs no reading at all.

Not here: which files are small enough, and reading them. docs/format/10-chunking.md is the specification.
"""

from __future__ import annotations

from collections.abc import Sequence

from .nodes import name_key


def plan_bundles(
    names: Sequence[bytes], sizes: Sequence[int], *, key: bytes, minimum: int, mean: int, maximum: int
) -> list[range]:
    """Return the bundles as consecutive ranges of positions in `names`, together all of them.

    `names` are in name order, `sizes` their bytes when the directory was listed, `key` the 32-byte subkey for this
    use. No bundle exceeds `maximum` bytes, but for one whose single file does.
    """
    bundles = []
    start = 0
    total = 0
    for position, (name, size) in enumerate(zip(names, sizes, strict=True)):
        if total + size > maximum and position > start:
            bundles.append(range(start, position))
            start, total = position, 0
        total += size
        if total >= minimum and name_key(key, name) * mean < size << 64:
            bundles.append(range(start, position + 1))
            start, total = position + 1, 0
    if start < len(names):
        bundles.append(range(start, len(names)))
    return bundles
