"""A store around a store, for those that do damage to be derived from.

Here: `StoreWrapper` and its builder, which are the library's own (stores/wrapper.py), and `WithoutBuilders`. Not here:
anything that goes wrong (faults.py).
"""

from __future__ import annotations

from ..stores.wrapper import StoreWrapper, WrappedBuilder

__all__ = ["StoreWrapper", "WithoutBuilders", "WrappedBuilder"]


class WithoutBuilders(StoreWrapper):
    """Takes whole objects only, as remote stores do."""

    def begin(self) -> None:
        """None, whatever the inner store can do."""
