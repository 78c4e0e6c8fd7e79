"""Hypothesis profiles for all tests, in this one place. Choose with `--hypothesis-profile NAME`.

`dev` is the default and keeps the whole suite short; `ci` looks longer; `thorough` is for a night. No profile has a
deadline: on a shared machine a slow example says nothing about the code.
"""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("dev", max_examples=50, deadline=None)
settings.register_profile("ci", max_examples=200, deadline=None, print_blob=True)
settings.register_profile("thorough", max_examples=5000, deadline=None, print_blob=True)
settings.load_profile("dev")
