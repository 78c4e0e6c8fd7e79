"""Ways to show progress: bars on a terminal, a line every few seconds elsewhere, JSON lines for programs, or nothing.

Here: classes with the `update` of `snapstore.progress.Progress`, and `show_progress`, which picks one. Not here:
results.

Rules: all of it goes to stderr, so that stdout holds results only. Names are made printable. rich is imported only
when bars are shown; where it is missing, plain lines do. `--progress=json` gives objects `{"progress": {...}}`, one a
line, at most two a second and always one for the last state, with the fields of `ProgressStatus`.
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, TextIO

from ..progress import NullProgress, Progress, ProgressStatus
from .output import Output, count, human_seconds, human_size, json_line, printable

if TYPE_CHECKING:
    import rich.progress

MODES = ("auto", "bar", "plain", "json", "none")
PLAIN_INTERVAL_SECONDS = 5.0  # a log of a night's first backup stays readable
JSON_INTERVAL_SECONDS = 0.5
_CURRENT_CHARACTERS = 40


@contextlib.contextmanager
def show_progress(mode: str, output: Output) -> Iterator[Progress]:
    """Give the progress for an operation and put the terminal in order afterwards. Its notices become warnings."""
    with _shown(mode, output) as shown:
        yield _Noticing(shown, output)


class _Noticing:
    """Passes the figures on, and says once what the user is to know."""

    def __init__(self, shown: Progress, output: Output) -> None:
        self._shown = shown
        self._output = output
        self._said = 0

    def update(self, status: ProgressStatus) -> None:
        """Warn of what is new."""
        for _, text in status.notices[self._said :]:
            self._output.warn(text)
        self._said = max(self._said, len(status.notices))
        self._shown.update(status)


@contextlib.contextmanager
def _shown(mode: str, output: Output) -> Iterator[Progress]:
    asked = mode != "auto"
    if not asked:
        mode = "none" if output.quiet or output.json else "bar" if sys.stderr.isatty() else "plain"
    if mode == "bar":
        with contextlib.suppress(ModuleNotFoundError):
            import rich.progress  # noqa: F401  # only to see that it is there

            with _bar() as bar:
                yield bar
            return
        mode = "plain"
    if mode == "none":
        yield NullProgress()
        return
    lines = _JsonLines(sys.stderr) if mode == "json" else _PlainLines(sys.stderr, brief=not asked)
    try:
        yield lines
    finally:
        lines.finish()


class _Lines:
    """Writes a line when the phase changes or the interval is over, and the last state at the end.

    If `brief`, only when the interval is over: what takes a moment says nothing.
    """

    interval = PLAIN_INTERVAL_SECONDS

    def __init__(self, stream: TextIO, *, brief: bool = False) -> None:
        self._stream = stream
        self._brief = brief
        self._due = time.monotonic() + self.interval
        self._phase: str | None = None
        self._unwritten: ProgressStatus | None = None

    def update(self, status: ProgressStatus) -> None:
        """Write `status` if it is time to."""
        self._unwritten = status
        new_phase = status.phase != self._phase and not self._brief
        if new_phase or time.monotonic() >= self._due:
            self._phase = status.phase
            self._write(status)

    def finish(self) -> None:
        """Write the last state if it has not been."""
        if self._unwritten is not None and not self._brief:
            self._write(self._unwritten)

    def _write(self, status: ProgressStatus) -> None:
        self._due = time.monotonic() + self.interval
        self._unwritten = None
        print(self.text(status), file=self._stream, flush=True)

    def text(self, status: ProgressStatus) -> str:
        """Return the line for `status`."""
        raise NotImplementedError


class _PlainLines(_Lines):
    def text(self, status: ProgressStatus) -> str:
        parts = [status.phase, _done(status)]
        if status.added_bytes:
            parts.append(f"{human_size(status.added_bytes)} added")
        if status.problems:
            parts.append(count(status.problems, "problem"))
        if status.seconds_left is not None:
            parts.append(f"{human_seconds(status.seconds_left)} left")
        return ", ".join(parts)


class _JsonLines(_Lines):
    interval = JSON_INTERVAL_SECONDS

    def text(self, status: ProgressStatus) -> str:
        return json_line({"progress": status})


def _done(status: ProgressStatus) -> str:
    files = f"{status.files_done:,}" + (f" of {status.files_total:,}" if status.files_total is not None else "")
    size = human_size(status.bytes_done) + (f" of {human_size(status.bytes_total)}" if status.bytes_total else "")
    return f"{files} files, {size}"


@contextlib.contextmanager
def _bar() -> Iterator[Progress]:
    from rich.console import Console
    from rich.progress import BarColumn, SpinnerColumn, TextColumn
    from rich.progress import Progress as Bars

    bars = Bars(
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),  # names must not be read as rich's markup
        BarColumn(bar_width=24),
        TextColumn("{task.fields[done]}", markup=False),
        TextColumn("{task.fields[current]}", markup=False),
        console=Console(stderr=True),
        transient=True,
    )
    with bars:
        yield _Bar(bars)


class _Bar:
    def __init__(self, bars: rich.progress.Progress) -> None:
        self._bars = bars
        self._task = bars.add_task("", total=None, done="", current="")

    def update(self, status: ProgressStatus) -> None:
        """Redraw."""
        done = _done(status)
        if status.seconds_left is not None:
            done += f", {human_seconds(status.seconds_left)} left"
        by_bytes = bool(status.bytes_total)
        fields: dict[str, Any] = {
            "description": status.phase,
            "total": status.bytes_total if by_bytes else status.files_total,
            "completed": status.bytes_done if by_bytes else status.files_done,
            "done": done,
            "current": _shortened(printable(status.current or "")),
        }
        self._bars.update(self._task, **fields)


def _shortened(text: str) -> str:
    return text if len(text) <= _CURRENT_CHARACTERS else "..." + text[3 - _CURRENT_CHARACTERS :]
