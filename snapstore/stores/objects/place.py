"""What an address of object storage names: a bucket, a prefix in it, and the service.

    s3://bucket/prefix?endpoint=https://host:port&region=eu-central-1&addressing=path
    gs://bucket/prefix?endpoint=https://host:port
    az://container/prefix?account=name&endpoint=https://host:port/name

Here: `Place` and how it is read from an address. Not here: keys, and what the environment says (settings.py).

Rules: keys never stand in an address, and one that has them is refused without being repeated. A bucket is asked for
by path where an endpoint is given (servers of one's own seldom have a host name for each bucket), else by host name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit

from ...errors import InputError
from ..address import RemoteAddress

PARAMETERS: Final[Mapping[str, frozenset[str]]] = {
    "s3": frozenset({"endpoint", "region", "addressing"}),
    "gs": frozenset({"endpoint"}),
    "az": frozenset({"endpoint", "account"}),
}
_KEYS_BELONG: Final[Mapping[str, str]] = {
    "s3": "in AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or in ~/.aws/credentials",
    "gs": "in the file that GOOGLE_APPLICATION_CREDENTIALS names",
    "az": "in AZURE_STORAGE_ACCOUNT_KEY",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where the objects are. `prefix` has no slash at either end, and is empty where the whole bucket is meant."""

    scheme: str
    bucket: str
    prefix: str
    endpoint: str | None = None
    region: str | None = None
    addressing: str | None = None
    """s3: "path" or "virtual"; None chooses by the endpoint."""
    account: str | None = None
    """az: the storage account, which is not secret."""

    @classmethod
    def of(cls, address: RemoteAddress) -> Place:
        """Read an address. Raises InputError."""
        scheme = address.scheme
        if address.user is not None or address.password is not None:
            raise InputError(
                f"Keys do not belong in an address of {scheme}: storage; put them {_KEYS_BELONG[scheme]}.",
                code="credentials_in_address",
            )
        if address.port is not None:
            raise InputError(
                f"{scheme}://{address.host} names a bucket, which has no port: give the server with ?endpoint=.",
                code="invalid_url",
            )
        given = _parameters(address)
        prefix = address.path.strip("/")
        if prefix and any(element in {"", ".", ".."} for element in prefix.split("/")):
            raise InputError(
                "The prefix in an address of object storage has an empty or dotted part.", code="invalid_url"
            )
        if given.get("addressing", "path") not in {"path", "virtual"}:
            raise InputError("In an address, addressing= is either path or virtual.", code="invalid_url")
        return cls(
            scheme=scheme,
            bucket=address.host,
            prefix=prefix,
            endpoint=checked_endpoint(given["endpoint"]) if "endpoint" in given else None,
            region=given.get("region"),
            addressing=given.get("addressing"),
            account=given.get("account"),
        )


def checked_endpoint(endpoint: str) -> str:
    """The address of a service, without a slash at its end. Raises InputError, which does not repeat it."""
    try:
        parts = urlsplit(endpoint)
        usable = parts.scheme in {"http", "https"} and parts.hostname is not None and parts.port != 0
    except ValueError:
        usable = False
    if not usable or parts.username is not None or parts.query or parts.fragment:
        raise InputError(
            "An endpoint of object storage is https://host:port, without keys and without ? and #.",
            code="invalid_url",
        )
    return endpoint.rstrip("/")


def with_bucket(endpoint: str, bucket: str) -> str:
    """The endpoint at which a bucket has a host name of its own."""
    scheme, _, rest = endpoint.partition("://")
    return f"{scheme}://{bucket}.{rest}"


def travels_in_clear(endpoint: str | None) -> bool:
    """Whether what is sent to the endpoint can be read on the way: http, and not to this machine itself."""
    if endpoint is None or not endpoint.startswith("http://"):
        return False
    host = urlsplit(endpoint).hostname or ""
    try:
        return not ip_address(host).is_loopback
    except ValueError:
        return host != "localhost"


def _parameters(address: RemoteAddress) -> dict[str, str]:
    known = PARAMETERS[address.scheme]
    given: dict[str, str] = {}
    for key, text in address.query:
        # The value is not shown: people put secrets where they do not belong.
        if key not in known or key in given or not text:
            raise InputError(
                f"An address of {address.scheme}: storage may have {', '.join(sorted(known))} after its ?, "
                "each once and not empty, and nothing else.",
                code="invalid_url",
            )
        given[key] = text
    return given
