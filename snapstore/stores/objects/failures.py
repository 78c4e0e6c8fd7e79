"""What went wrong in a call of obstore, as the errors that snapstore's callers know.

Here: `Failure`, read from an exception of obstore, and the store error it is. Not here: what a failure means to a put
or a get (store.py).

Rules: obstore tells the facts only in its text, and that text may hold signed addresses and what a server echoed of
the keys. So a few facts are taken out by patterns (status, the service's own code, whether anything was sent) and the
rest is dropped, with the exception itself. Patterns look at the part that obstore writes for programmers, in which
what a server said is quoted, so that no server can write facts of its own into it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from ...errors import (
    InputError,
    SnapstoreError,
    StoreError,
    StoreFullError,
    StorePermissionError,
    StoreUnavailableError,
)

_FACTS: Final = "\n\nDebug source:\n"
_STATUS = re.compile(r"^\s*status: ([1-5][0-9]{2}),$", re.MULTILINE)
_CODE = re.compile(r"<Code>([A-Za-z0-9._-]{1,64})</Code>")
_REGION = re.compile(r"<Region>([a-z0-9-]{1,32})</Region>")
_HTTP_KIND = re.compile(r"\bHttpError \{\s*kind: ([A-Za-z]+),")
_CONNECTING = re.compile(r"\blegacy::Error\(\s*Connect,")
_CERTIFICATE = re.compile(r"invalid peer certificate|\bInvalidCertificate\b|certificate verify failed")
_LENT_KEYS = re.compile(r"/latest/api/token|/latest/meta-data/|/computeMetadata/|/metadata/identity|\bmsi/token")
_VARIANT = re.compile(r"source: ([A-Z][A-Za-z]+)")
_PATH = re.compile(r"\b(EmptySegment|BadSegment|InvalidPath)\b")

_ABSENT: Final = {"NoSuchBucket", "ContainerNotFound", "ContainerBeingDeleted", "ContainerDisabled"}
_NO_OBJECT: Final = {"NoSuchKey", "BlobNotFound", "NoSuchObject", "NoSuchVersion"}
_LOGIN: Final = {
    "InvalidAccessKeyId", "SignatureDoesNotMatch", "InvalidToken", "ExpiredToken", "ExpiredTokenException",
    "TokenRefreshRequired", "InvalidSecurity", "AuthFailure", "AuthenticationFailed", "InvalidAuthenticationInfo",
    "UnrecognizedClientException", "XAdminUserNotFound", "NoAuthenticationInformation", "AuthenticationRequired",
}  # fmt: skip
_CLOCK: Final = {"RequestTimeTooSkewed", "RequestExpired"}
_FULL: Final = {
    "QuotaExceeded", "XMinioStorageFull", "XMinioAdminBucketQuotaExceeded", "StorageFull", "InsufficientCapacity",
    "StorageQuotaExceeded", "AccountQuotaExceeded", "NotEnoughSpace", "StorageLimitExceeded",
}  # fmt: skip
_REGION_WRONG: Final = {"PermanentRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException"}
_BUSY: Final = {
    "SlowDown", "RequestTimeout", "TooManyRequests", "RequestLimitExceeded", "ServerBusy", "OperationAborted",
    "IncompleteBody", "BadDigest", "XAmzContentSHA256Mismatch",
}  # fmt: skip
_CONFLICTS: Final = {"ConditionalRequestConflict", "OperationAborted"}

_WHERE_KEYS_ARE: Final = {
    "s3": "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, or write ~/.aws/credentials",
    "gs": "Set GOOGLE_APPLICATION_CREDENTIALS to a file with keys",
    "az": "Set AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY",
}
_HOW_TO_MAKE: Final = {
    "s3": "make it first, with the provider's console or `aws s3 mb s3://{bucket}`",
    "gs": "make it first, with the provider's console or `gcloud storage buckets create gs://{bucket}`",
    "az": "make it first, with the provider's console or `az storage container create --name {bucket}`",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """The facts of a failed call; nothing in it is secret."""

    kind: str
    """The name of obstore's exception."""
    status: int | None = None
    code: str = ""
    """What the service calls the error, such as "NoSuchBucket"; a HEAD has none."""
    region: str = ""
    http: str = ""
    """What happened on the wire: Connect, Timeout, Request, Interrupted ..., or nothing."""
    unsent: bool = False
    """The connection never came about, so the server has seen nothing."""
    certificate: bool = False
    lent_keys: bool = False
    """It happened while asking the machine's provider for keys, which is done where no others are found."""
    variant: str = ""

    @classmethod
    def of(cls, error: Exception) -> Failure:
        """Take the facts from an exception of obstore."""
        facts = str(error).rpartition(_FACTS)[2]
        status, code, region = _STATUS.search(facts), _CODE.search(facts), _REGION.search(facts)
        http, variant = _HTTP_KIND.search(facts), _PATH.search(facts) or _VARIANT.search(facts)
        return cls(
            kind=type(error).__name__,
            status=int(status[1]) if status else 301 if "BareRedirect" in facts else None,
            code=code[1] if code else "",
            region=region[1] if region else "",
            http=http[1] if http else "",
            unsent=http is not None and (http[1] == "Connect" or _CONNECTING.search(facts) is not None),
            certificate=http is not None and _CERTIFICATE.search(facts) is not None,
            lent_keys=_LENT_KEYS.search(facts) is not None,
            variant=variant[1] if variant else "",
        )

    @property
    def absent(self) -> bool:
        """Whether the service says that there is no such object, or, without a code, perhaps no such bucket."""
        return self.status == 404 and (not self.code or self.code in _NO_OBJECT)

    @property
    def surely_no_object(self) -> bool:
        """Whether it says so of the object, and not perhaps of the bucket."""
        return self.status == 404 and self.code in _NO_OBJECT

    @property
    def range_refused(self) -> bool:
        """Whether the range asked for begins beyond the object's end."""
        return self.status == 416 or self.variant == "InvalidRangeRequest"

    @property
    def exists(self) -> bool:
        """Whether a put that had to be the first found an object."""
        return self.kind == "AlreadyExistsError" and self.code not in _CONFLICTS

    @property
    def condition_refused(self) -> bool:
        """Whether the service does not know "only if it is absent", as far as can be told."""
        unknown = {"", "NotImplemented", "InvalidArgument", "InvalidRequest", "UnsupportedHeader"}
        return self.kind == "NotSupportedError" or (self.status in {400, 501} and self.code in unknown)

    @property
    def put_refused(self) -> bool:
        """Whether a put has surely stored nothing, now and later."""
        if self.unsent or self.lent_keys or self.certificate or self.exists:
            return True
        if self.code in _BUSY or self.code in _FULL:
            return True
        return self.status is not None and (300 <= self.status < 500 or self.status in {501, 507})


