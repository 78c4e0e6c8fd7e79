"""A small exhaustive explorer: every state that a model can reach, breadth first.

Here: `explore`, for any model whose states can be hashed. Not here: what the states mean (protocol_model.py).

Rules: a model says where it begins, which steps lead on from a state, and what is wrong with a state. Steps are
atomic; what is to interleave has to be several steps. Nothing needs to be said of crashes: a process that stops for
ever is one that is not chosen any more, and every state on the way is looked at. The first bad state ends the search;
since it goes by breadth, the trace to it is a shortest one. Too many states are an error and never a silent end: a
search that was cut short proves nothing.
"""

from __future__ import annotations

from array import array
from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from itertools import islice, pairwise
from typing import Generic, Protocol, TypeVar

State = TypeVar("State", bound=Hashable)


class Model(Protocol[State]):
    """What is explored."""

    def initial(self) -> State:
        """Where it begins."""
        ...

    def steps(self, state: State) -> Iterable[tuple[str, State]]:
        """Each step that can be taken: in words, and where it leads."""
        ...

    def problem(self, state: State) -> str | None:
        """What is wrong with a state, in words; None if it is good."""
        ...


class TooManyStatesError(Exception):
    """The limit was reached before the search came to an end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Explored(Generic[State]):
    """What a search found."""

    states: int
    transitions: int
    depth: int
    """The length of the longest of the shortest ways to a state."""
    problem: str | None = None
    trace: tuple[str, ...] = ()
    """The steps to the problem."""


def explore(model: Model[State], *, max_states: int) -> Explored[State]:
    """Visit every state once, until one is bad or there are no more. Raises TooManyStatesError."""
    first = model.initial()
    numbers: dict[State, int] = {first: 0}  # keeps the order in which they were found
    parents = array("L", [0])
    transitions = depth = 0
    found = model.problem(first)
    frontier = [first]
    while frontier and found is None:
        if len(numbers) > max_states:
            raise TooManyStatesError(f"more than {max_states:,} states")
        depth += 1
        following: list[State] = []
        for state in frontier:
            number = numbers[state]
            for _, after in model.steps(state):
                transitions += 1
                if after in numbers:
                    continue
                numbers[after] = len(parents)
                parents.append(number)
                following.append(after)
                found = model.problem(after)
                if found is not None:
                    trace = _trace(model, numbers, parents, len(parents) - 1)
                    return Explored(
                        states=len(parents), transitions=transitions, depth=depth, problem=found, trace=trace
                    )
        frontier = following
    return Explored(states=len(parents), transitions=transitions, depth=max(0, depth - 1), problem=found)


def _trace(model: Model[State], numbers: dict[State, int], parents: array[int], last: int) -> tuple[str, ...]:
    """The words of the steps to a state, found again from the numbers of the states on the way."""
    way = [last]
    while way[-1]:
        way.append(parents[way[-1]])
    way.reverse()
    wanted = set(way)
    by_number = {number: state for state, number in islice(numbers.items(), last + 1) if number in wanted}
    words = []
    for before, after in pairwise(way):
        target = by_number[after]
        words.append(next(label for label, state in model.steps(by_number[before]) if state == target))
    return tuple(words)
