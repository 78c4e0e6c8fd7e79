"""Servers of object storage on loopback, for tests.

    running_moto(folder)          moto's S3, in memory: what it has is gone when it is stopped. Checks no keys.
    running_versitygw(folder)     versitygw's S3 over a folder; checks keys and signatures. Built with Go.
    running_azurite(folder)       azurite's blobs, for az://. Installed with npm.

For gs:// there is none: fake-gcs-server (1.56) does not take the PUT of the XML interface, which obstore uses.

moto comes with the development dependencies. The others are installed by

    python tests/servers/object_servers.py --install FOLDER

and found in $SNAPSTORE_TEST_TOOLS, or in ~/.cache/snapstore-tests. Where one is not installed its function raises
ServerMissingError with the reason.

Rules: a server is given its keys here, and its clients find them in the variables that `variables` names (a `Server`
has no place for them, and an address must not hold them), so a test sets those. Everything a server writes is in
`folder`.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

if __name__ == "__main__":  # run as a script, from anywhere
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from server import Server, ServerMissingError, free_port
from server_process import ServerProcess

from snapstore.stores.options import StoreOptions

HOME = Path.home()  # before a test sets it to an empty one
BUCKET = "snapstore-tests"
ACCESS_KEY = "snapstoretests"
SECRET_KEY = "not-secret-on-loopback"
AZURITE_ACCOUNT = "devstoreaccount1"
# Published in azurite's own documentation, and the same everywhere.
AZURITE_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="

S3_VARIABLES = {
    "AWS_ACCESS_KEY_ID": ACCESS_KEY,
    "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
    "AWS_EC2_METADATA_DISABLED": "true",
}

VERSITYGW = "github.com/versity/versitygw/cmd/versitygw@v1.8.0"
AZURITE = "azurite@3.35.0"


@dataclass(kw_only=True)
class ObjectServer(Server):
    """A server of object storage, with the variables in which its clients find the keys."""

    variables: Mapping[str, str] = field(default_factory=dict)
    absent_bucket_url: str = ""
    """An address in a bucket that is not there."""
    restart_keeps_objects: bool = True


def tools_folder() -> Path:
    """Where the servers are that do not come with Python."""
    given = os.environ.get("SNAPSTORE_TEST_TOOLS")
    return Path(given) if given else HOME / ".cache" / "snapstore-tests"


def _tool(relative: str, installer: str) -> str:
    """The path of a server's program."""
    path = tools_folder() / relative
    if not path.exists():
        raise ServerMissingError(
            f"{path} is not there; with {installer}: python tests/servers/object_servers.py --install {tools_folder()}"
        )
    return str(path)


def _ask(method: str, url: str, data: bytes | None = None, headers: Mapping[str, str] | None = None) -> bytes:
    """One HTTP request on loopback, past any proxy; tried again while a server is still getting up."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    for attempt in range(50):
        request = urllib.request.Request(url, data=data, method=method, headers=dict(headers or {}))
        try:
            with opener.open(request, timeout=10) as answer:
                return bytes(answer.read())
        except urllib.error.HTTPError:
            raise
        except OSError:
            if attempt == 49:
                raise
            time.sleep(0.1)
    raise AssertionError("not reached")


def _s3_server(
    name: str,
    port: int,
    *,
    process: ServerProcess,
    start: Callable[[], None] | None = None,
    folder: Path | None = None,
    tls: bool = False,
) -> ObjectServer:
    def at(other: int) -> ObjectServer:
        query = f"?endpoint=http{'s' if tls else ''}://127.0.0.1:{other}&region=us-east-1"
        return ObjectServer(
            name=name,
            host="127.0.0.1",
            port=other,
            url=lambda place: f"s3://{BUCKET}/{place}{query}",
            folder=folder,
            stop=process.stop,
            start=start or process.start,
            behind=at,
            variables=S3_VARIABLES,
            absent_bucket_url=f"s3://not-{BUCKET}/place{query}",
            restart_keeps_objects=folder is not None,
        )

    return at(port)


@contextlib.contextmanager
def running_moto(folder: Path) -> Iterator[ObjectServer]:
    """moto's S3. After a stop it starts with an empty bucket."""
    try:
        import moto.server  # noqa: F401
    except ImportError as error:
        raise ServerMissingError(f"moto is not installed: {error}") from None
    port = free_port()
    process = ServerProcess(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
        port,
        folder / "server.log",
        folder=folder,
    )

    def start() -> None:
        process.start()
        _ask("PUT", f"http://127.0.0.1:{port}/{BUCKET}")

    server = _s3_server("moto", port, process=process, start=start)
    try:
        start()
        yield server
    finally:
        process.stop()


