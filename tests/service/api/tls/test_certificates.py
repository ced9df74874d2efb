"""Files of TLS: which are accepted, and the messages about those that are not."""

import datetime as dt
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.x509.oid import ExtendedKeyUsageOID

from rerank_service.api.tls.certificates import read_certificates
from rerank_service.api.tls.files import tls_files
from rerank_service.errors import SettingsInvalid
from support.tls import Pems, write_pems

_DAY = dt.timedelta(days=1)
_NOW = dt.datetime.now(dt.UTC)


@pytest.fixture
def pems(tmp_path: Path) -> Pems:
    """Return valid files."""
    return write_pems(tmp_path / "tls", trustme.CA())


def test_valid_files_are_read(pems: Pems) -> None:
    """As PEM for gRPC, and as a context for REST: TLS 1.2 at least."""
    read = read_certificates(pems.files(client_ca=True))
    assert (read.chain, read.key, read.client_ca) == tuple(map(Path.read_bytes, (pems.cert, pems.key, pems.ca)))
    assert read.context.minimum_version is ssl.TLSVersion.TLSv1_2
    assert read.context.verify_mode is ssl.CERT_REQUIRED
    assert ssl.cert_time_to_seconds(read.not_after) > 0


def test_without_client_ca_no_client_certificate_is_required(pems: Pems) -> None:
    """Encryption and no check of callers."""
    read = read_certificates(pems.files())
    assert (read.client_ca, read.context.verify_mode) == (None, ssl.CERT_NONE)


@pytest.mark.parametrize("key_type", trustme.KeyType)
def test_intermediate_certificates_and_both_key_types_are_accepted(tmp_path: Path, key_type: trustme.KeyType) -> None:
    """The chain follows the certificate. Comments may have any characters."""
    authority = trustme.CA(key_type=key_type).create_child_ca(key_type)
    pems = write_pems(tmp_path / "tls", authority)
    pems.cert.write_text("Aussteller: Müller\n" + pems.cert.read_text())
    assert read_certificates(pems.files()).chain.count(b"BEGIN CERTIFICATE") == 2


@pytest.mark.parametrize("days", [(90, 3), (3, 90)])
def test_chain_expires_with_its_first_certificate(tmp_path: Path, days: tuple[int, int]) -> None:
    """The certificate of the server, or an intermediate one, without which clients reject it."""
    ends = [_NOW.replace(microsecond=0) + each * _DAY for each in days]
    authority = trustme.CA().create_child_ca()
    pems = write_pems(tmp_path / "tls", authority, not_after=ends[0])
    leaf, intermediate = x509.load_pem_x509_certificates(pems.cert.read_bytes())
    shorter = (
        x509.CertificateBuilder()
        .subject_name(intermediate.subject)
        .issuer_name(intermediate.issuer)
        .public_key(intermediate.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(_NOW - _DAY)
        .not_valid_after(ends[1])
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(_private_key(authority), hashes.SHA256())
    )
    chain = [each.public_bytes(serialization.Encoding.PEM) for each in (leaf, shorter)]
    pems.cert.write_bytes(b"".join(chain))
    assert read_certificates(pems.files()).chain_expires == min(ends).timestamp()


def _private_key(authority: trustme.CA) -> EllipticCurvePrivateKey:
    key = serialization.load_pem_private_key(authority.private_key_pem.bytes(), None)
    assert isinstance(key, EllipticCurvePrivateKey)
    return key


def _cut(name: str) -> Callable[[Pems], object]:
    def cut(pems: Pems) -> None:
        path: Path = getattr(pems, name)
        path.write_bytes(path.read_bytes()[:-60])

    return cut


def _copy(source: str, target: str) -> Callable[[Pems], object]:
    return lambda pems: getattr(pems, target).write_bytes(getattr(pems, source).read_bytes())


def _replace_by_folder(pems: Pems) -> None:
    pems.key.unlink()
    pems.key.mkdir()


def _other_key(pems: Pems) -> None:
    pems.key.write_bytes(trustme.CA().issue_cert("a").private_key_pem.bytes())


def _encrypt(pems: Pems) -> None:
    key = serialization.load_pem_private_key(pems.key.read_bytes(), None)
    encryption = serialization.BestAvailableEncryption(b"secret")
    pems.key.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption))


