"""Which media are connected, and which of them is meant.

Here: the mounted media of this machine, one module for each system, what a medium is and how one is chosen (model.py),
and what tells a medium from a copy of it (fingerprint.py). Not here: mounting, and the repository on a medium.

Rules: the parts that read texts and bytes of a system can be imported and tried on any other; what only fetches them
is defined on its own system alone.
"""

from __future__ import annotations

import sys

from .fingerprint import fingerprint
from .linux import Mount, disk_of, parse_mounts, removable_media, unescape_label
from .model import ID_PREFIX_MIN_CHARS, REPOSITORY_FOLDER, Identify, Medium, find_medium

if sys.platform == "win32":
    from .windows import connected_media, medium_at
elif sys.platform == "darwin":
    from .macos import connected_media, medium_at
else:
    from .linux import connected_media, medium_at

__all__ = [
    "ID_PREFIX_MIN_CHARS",
    "REPOSITORY_FOLDER",
    "Identify",
    "Medium",
    "Mount",
    "connected_media",
    "disk_of",
    "find_medium",
    "fingerprint",
    "medium_at",
    "parse_mounts",
    "removable_media",
    "unescape_label",
]
