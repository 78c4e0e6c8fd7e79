"""Repository and Dossier: what an application holds in its hands.

Here: two thin facades, one module each. Not here: how one gets there (entrance.py), and any work (operations).

Rules: a method is a few lines that delegate. Operations are imported when they are first called, so that a program
which embeds this starts quickly."""

from __future__ import annotations

from .dossier import Dossier
from .repository import Repository

__all__ = ["Dossier", "Repository"]
