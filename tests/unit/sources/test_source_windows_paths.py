"""The parts of the Windows side that are only words: they run everywhere."""

from __future__ import annotations

import pytest

from snapstore.sources.windows import extended_path, plain_link_target


@pytest.mark.parametrize(
    ("path", "extended"),
    [
        ("C:\\Shop\\stock.db", "\\\\?\\C:\\Shop\\stock.db"),
        ("\\\\server\\share\\x", "\\\\?\\UNC\\server\\share\\x"),
    ],
)
def test_the_prefix_that_lifts_limits(path: str, extended: str) -> None:
    assert extended_path(path) == extended
    assert extended_path(extended) == extended
    assert plain_link_target(extended) == path


@pytest.mark.parametrize("target", ["..\\x", "x", "\\\\?\\Volume{0}\\x"])
def test_other_link_targets_stay_as_they_are(target: str) -> None:
    assert plain_link_target(target) == target
