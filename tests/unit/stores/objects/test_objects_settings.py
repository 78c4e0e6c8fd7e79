"""What an address of object storage means, and where keys, region and endpoint are found."""

from __future__ import annotations

from pathlib import Path

import pytest

from snapstore.errors import InputError
from snapstore.stores.address import RemoteAddress
from snapstore.stores.objects.place import Place, travels_in_clear, with_bucket
from snapstore.stores.objects.settings import s3_settings

KEYS = "[default]\naws_access_key_id = DEFAULTKEY\naws_secret_access_key = hidden1\n"
SHOP = "[shop]\naws_access_key_id = SHOPKEY\naws_secret_access_key = hidden2\naws_session_token = hidden3\n"


def place(url: str) -> Place:
    return Place.of(RemoteAddress.parse(url))


@pytest.fixture
def home(tmp_path: Path) -> Path:
    folder = tmp_path / ".aws"
    folder.mkdir()
    (folder / "credentials").write_text(KEYS + SHOP, encoding="utf-8")
    (folder / "config").write_text(
        "[default]\nregion = eu-central-1\ns3 =\n    addressing_style = path\n"
        "[profile shop]\nregion = eu-west-3\nendpoint_url = https://s3.example.org/\n"
        "[profile role]\nrole_arn = arn:aws:iam::1:role/x\nsource_profile = default\n"
        "[profile half]\naws_access_key_id = HALF\n",
        encoding="utf-8",
    )
    return tmp_path


class TestPlace:
    def test_parts(self) -> None:
        url = (
            "s3://my-bucket/backups/shop 1/?endpoint=https://s3.example.org:9000&region=eu-central-1&addressing=virtual"
        )
        assert place(url) == Place(
            scheme="s3",
            bucket="my-bucket",
            prefix="backups/shop 1",
            endpoint="https://s3.example.org:9000",
            region="eu-central-1",
            addressing="virtual",
        )
        assert place("gs://bucket") == Place(scheme="gs", bucket="bucket", prefix="")
        assert place("az://box/a?account=me") == Place(scheme="az", bucket="box", prefix="a", account="me")

    @pytest.mark.parametrize(
        "url",
        [
            "s3://AKIAKEY:hidden@bucket/prefix",
            "s3://hidden@bucket/prefix",
            "az://account:hidden@container/prefix",
            "s3://bucket/prefix?secret_access_key=hidden",
            "s3://bucket/prefix?endpoint=https://me:hidden@example.org",
            "s3://bucket/prefix?endpoint=https://example.org/?key=hidden",
            "gs://bucket/prefix?region=hidden",
        ],
    )
    def test_keys_in_an_address_are_refused_and_not_shown(self, url: str) -> None:
        with pytest.raises(InputError) as caught:
            place(url)
        assert "hidden" not in str(caught.value)
        assert caught.value.__context__ is None

    @pytest.mark.parametrize(
        "url",
        [
            "s3://bucket:9000/prefix",
            "s3://bucket/a//b",
            "s3://bucket/../b",
            "s3://bucket/a?region=",
            "s3://bucket/a?region=x&region=y",
            "s3://bucket/a?addressing=both",
            "s3://bucket/a?endpoint=file://example.org",
            "s3://bucket/a?endpoint=https://example.org:notaport",
        ],
    )
    def test_other_addresses_are_refused(self, url: str) -> None:
        with pytest.raises(InputError) as caught:
            place(url)
        assert caught.value.code == "invalid_url"

    def test_a_bucket_in_the_host_name(self) -> None:
        assert with_bucket("https://example.org:9000", "bucket") == "https://bucket.example.org:9000"

    @pytest.mark.parametrize(
        ("endpoint", "expected"),
        [
            (None, False),
            ("https://example.org", False),
            ("http://example.org", True),
            ("http://192.168.1.2:9000", True),
            ("http://127.0.0.1:9000", False),
            ("http://[::1]:9000", False),
            ("http://localhost:9000", False),
        ],
    )
    def test_what_travels_in_clear(self, endpoint: str | None, expected: bool) -> None:
        assert travels_in_clear(endpoint) is expected


class TestSettings:
    def test_the_default_profile(self, home: Path) -> None:
        found = s3_settings({}, home)
        assert (found.access_key_id, found.secret_access_key, found.session_token) == ("DEFAULTKEY", "hidden1", None)
        assert (found.region, found.endpoint) == ("eu-central-1", None)

    def test_another_profile(self, home: Path) -> None:
        for variable in ("AWS_PROFILE", "AWS_DEFAULT_PROFILE"):
            found = s3_settings({variable: "shop"}, home)
            assert (found.access_key_id, found.secret_access_key) == ("SHOPKEY", "hidden2")
            assert found.session_token == "hidden3"
            assert (found.region, found.endpoint) == ("eu-west-3", "https://s3.example.org")

    def test_variables_go_before_files(self, home: Path) -> None:
        variables = {
            "AWS_PROFILE": "shop",
            "AWS_ACCESS_KEY_ID": "VARKEY",
            "AWS_SECRET_ACCESS_KEY": "hidden",
            "AWS_REGION": "us-west-2",
            "AWS_ENDPOINT_URL": "https://general.example.org",
            "AWS_ENDPOINT_URL_S3": "https://special.example.org",
        }
        found = s3_settings(variables, home)
        assert found.access_key_id is None  # obstore takes it from the variable itself
        assert (found.region, found.endpoint) == ("us-west-2", "https://special.example.org")

    def test_keys_lent_to_a_container_are_not_replaced_by_a_file(self, home: Path) -> None:
        assert s3_settings({"AWS_WEB_IDENTITY_TOKEN_FILE": "/var/run/token"}, home).access_key_id is None

    def test_files_elsewhere(self, home: Path, tmp_path: Path) -> None:
        other = tmp_path / "elsewhere"
        other.write_text(KEYS.replace("DEFAULTKEY", "OTHERKEY"), encoding="utf-8")
        found = s3_settings({"AWS_SHARED_CREDENTIALS_FILE": str(other)}, home)
        assert found.access_key_id == "OTHERKEY"

    def test_nothing_at_all(self, tmp_path: Path) -> None:
        found = s3_settings({"AWS_REGION": ""}, tmp_path / "nobody")
        assert (found.access_key_id, found.region, found.endpoint) == (None, None, None)

    @pytest.mark.parametrize(
        ("profile", "code"),
        [("absent", "profile_missing"), ("role", "profile_not_supported"), ("half", "profile_not_supported")],
    )
    def test_profiles_that_cannot_be_used(self, home: Path, profile: str, code: str) -> None:
        with pytest.raises(InputError) as caught:
            s3_settings({"AWS_PROFILE": profile}, home)
        assert caught.value.code == code
        assert profile in str(caught.value)

    def test_a_broken_file_is_named_and_not_quoted(self, home: Path) -> None:
        (home / ".aws" / "credentials").write_text("aws_secret_access_key = hidden\n", encoding="utf-8")
        with pytest.raises(InputError) as caught:
            s3_settings({}, home)
        assert caught.value.code == "profile_unreadable"
        assert "credentials" in str(caught.value)
        assert "hidden" not in str(caught.value)
        assert caught.value.__context__ is None

    def test_secrets_are_not_shown(self, home: Path) -> None:
        shown = repr(s3_settings({"AWS_PROFILE": "shop"}, home))
        assert "hidden" not in shown
        assert "SHOPKEY" not in shown
