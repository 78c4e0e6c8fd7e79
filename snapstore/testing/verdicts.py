"""Which rule of a store matters for what, and what follows for a store that was tried out.

Here: the order in which rules are tried, `needed_for`, `verdict`. Not here: the rules (conformance.py).

Rules: whatever is not named here is needed for snapshots, so that a new rule is taken seriously until somebody thinks
about it. Prune rests on all that snapshots rest on, and on more: it deletes what a listing does not show to be needed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from .conformance import NameRules, ObjectRules, SharingRules
from .probe_report import ProbeOutcome, ProbeRule

# Prune alone deletes, and goes by what others put and deleted meanwhile.
_FOR_PRUNE_ONLY: Final = frozenset(
    {
        "test_what_was_deleted_is_gone",
        "test_what_one_writer_put_the_other_sees",
        "test_a_listing_under_way_survives_puts_and_deletes",
    }
)
# Names are random: two writers never want the same one. And messages are for people.
_FOR_COMFORT: Final = frozenset(
    {
        "test_of_many_puts_of_one_name_one_wins",
        "test_an_error_names_the_object_and_says_whether_to_try_again",
        "test_the_rest_of_the_contract",
        "test_foreign_files_are_never_listed_and_never_touched",
    }
)
# First what everything rests on, last what takes long: the time may be up.
_FIRST: Final = (
    "test_what_was_put_is_got",
    "test_a_listing_has_all_below_the_folder_and_nothing_else",
    "test_what_one_writer_put_the_other_sees",
    "test_what_was_deleted_is_gone",
    "test_objects_are_there_after_opening_again",
)
_LAST: Final = (
    "test_a_listing_under_way_survives_puts_and_deletes",
    "test_many_threads_put_at_once",
    "test_a_listing_of_many_is_complete",
    "test_the_largest_object_is_stored_and_a_larger_one_refused",
    *sorted(_FOR_COMFORT),
)
# What needs files beside the objects cannot be tried through a store.
_LEFT_OUT: Final = frozenset({"test_foreign_files_are_never_listed_and_never_touched"})


def _ordered() -> tuple[str, ...]:
    names = [name for kind in (ObjectRules, NameRules, SharingRules) for name in vars(kind) if name.startswith("test_")]
    between = [name for name in names if name not in {*_FIRST, *_LAST}]
    return tuple(name for name in (*_FIRST, *between, *_LAST) if name not in _LEFT_OUT)


RULES: Final = _ordered()
"""The methods of `StoreConformance` that are tried, in order. Objects in the making are a matter of folders here."""


def needed_for(method: str) -> tuple[bool, bool]:
    """Whether snapshots rest on a rule, and whether prune does."""
    return method not in _FOR_PRUNE_ONLY | _FOR_COMFORT, method not in _FOR_COMFORT


def verdict(rules: Sequence[ProbeRule]) -> ProbeOutcome:
    """FAILED if one of these failed, else SKIPPED if one was not tried, else PASSED."""
    outcomes = {rule.outcome for rule in rules}
    for outcome in (ProbeOutcome.FAILED, ProbeOutcome.SKIPPED):
        if outcome in outcomes:
            return outcome
    return ProbeOutcome.PASSED