def store_error(failure: Failure, doing: str, *, scheme: str, bucket: str, where: str) -> SnapstoreError:
    """The error for a failure while `doing` (such as "read packs/a/0123") at the address `where`."""
    start = f"Could not {doing} in {where}"
    if failure.lent_keys:
        return StorePermissionError(
            f"{start}: no keys were found, and this machine is lent none by a provider. {_WHERE_KEYS_ARE[scheme]}.",
            code="credentials_missing",
        )
    if failure.certificate:
        return StoreError(
            f"{start}: the server's certificate is not trusted. See that the address is right; for an authority of "
            "your own give its certificate as a CA file.",
            code="certificate_refused",
        )
    if failure.http == "Timeout":
        return StoreUnavailableError(
            f"{start}: no answer in time. See that the server is well, and try again.", code="store_timeout"
        )
    if failure.http:
        reason = "there is no connection to the server" if failure.unsent else "the connection was lost"
        return StoreUnavailableError(
            f"{start}: {reason}. See that the network and the server are there, and try again.",
            code="store_unavailable" if failure.unsent else "connection_lost",
        )
    if failure.status is None:
        return _misunderstanding(failure, start)
    said = f"{start}: the service answered {failure.status}{f' {failure.code}' if failure.code else ''}."
    return _refusal(failure, said, scheme=scheme) or _answer(failure, said, scheme=scheme, bucket=bucket)


def setup_error(failure: Failure, scheme: str) -> InputError:
    """The error for settings that obstore cannot make a client of."""
    if failure.variant == "InvalidCertificate":
        return InputError("The CA file holds no certificate that can be read.", code="ca_file_unreadable")
    return InputError(
        f"A client for {scheme}: storage cannot be set up ({failure.variant or failure.kind}): "
        f"see its variables and files. {_WHERE_KEYS_ARE[scheme]}.",
        code="store_not_configured",
    )


def _refusal(failure: Failure, said: str, *, scheme: str) -> StoreError | None:
    """The error where the service does not want this, from us or at all."""
    if failure.code in _CLOCK:
        return StorePermissionError(
            f"{said} This computer's clock is wrong by more than the service allows: set it right, and try again.",
            code="clock_skewed",
        )
    if failure.code in _LOGIN or failure.status == 401:
        return StorePermissionError(
            f"{said} The keys are wrong or no longer valid. {_WHERE_KEYS_ARE[scheme]}.", code="login_refused"
        )
    if failure.code in _FULL or failure.status == 507:
        return StoreFullError(f"{said} Free some space, or raise the quota.")
    if failure.code in _REGION_WRONG or failure.status in {301, 307}:
        region = failure.region or "..."
        return StoreError(
            f"{said} The bucket lies in another region: add region={region} to the address.", code="region_wrong"
        )
    if failure.status in {403, 405}:
        return StorePermissionError(
            f"{said} See that these keys may list, read, write and delete there, and that the clock is right."
        )
    return None


def _answer(failure: Failure, said: str, *, scheme: str, bucket: str) -> StoreError:
    """The error for any other status."""
    if failure.status == 404 or failure.code in _ABSENT:
        how = _HOW_TO_MAKE[scheme].format(bucket=bucket)
        return StoreUnavailableError(
            f"{said} There is no bucket {bucket!r} that these keys can see: {how}.",
            code="store_absent",
            retryable=False,
        )
    passing = (
        failure.status in {408, 409, 429, 500, 502, 503, 504} or failure.code in _BUSY or failure.code in _CONFLICTS
    )
    if passing:
        return StoreUnavailableError(f"{said} Try again later.")
    return StoreError(f"{said} See that the address and the endpoint are those of object storage.")


def _misunderstanding(failure: Failure, start: str) -> StoreError:
    """The error for an answer that makes no sense."""
    if failure.variant in {"InvalidPath", "EmptySegment", "BadSegment"}:
        return StoreError(
            f"{start}: there is a key with an empty or dotted folder in it, which was not put there by snapstore. "
            "Remove it, or use a prefix of its own.",
            code="foreign_key",
        )
    return StoreUnavailableError(
        f"{start}: the answer is none that object storage gives ({failure.variant or failure.kind}). "
        "See that the endpoint is right, and try again.",
        code="answer_not_understood",
    )