def _reissue(**options: Any) -> Callable[[Pems], object]:
    return lambda pems: write_pems(pems.cert.parent, trustme.CA(), **options)


def _client_only(pems: Pems) -> None:
    """Write a certificate that only clients may use."""
    key = serialization.load_pem_private_key(pems.key.read_bytes(), None)
    assert isinstance(key, EllipticCurvePrivateKey)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "client")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(_NOW - _DAY)
        .not_valid_after(_NOW + _DAY)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pems.cert.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))


_WRONG: dict[str, tuple[Callable[[Pems], object], str, str]] = {
    "no certificate file": (lambda pems: pems.cert.unlink(), "--tls-cert", "cannot be read (No such file"),
    "no key file": (lambda pems: pems.key.unlink(), "--tls-key", "cannot be read (No such file"),
    "no authority file": (lambda pems: pems.ca.unlink(), "--tls-client-ca", "cannot be read (No such file"),
    "a folder": (_replace_by_folder, "--tls-key", "cannot be read (Is a directory)"),
    "empty certificate": (lambda pems: pems.cert.write_bytes(b""), "--tls-cert", "contains no valid certificate"),
    "binary certificate": (
        lambda pems: pems.cert.write_bytes(b"\xff\0"),
        "--tls-cert",
        "contains no valid certificate",
    ),
    "cut certificate": (_cut("cert"), "--tls-cert", "contains no valid certificate"),
    "empty authorities": (lambda pems: pems.ca.write_bytes(b""), "--tls-client-ca", "contains no valid certificate"),
    "key as authorities": (_copy("key", "ca"), "--tls-client-ca", "contains no valid certificate"),
    "empty key": (lambda pems: pems.key.write_bytes(b""), "--tls-key", "contains no private key: give the key as PEM"),
    "certificate as key": (_copy("cert", "key"), "--tls-key", "contains no private key"),
    "cut key": (_cut("key"), "--tls-key", "cannot be used with"),
    "key of another certificate": (_other_key, "--tls-key", "does not belong to the certificate in"),
    "encrypted key": (_encrypt, "--tls-key", "is encrypted: remove the passphrase"),
    "expired": (_reissue(not_after=_NOW - _DAY), "--tls-cert", "has a certificate that expired at"),
    "not valid yet": (_reissue(not_before=_NOW + _DAY), "--tls-cert", "has a certificate that is valid from"),
    "for clients": (_client_only, "--tls-cert", "has a certificate that clients reject (un"),
}
"""What is wrong, the setting that the message has, and the beginning of its reason."""


@pytest.mark.parametrize("name", _WRONG)
def test_wrong_file_is_reported_with_its_setting(name: str, pems: Pems) -> None:
    """In one line with the setting, its value and the next step. No part of a key is in it."""
    spoil, setting, problem = _WRONG[name]
    spoil(pems)
    with pytest.raises(SettingsInvalid) as caught:
        read_certificates(pems.files(client_ca=True))
    message = str(caught.value)
    path = {"--tls-cert": pems.cert, "--tls-key": pems.key, "--tls-client-ca": pems.ca}[setting]
    variable = f"RERANK_{setting.removeprefix('--').replace('-', '_').upper()}"
    assert message.startswith(f"{setting} or {variable} is {str(path)!r}: the file {problem}")
    assert "\n" not in message


@pytest.mark.parametrize(
    ("cert", "key", "client_ca", "message"),
    [
        ("c", None, None, "--tls-cert or RERANK_TLS_CERT is 'c': the file has no effect without --tls-key"),
        (None, "k", None, "--tls-key or RERANK_TLS_KEY is 'k': the file has no effect without --tls-cert"),
        (None, None, "a", "--tls-client-ca or RERANK_TLS_CLIENT_CA is 'a': the file has no effect without --tls-cert"),
        ("c", None, "a", "--tls-cert or RERANK_TLS_CERT is 'c': the file has no effect without --tls-key"),
    ],
)
def test_settings_that_need_each_other(cert: str | None, key: str | None, client_ca: str | None, message: str) -> None:
    """A server without TLS by mistake would be worse than none."""
    with pytest.raises(SettingsInvalid) as caught:
        tls_files(*(Path(each) if each else None for each in (cert, key, client_ca)))
    assert str(caught.value).startswith(message)


def test_tls_is_off_without_settings() -> None:
    """All three are unset."""
    assert tls_files(None, None, None) is None
