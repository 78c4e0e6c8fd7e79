"""A small jewellery shop at the command line: stock, sales, and a backup on a stick.

    python shop.py seed
    python shop.py set-up --stick /media/stick
    python shop.py sell 17
    python shop.py backup --stick /media/stick
    python shop.py list --stick /media/stick
    python shop.py restore latest --to recovered --stick /media/stick

Here: arguments and words. Not here: the data (`stock.py`), the backup (`backup.py`).

Rules: an error of the backup becomes one sentence for the shopkeeper and exit code 1.
"""

from __future__ import annotations

import argparse
import getpass
import sys
from pathlib import Path

from backup import ShopBackup, advice
from stock import Stock

import snapstore


class Ticker:
    """Shows how far a backup is, on one line."""

    def update(self, status: snapstore.ProgressStatus) -> None:
        """Called by snapstore some ten times a second."""
        if sys.stderr.isatty():
            print(f"\r{status.phase}: {status.files_done} files", end="", file=sys.stderr, flush=True)


def main(arguments: list[str] | None = None) -> int:
    """Run one command."""
    options = parser().parse_args(arguments)
    try:
        options.run(options)
    except snapstore.SnapstoreError as error:
        print(advice(error), file=sys.stderr)
        return 1
    except LookupError as error:
        print(error.args[0], file=sys.stderr)
        return 1
    return 0


def parser() -> argparse.ArgumentParser:
    """Return what understands the command line."""
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--data", type=Path, default=Path("shop-data"), help="the shop's folder")
    common.add_argument("--stick", help="where the backups are, such as E:\\backup or usb:BLUE")
    common.add_argument("--state", type=Path, help="where this computer keeps its keys (default: the user's folder)")
    common.add_argument("--secret-file", type=Path, help="read the secret from a file instead of asking")
    top = argparse.ArgumentParser(description="A small jewellery shop.")
    verbs = top.add_subparsers(required=True, metavar="COMMAND")

    def verb(name: str, run: object, text: str) -> argparse.ArgumentParser:
        made = verbs.add_parser(name, parents=[common], help=text, description=text)
        made.set_defaults(run=run)
        return made

    verb("seed", seed, "fill the shop with items").add_argument("--items", type=int, default=200)
    verb("sell", sell, "sell one piece").add_argument("item", type=int)
    verb("stock", show, "show the stock and the takings")
    verb("set-up", set_up, "prepare a stick, or let this computer in on one")
    verb("backup", back_up, "back up the shop").add_argument("--label")
    verb("list", list_backups, "list the backups")
    restore = verb("restore", bring_back, "bring a backup back, into a new folder")
    restore.add_argument("backup", help='its number from the list, or "latest"')
    restore.add_argument("--to", type=Path, required=True)
    return top


def seed(options: argparse.Namespace) -> None:
    """Fill the shop."""
    Stock(options.data).seed(items=options.items)
    print(f"{options.items} items in {options.data}")


def sell(options: argparse.Namespace) -> None:
    """Sell one piece."""
    print(f"Sold: {Stock(options.data).sell(options.item)}")


def show(options: argparse.Namespace) -> None:
    """Show the stock."""
    stock = Stock(options.data)
    for number, name, cents, pieces in stock.items():
        print(f"{number:>5}  {pieces:>2} x {name:<20} {cents / 100:>10.2f}")
    print(f"Takings: {stock.takings() / 100:.2f}")


def set_up(options: argparse.Namespace) -> None:
    """Prepare a stick."""
    with ShopBackup.set_up(options.data, options.stick, secret(options, twice=True), options.state):
        print("The stick is ready. Keep the secret in a safe place: without it nothing can be brought back.")


def back_up(options: argparse.Namespace) -> None:
    """Back up the shop."""
    with ShopBackup(options.data, options.stick, options.state) as backup:
        report = backup.save(options.label, Ticker())
    print(f"Backed up {report.snapshot.files} files; {report.added_bytes / 1024:.0f} KiB were new.")
    for problem in report.problems:
        print(f"Not saved: {problem.path}: {problem.message}", file=sys.stderr)


def list_backups(options: argparse.Namespace) -> None:
    """List the backups."""
    with ShopBackup(options.data, options.stick, options.state) as backup:
        for snapshot in backup.backups():
            when = snapshot.time.astimezone().strftime("%Y-%m-%d %H:%M")
            print(f"{snapshot.name[:8]}  {when}  {snapshot.files} files  {snapshot.label or ''}".rstrip())


def bring_back(options: argparse.Namespace) -> None:
    """Bring a backup back."""
    with ShopBackup(options.data, options.stick, options.state) as backup:
        report = backup.bring_back(options.backup, secret(options), options.to)
    print(f"Brought back {report.files_restored} files to {options.to}.")


def secret(options: argparse.Namespace, *, twice: bool = False) -> str:
    """Return the secret, from the file that was named or the keyboard."""
    if options.secret_file is not None:
        return str(options.secret_file.read_text("utf-8-sig").removesuffix("\n"))
    typed = getpass.getpass("Secret: ")
    if twice and getpass.getpass("Once more: ") != typed:
        raise LookupError("The two were not the same.")
    return typed


if __name__ == "__main__":
    sys.exit(main())
