"""The protocol, explored: every interleaving of small scenes, and every deliberate mistake found.

Larger scenes, millions of states and some minutes, run with SNAPSTORE_TEST_MODEL=large.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from explorer import TooManyStatesError, explore
from protocol_actors import Pruner
from protocol_model import explored
from protocol_scenes import LARGE_SCENES, MISTAKES, SCENES, TWO_PRUNERS
from protocol_world import Mistake, Scene

LARGE = os.environ.get("SNAPSTORE_TEST_MODEL") == "large"
MAX_STATES = 1_000_000
MAX_STATES_LARGE = 12_000_000


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.name)
def test_every_state_is_good(scene: Scene, say_at_the_end: Callable[[str], None]) -> None:
    found = explored(scene, max_states=MAX_STATES)
    assert found.problem is None, "\n".join((found.problem, *found.trace))
    say_at_the_end(f"{scene.name}: {found.states:,} states, {found.transitions:,} steps, {found.depth} deep")


@pytest.mark.slow
@pytest.mark.skipif(not LARGE, reason="takes minutes; SNAPSTORE_TEST_MODEL=large runs it")
@pytest.mark.parametrize("scene", LARGE_SCENES, ids=lambda scene: scene.name)
def test_every_state_of_a_large_scene_is_good(scene: Scene, say_at_the_end: Callable[[str], None]) -> None:
    found = explored(scene, max_states=MAX_STATES_LARGE)
    assert found.problem is None, "\n".join((found.problem, *found.trace))
    say_at_the_end(f"{scene.name}: {found.states:,} states, {found.transitions:,} steps, {found.depth} deep")


def test_every_mistake_has_a_scene() -> None:
    assert set(MISTAKES) == set(Mistake)


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: mistake.name)
def test_a_mistake_is_found(mistake: Mistake, say_at_the_end: Callable[[str], None]) -> None:
    found = explored(MISTAKES[mistake].with_mistake(mistake), max_states=MAX_STATES)
    assert found.problem is not None
    say_at_the_end(f"found after {found.states:,} states, in {len(found.trace)} steps: {mistake.value}")


class Counter:
    """A model that counts to a bad number, two ways at each step."""

    def __init__(self, bad: int) -> None:
        self.bad = bad

    def initial(self) -> int:
        return 0

    def steps(self, state: int) -> Iterator[tuple[str, int]]:
        if state < 100:
            yield "one", state + 1
            yield "two", state + 2

    def problem(self, state: int) -> str | None:
        return "bad" if state == self.bad else None


def test_the_explorer_finds_a_shortest_way() -> None:
    found = explore(Counter(7), max_states=1000)
    assert found.problem == "bad"
    assert len(found.trace) == 4
    assert sum({"one": 1, "two": 2}[step] for step in found.trace) == 7


def test_the_explorer_visits_every_state_once() -> None:
    found = explore(Counter(-1), max_states=1000)
    assert (found.states, found.transitions, found.problem) == (102, 200, None)
    assert found.depth == 51


def test_too_many_states_are_an_error() -> None:
    with pytest.raises(TooManyStatesError):
        explore(Counter(-1), max_states=50)


def test_a_bad_start_is_found() -> None:
    assert explore(Counter(0), max_states=50).problem == "bad"


def test_names_used_again_are_harmless_without_clean_up() -> None:
    """The mistake is made of two halves: this is the other one."""
    pruners = [replace(process, adopts=False) for process in TWO_PRUNERS.processes if isinstance(process, Pruner)]
    scene = replace(TWO_PRUNERS, processes=(TWO_PRUNERS.processes[0], *pruners))
    assert explored(scene.with_mistake(Mistake.NAMES_USED_AGAIN), max_states=MAX_STATES).problem is None
