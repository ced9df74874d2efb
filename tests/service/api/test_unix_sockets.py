"""Files of Unix sockets."""

import socket
from pathlib import Path
from stat import S_IMODE

import pytest

from rerank_service.api.unix_sockets import claim, listening_unix_socket, removed_at_end
from rerank_service.errors import SettingsInvalid


def test_every_user_of_the_folder_may_connect(tmp_path: Path) -> None:
    """A proxy in the same pod often runs as another user. The umask does not matter."""
    path = tmp_path / "rest.sock"
    with listening_unix_socket(path) as listener:
        assert S_IMODE(path.stat().st_mode) == 0o666
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))
            listener.accept()[0].close()


def test_file_of_a_killed_server_is_replaced(tmp_path: Path) -> None:
    """The file stays when a server is killed."""
    path = tmp_path / "grpc.sock"
    listening_unix_socket(path).close()
    assert path.is_socket()
    claim(path)
    assert not path.exists()
    listening_unix_socket(path).close()


def test_file_of_a_running_server_is_kept(tmp_path: Path) -> None:
    """gRPC alone would remove it, and the running server would be lost."""
    path = tmp_path / "grpc.sock"
    with listening_unix_socket(path):
        for _ in range(2):
            with pytest.raises(SettingsInvalid, match=rf"{path}: another server listens on it; give another folder"):
                claim(path)
        assert path.is_socket()


def test_unusable_path_is_rejected(tmp_path: Path) -> None:
    """The message has the path and the next step."""
    other = tmp_path / "rest.sock"
    other.write_text("text")
    with pytest.raises(SettingsInvalid, match="the file exists and is no socket"):
        claim(other)
    assert other.read_text() == "text"
    with pytest.raises(SettingsInvalid, match=f"{other} is not a folder; create it, or give another"):
        claim(other / "grpc.sock")
    with pytest.raises(SettingsInvalid, match="the path is longer than 107 bytes"):
        claim(tmp_path / ("x" * 107) / "grpc.sock")


def test_file_is_removed_at_the_end(tmp_path: Path) -> None:
    """The file of another server stays, and a missing file is no error."""
    path = tmp_path / "rest.sock"
    with listening_unix_socket(path), removed_at_end(path):
        assert path.exists()
    assert not path.exists()
    with listening_unix_socket(path), removed_at_end(path):
        path.unlink()
    with listening_unix_socket(path) as old, removed_at_end(path):
        path.rename(tmp_path / "old.sock")
        old.close()
        new = listening_unix_socket(path)
    assert path.is_socket()
    new.close()
