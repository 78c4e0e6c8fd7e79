"""Fixtures for the chunking tests: a table, generated content, and a switch between the kernel and its twin."""

from __future__ import annotations

import pytest

from snapstore.chunking import CutterSet, gear_table, make_cutters
from snapstore.chunking.native import KERNEL

KEY = bytes(range(32))


@pytest.fixture(params=[False, True], ids=["twin", "kernel"])
def native(request: pytest.FixtureRequest) -> bool:
    """Run the test once with the twin and once with the compiled kernel."""
    if request.param and KERNEL is None:
        pytest.skip("the kernel was not compiled")
    return bool(request.param)


@pytest.fixture(scope="session")
def table() -> bytes:
    return gear_table(KEY, 1024)


@pytest.fixture(scope="session")
def cutters() -> CutterSet:
    return make_cutters(
        gear_key=KEY, page_chunk=16384, fine_target=65536, coarse_target=1 << 20, page_extensions=[".fic", ".mmo"]
    )
