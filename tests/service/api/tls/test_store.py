"""Certificates that are renewed while the server runs."""

import os
from pathlib import Path

import pytest
import structlog
import trustme

from rerank_service.api.tls.store import CertificateStore
from rerank_service.errors import SettingsInvalid
from support.descriptors import no_free_descriptors
from support.tls import SecretVolume, write_pems


@pytest.fixture
def authority() -> trustme.CA:
    """Return an authority."""
    return trustme.CA()


def test_unchanged_files_are_not_read_again(tmp_path: Path, authority: trustme.CA) -> None:
    """Each connection asks."""
    store = CertificateStore(write_pems(tmp_path / "tls", authority).files())
    assert store.current() is store.current()


def test_changed_files_are_read(tmp_path: Path, authority: trustme.CA) -> None:
    """Files that are written again, as by certbot."""
    store = CertificateStore(write_pems(tmp_path / "tls", authority).files(client_ca=True))
    first = store.current()
    pems = write_pems(tmp_path / "tls", authority)
    with structlog.testing.capture_logs() as logged:
        assert store.current().chain == pems.cert.read_bytes() != first.chain
    assert [(entry["event"], entry["cert"]) for entry in logged] == [("TLS files reloaded", str(pems.cert))]


def test_swapped_link_is_followed(tmp_path: Path, authority: trustme.CA) -> None:
    """Kubernetes replaces the folder that the files of a Secret are linked to."""
    volume = SecretVolume(tmp_path / "secret", authority)
    store = CertificateStore(volume.pems.files())
    first = store.current()
    volume.rotate(authority)
    assert store.current().chain != first.chain


@pytest.mark.parametrize("content", [None, b"", b"not PEM"])
def test_wrong_files_keep_the_certificates_from_before(
    content: bytes | None, tmp_path: Path, authority: trustme.CA
) -> None:
    """The log says why, once. Right files are read afterwards."""
    pems = write_pems(tmp_path / "tls", authority)
    store = CertificateStore(pems.files())
    first = store.current()
    if content is None:
        pems.cert.unlink()
    else:
        pems.cert.write_bytes(content)
    with structlog.testing.capture_logs() as logged:
        assert [store.current(), store.current()] == [first, first]
    ((event, level, why),) = [(entry["event"], entry["log_level"], entry["why"]) for entry in logged]
    assert (event, level) == ("TLS files not reloaded", "error")
    assert why.startswith(f"--tls-cert or RERANK_TLS_CERT is {str(pems.cert)!r}")
    write_pems(tmp_path / "tls", authority)
    assert store.current().chain == pems.cert.read_bytes()


def test_files_that_could_not_be_read_are_read_again(tmp_path: Path, authority: trustme.CA) -> None:
    """Without a free descriptor, for example. A removed authority would stay trusted until the next change."""
    store = CertificateStore(write_pems(tmp_path / "tls", authority).files())
    first = store.current()
    pems = write_pems(tmp_path / "tls", authority)
    with structlog.testing.capture_logs() as logged:
        with no_free_descriptors():
            kept = [store.current() for _ in range(3)]
        assert kept == [first] * 3
        assert store.current().chain == pems.cert.read_bytes()
    assert [line["event"] for line in logged] == ["TLS files not reloaded", "TLS files reloaded"]
    assert "cannot be read (Too many open files)" in logged[0]["why"]
    assert store.up_to_date()
    assert store.current() is store.current()


@pytest.mark.parametrize("name", ["cert", "key"])
def test_fifo_in_place_of_a_file_keeps_the_certificates(tmp_path: Path, authority: trustme.CA, name: str) -> None:
    """A read of it would wait for its writer, and with it all connections."""
    pems = write_pems(tmp_path / "tls", authority)
    store = CertificateStore(pems.files())
    first, path = store.current(), getattr(pems, name)
    path.unlink()
    os.mkfifo(path)
    with structlog.testing.capture_logs() as logged:
        assert store.current() is first
    assert "it is not a regular file" in logged[0]["why"]
    new = write_pems(tmp_path / "tls.new", authority)
    path.unlink()
    for each in ("cert", "key"):
        getattr(pems, each).write_bytes(getattr(new, each).read_bytes())
    assert store.current().chain == new.cert.read_bytes()


def test_certificate_and_key_may_change_one_after_the_other(tmp_path: Path, authority: trustme.CA) -> None:
    """Between the two, the certificates from before are used."""
    pems = write_pems(tmp_path / "tls", authority)
    store = CertificateStore(pems.files())
    first, new = store.current(), write_pems(tmp_path / "new", authority)
    pems.cert.write_bytes(new.cert.read_bytes())
    assert store.current() is first
    pems.key.write_bytes(new.key.read_bytes())
    assert store.current().key == new.key.read_bytes()


def test_wrong_files_end_the_start(tmp_path: Path, authority: trustme.CA) -> None:
    """There are no certificates from before."""
    pems = write_pems(tmp_path / "tls", authority)
    pems.key.unlink()
    with pytest.raises(SettingsInvalid, match="--tls-key"):
        CertificateStore(pems.files())
