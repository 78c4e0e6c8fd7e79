"""Repairing a medium: never by itself, always after a plan.

Here, from the outside in: `run` (the plan, and doing it), `survey` (what is no use), `needs` (what snapshots need and
is nowhere), the remedies: `vital` (small objects from their second place), `indexes`, `packs` with `retiring` and
`live` (blobs), `twins` (what only another medium has), `setting_aside` (quarantine); and `config_lost`, for a medium
that does not open at all.

Rules: nothing that could be read before cannot be read after, at any moment. What is brought back has the bytes that
its name asks for. What cannot be healed is named, with the snapshots that it hurts, and no snapshot is changed.
"""

from __future__ import annotations

from .config_lost import lend_config
from .run import RepairRequest, plan_repair, repair

__all__ = ["RepairRequest", "lend_config", "plan_repair", "repair"]
