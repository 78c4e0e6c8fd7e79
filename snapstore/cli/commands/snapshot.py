"""`snapstore snapshot PATH...`: save the present state of files and folders.

Here: options to `Dossier.snapshot`, and its report as text. Not here: what is excluded and how (gitignore syntax,
decided by the library).

Rules: a snapshot that was made although some files could not be read has exit code 3, so that a nightly job notices.
The station needs no secret for it, once it is enrolled.
"""

from __future__ import annotations

import click

from ...errors import NotEnrolledError
from ...types import SnapshotKind, SnapshotReport
from ..context import Session, global_options
from ..exit_codes import ExitCode
from ..output import count, human_seconds, human_size, printable
from ..parameters import size_option
from ..progress import MODES, show_progress


@click.command("snapshot")
@click.argument("paths", nargs=-1, required=True, metavar="PATH...")
@click.option("--label", help="A remark that the list shows.")
@click.option("-e", "--exclude", multiple=True, metavar="PATTERN", help="Leave out what fits (gitignore syntax).")
@click.option("--exclude-file", "exclude_files", multiple=True, metavar="FILE", help="Read such patterns from a file.")
@click.option("--exclude-caches", is_flag=True, help="Leave out folders marked with CACHEDIR.TAG.")
@click.option(
    "--exclude-larger-than", callback=size_option, metavar="SIZE", help="Leave out files over SIZE (500K, 100M, 2G)."
)
@click.option("-x", "--one-file-system", is_flag=True, help="Do not enter other file systems.")
@click.option("--allow-missing", is_flag=True, help="Go on if a PATH does not exist.")
@click.option("--allow-empty", is_flag=True, help="Go on if a PATH has become empty since the last snapshot.")
@click.option("--no-verify-writes", is_flag=True, help="Do not open each piece again before it is stored.")
@click.option("--force", is_flag=True, help="Read all files, even those that seem unchanged.")
@click.option("--compression-level", type=click.IntRange(1, 19), default=3, show_default=True, metavar="1-19")
@click.option("--parity/--no-parity", default=None, help="Store parity, or not (default: on removable media).")
@click.option("--kind", type=click.Choice(["manual", "automatic"]), default="manual", help="Who asked for it.")
@click.option("--progress", type=click.Choice(MODES), default="auto", help="How to show progress.")
@global_options()
@click.pass_obj
def command(
    session: Session,
    paths: tuple[str, ...],
    label: str | None,
    exclude: tuple[str, ...],
    exclude_files: tuple[str, ...],
    exclude_caches: bool,
    exclude_larger_than: int | None,
    one_file_system: bool,
    allow_missing: bool,
    allow_empty: bool,
    no_verify_writes: bool,
    force: bool,
    compression_level: int,
    parity: bool | None,
    kind: str,
    progress: str,
) -> int:
    """Save the files and folders PATH... as they are now."""
    from ... import SnapshotOptions

    options = SnapshotOptions(
        exclude_files=exclude_files,
        exclude_caches=exclude_caches,
        one_file_system=one_file_system,
        exclude_larger_than=exclude_larger_than,
        allow_missing=allow_missing,
        allow_empty=allow_empty,
        verify_writes=not no_verify_writes,
        force_read=force,
        compression_level=compression_level,
        parity=parity,
    )
    dossier = session.dossier()

    def take() -> SnapshotReport:
        with show_progress(progress, session.output) as shown, session.interruption.patience() as cancel:
            return dossier.snapshot(
                paths,
                label=label,
                kind=SnapshotKind[kind.upper()],
                exclude=exclude,
                options=options,
                progress=shown,
                cancel=cancel,
            )

    try:
        report = take()
    except NotEnrolledError:  # this medium does not list this computer, or its keys are newer: the secret mends both
        session.unlocked(dossier)
        report = take()
    _tell(session, report, dossier.name)
    return ExitCode.PROBLEMS if report.problems else ExitCode.DONE


def _tell(session: Session, report: SnapshotReport, dossier_name: str) -> None:
    session.output.problems(report.problems)
    if session.output.json:
        session.output.data(report)
        return
    snapshot = report.snapshot
    added, seconds = human_size(report.added_bytes), human_seconds(report.duration_seconds)
    session.output.summary(
        f"Snapshot {snapshot.name[:8]} of {printable(dossier_name)}: {count(snapshot.files, 'file')}, "
        f"{human_size(snapshot.total_bytes)}; {added} added in {seconds}."
    )
    session.output.summary(
        f"{report.files_new:,} new, {report.files_changed:,} changed, {report.files_unchanged:,} unchanged."
    )
    if report.safe_to_unplug and session.url().lower().startswith("usb:"):
        session.output.summary("The medium may be unplugged now.")
    elif report.safe_to_unplug is False:
        session.output.warn("The snapshot is stored; do not unplug the medium before the system has released it.")
    if report.problems:  # a prefix, where there are very many; the count is always exact
        problems = max(snapshot.problem_count, len(report.problems))
        session.output.summary(f"It was made with {count(problems, 'problem')}.")