@contextlib.contextmanager
def running_versitygw(folder: Path, *, tls: bool = False) -> Iterator[ObjectServer]:
    """versitygw over a folder: a bucket is a folder in it, an object a file in that. With `tls` it is reached by https,
    with a certificate that only the CA file in the server's options vouches for."""
    program = _tool("bin/versitygw", "Go")
    root = folder / "root"
    (root / BUCKET).mkdir(parents=True)
    port = free_port()
    files: list[str] = []
    options = StoreOptions()
    if tls:
        from ftp_certificates import certificates

        made = certificates(folder / "certificates")
        files = ["--cert", str(made.certificate), "--key", str(made.key)]
        options = StoreOptions(ca_file=made.authority)
    process = ServerProcess(
        [program, "--port", f"127.0.0.1:{port}", *files, "--quiet", "posix", str(root)],
        port,
        folder / "server.log",
        folder=folder,
        variables={"ROOT_ACCESS_KEY": ACCESS_KEY, "ROOT_SECRET_KEY": SECRET_KEY},
    )
    with process.running():
        server = _s3_server("versitygw", port, process=process, folder=root / BUCKET, tls=tls)
        server.options = options
        yield server


@contextlib.contextmanager
def running_azurite(folder: Path) -> Iterator[ObjectServer]:
    """azurite's blobs, kept in the folder."""
    program = _tool("node_modules/.bin/azurite-blob", "npm")
    if shutil.which("node") is None:
        raise ServerMissingError("node is not installed")
    port = free_port()
    command = [program, "--silent", "--skipApiVersionCheck", "--disableTelemetry"]
    process = ServerProcess(
        [*command, "--blobPort", str(port), "--location", str(folder)], port, folder / "server.log", folder=folder
    )
    variables = {"AZURE_STORAGE_ACCOUNT_NAME": AZURITE_ACCOUNT, "AZURE_STORAGE_ACCOUNT_KEY": AZURITE_KEY}

    def at(other: int) -> ObjectServer:
        query = f"?endpoint=http://127.0.0.1:{other}/{AZURITE_ACCOUNT}"
        return ObjectServer(
            name="azurite",
            host="127.0.0.1",
            port=other,
            url=lambda place: f"az://{BUCKET}/{place}{query}",
            stop=process.stop,
            start=process.start,
            behind=at,
            variables=variables,
            absent_bucket_url=f"az://not-{BUCKET}/place{query}",
        )

    with process.running():
        _make_container(port)
        yield at(port)


def _make_container(port: int) -> None:
    """Make the container that the tests use, which takes a signed request."""
    import base64
    import hashlib
    import hmac
    from email.utils import formatdate

    date, version = formatdate(usegmt=True), "2021-08-06"
    resource = f"/{AZURITE_ACCOUNT}/{AZURITE_ACCOUNT}/{BUCKET}\nrestype:container"
    signed = f"PUT\n\n\n\n\n\n\n\n\n\n\n\nx-ms-date:{date}\nx-ms-version:{version}\n{resource}"
    digest = hmac.new(base64.b64decode(AZURITE_KEY), signed.encode(), hashlib.sha256).digest()
    _ask(
        "PUT",
        f"http://127.0.0.1:{port}/{AZURITE_ACCOUNT}/{BUCKET}?restype=container",
        b"",
        {
            "x-ms-date": date,
            "x-ms-version": version,
            "Content-Type": "",
            "Authorization": f"SharedKey {AZURITE_ACCOUNT}:{base64.b64encode(digest).decode()}",
        },
    )


def install(folder: Path) -> list[str]:
    """Install what can be installed below a folder; what is there is left as it is. Returns what is missing and why."""
    missing = []
    (folder / "bin").mkdir(parents=True, exist_ok=True)
    if not (folder / "bin" / "versitygw").exists():
        missing += _attempt("versitygw", "go", ["install", VERSITYGW], {"GOBIN": str(folder / "bin")})
    if not (folder / "node_modules" / ".bin" / "azurite-blob").exists():
        options = ["--prefix", str(folder), "--no-audit", "--no-fund"]
        missing += _attempt("azurite", "npm", ["install", *options, AZURITE], {})
    return missing


def _attempt(what: str, tool: str, arguments: Sequence[str], variables: Mapping[str, str]) -> list[str]:
    program = shutil.which(tool)
    if program is None:
        return [f"{what}: {tool} is not installed"]
    try:
        done = subprocess.run(
            [program, *arguments], capture_output=True, timeout=600, check=False, env={**os.environ, **variables}
        )
    except subprocess.TimeoutExpired:
        return [f"{what}: {tool} took more than ten minutes"]
    if done.returncode:
        return [f"{what}: {done.stderr.decode(errors='replace')[-300:].strip()}"]
    return []


def main() -> int:
    """Install the servers; the exit code says whether all are there."""
    parser = argparse.ArgumentParser(description="Install the servers of object storage that the tests use.")
    parser.add_argument("--install", metavar="FOLDER", type=Path, default=tools_folder())
    missing = install(parser.parse_args().install.absolute())
    for line in missing:
        print(f"missing: {line}")
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
