"""Forgetting snapshots by name or by a policy, and holding those that no policy may forget.

`effective` says when snapshots were taken as far as clocks can be believed, `policy` which stay and why (both pure);
`forgetting` puts the record and takes the manifests away, `holding` holds and lets go. The space comes back with a
prune.
"""

from __future__ import annotations

from .forgetting import ForgetRequest, forget_snapshots
from .holding import hold_snapshots, release_snapshots

__all__ = ["ForgetRequest", "forget_snapshots", "hold_snapshots", "release_snapshots"]
