"""The check of many nodes in one call of compiled code, where that is there.

Here: `check_nodes`. Not here: its twin, which is `tree.decode_node`: it looks at everything, and says what is wrong.

Rules: the compiled module (`snapstore/_entries.c`) says yes only to what the twin decodes, and only to leaves with
nothing unusual in them, which most are. The twin has the last word on all others.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from ..compiled import optional_module
from .tree import decode_node


class _Native(Protocol):
    plain_leaves: Callable[[Sequence[bytes]], bytes]


_native: _Native | None = optional_module("_entries")


def check_nodes(nodes: Sequence[bytes]) -> None:
    """See that readers will take all these nodes; errors as `decode_node`."""
    answers = bytes(len(nodes)) if _native is None else _native.plain_leaves(nodes)
    for node, is_plain in zip(nodes, answers, strict=True):
        if not is_plain:
            decode_node(node)
