"""Where a user of S3 has keys, region and endpoint: the variables and files that all programs for it share.

Here: `S3Settings`, found in AWS_* variables and in ~/.aws/credentials and ~/.aws/config. Not here: keys that a machine
or a container is lent by its provider, and the variables of Google and Azure; obstore asks for those itself.

Rules: a variable goes before a file, as in the provider's own tools. These are not settings of snapstore, which reads
no variables of its own below the command. A profile that keeps its keys in a way not understood here is an error that
says so, and never a silent change to other keys. Nothing here shows a key.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from configparser import ConfigParser
from configparser import Error as ConfigParserError
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from ...errors import InputError
from .place import checked_endpoint

_NOT_UNDERSTOOD: Final = ("role_arn", "sso_session", "sso_start_url", "credential_process", "login_session")


@dataclass(frozen=True, slots=True, kw_only=True)
class S3Settings:
    """What was found. Keys are given only if they come from a file: obstore takes those in variables itself."""

    access_key_id: str | None = field(default=None, repr=False)
    secret_access_key: str | None = field(default=None, repr=False)
    session_token: str | None = field(default=None, repr=False)
    region: str | None = None
    endpoint: str | None = None
    ca_file: str | None = None


def current_s3_settings() -> S3Settings:
    """What this process would use now."""
    return s3_settings(os.environ, _path("~"))


def s3_settings(variables: Mapping[str, str], home: Path) -> S3Settings:
    """What these variables and the files below this home folder say. Raises InputError."""
    given = {name: text for name, text in variables.items() if text}
    chosen = given.get("AWS_PROFILE") or given.get("AWS_DEFAULT_PROFILE")
    profile = chosen or "default"
    keys_file = _path(given.get("AWS_SHARED_CREDENTIALS_FILE") or home / ".aws" / "credentials")
    config_file = _path(given.get("AWS_CONFIG_FILE") or home / ".aws" / "config")
    keys = _section(keys_file, profile)
    config = _section(config_file, profile if profile == "default" else f"profile {profile}")
    if chosen and keys is None and config is None:
        raise InputError(
            f"There is no profile {chosen!r} in {keys_file} or {config_file}: see AWS_PROFILE.", code="profile_missing"
        )
    merged = {**(config or {}), **(keys or {})}
    endpoint = given.get("AWS_ENDPOINT_URL_S3") or given.get("AWS_ENDPOINT_URL") or given.get("AWS_ENDPOINT")
    endpoint = endpoint or merged.get("endpoint_url")
    lent = "AWS_WEB_IDENTITY_TOKEN_FILE" in given and not chosen
    from_file = {} if "AWS_ACCESS_KEY_ID" in given or lent else _keys(merged, profile)
    return S3Settings(
        access_key_id=from_file.get("aws_access_key_id"),
        secret_access_key=from_file.get("aws_secret_access_key"),
        session_token=from_file.get("aws_session_token"),
        region=given.get("AWS_REGION") or given.get("AWS_DEFAULT_REGION") or merged.get("region"),
        endpoint=checked_endpoint(endpoint) if endpoint else None,
        ca_file=given.get("AWS_CA_BUNDLE") or merged.get("ca_bundle"),
    )


def _path(text: str | Path) -> Path:
    return Path(os.path.expanduser(text))  # unlike Path.expanduser no error for who has no home


def _keys(section: Mapping[str, str], profile: str) -> Mapping[str, str]:
    if "aws_access_key_id" in section and "aws_secret_access_key" in section:
        return section
    unknown = [name for name in _NOT_UNDERSTOOD if name in section]
    if unknown or "aws_access_key_id" in section:
        raise InputError(
            f"The profile {profile!r} has {unknown[0] if unknown else 'a key but no secret'}, and keys are needed. "
            f"Put them into variables with `aws configure export-credentials --profile {profile} --format env`.",
            code="profile_not_supported",
        )
    return {}


def _section(file: Path, name: str) -> dict[str, str] | None:
    """The lines of one section; None if there is no such file or section."""
    parser = ConfigParser(interpolation=None, strict=False, default_section="\0")
    failure = ""
    try:
        # Read at once: the parser's own errors quote the line, which may be a key.
        parser.read_string(file.read_text(encoding="utf-8-sig"))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, UnicodeError, ConfigParserError) as error:
        failure = type(error).__name__
    if failure:
        raise InputError(f"The file {file} cannot be read ({failure}): mend or remove it.", code="profile_unreadable")
    return dict(parser[name]) if parser.has_section(name) else None
