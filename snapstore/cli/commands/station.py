"""`snapstore station list|revoke`: the computers that may write to a dossier.

Here: the two commands. Not here: adding one, which happens when the secret is typed on a new computer.

Rules: revoking takes the right to write, not what the station has read; it needs the secret. A station is named by its
id or the beginning of it.
"""

from __future__ import annotations

import click

from ...errors import AmbiguousError, NotFoundError
from ...types import StationInfo
from ..context import Session, global_options
from ..output import local_time, printable, table


@click.group("station")
@global_options()
def command() -> None:
    """List and revoke the computers that write to a dossier."""


@command.command("list")
@global_options()
@click.pass_obj
def list_stations(session: Session) -> None:
    """List the computers that may write, or once might."""
    dossier = session.dossier()
    stations = dossier.stations()
    if session.output.json:
        session.output.data({"dossier": dossier.name, "stations": stations})
        return
    rows = [
        (
            station.id.hex()[:8],
            printable(station.name) if station.name is not None else "?",
            local_time(station.enrolled),
            local_time(station.revoked),
            "this one" if station.this else "",
        )
        for station in stations
    ]
    session.output.lines(table(("ID", "NAME", "ENROLLED", "REVOKED", ""), rows))


@command.command("revoke")
@click.argument("station_id", metavar="ID")
@global_options()
@click.pass_obj
def revoke(session: Session, station_id: str) -> None:
    """Take from the computer ID the right to write."""
    dossier = session.unlocked(session.dossier())
    station = _find(dossier.stations(), station_id)
    dossier.revoke_station(station.id)
    if session.output.json:
        session.output.data({"revoked": station.id, "name": station.name})
    session.output.summary(f"Revoked the station {printable(station.name or station.id.hex())}.")


def _find(stations: tuple[StationInfo, ...], prefix: str) -> StationInfo:
    fitting = [station for station in stations if prefix and station.id.hex().startswith(prefix.lower())]
    if not fitting:
        raise NotFoundError(f"No station has an id that begins with {prefix!r}. See: snapstore station list")
    if len(fitting) > 1:
        raise AmbiguousError(f"{len(fitting)} stations have ids that begin with {prefix!r}. Give more of it.")
    return fitting[0]
