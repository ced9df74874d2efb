"""Settings of the port of Admin, and which of them are refused."""

import asyncio
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from rerank_service.admin_port import admin_options, bundle_folders, listening_for_admin
from rerank_service.api.auth import Keys, KnownKey, digest
from rerank_service.api.request_observation import Observing
from rerank_service.errors import SettingsInvalid
from rerank_service.models.bundle import Bundle
from rerank_service.scheduling.caller import Caller
from rerank_service.settings import Settings
from support.admin import StatedModels, admin_client


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "127.0.0.1,192.0.2.1"])
def test_open_admin_port_without_keys_is_refused(host: str) -> None:
    """With keys, or on loopback only, it is allowed. The message names the setting, the value and the fix."""
    settings = Settings(admin_port=0, admin_host=host)
    with pytest.raises(SettingsInvalid) as caught:
        admin_options(settings, Keys())
    assert str(caught.value) == (
        f"--admin-host or RERANK_ADMIN_HOST is {host}, and no API keys are set: set --api-keys-file with a key of "
        "`admin: true`, or use 127.0.0.1, so that not everyone can change the server"
    )
    options = admin_options(settings, Keys(["key"]))
    assert options is not None
    assert (options.port_flag, options.host_flag) == ("--admin-port", "--admin-host")


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost", "127.0.0.1,[::1]"])
def test_admin_port_on_loopback_needs_no_key(host: str) -> None:
    """It has the limits of the other gRPC port, and is off without a port."""
    options = admin_options(Settings(admin_port=7, admin_host=host, max_connections=3), Keys())
    assert options is not None
    assert (options.port, options.max_connections) == (7, 3)
    assert all(each.is_loopback for each in options.addresses)
    assert admin_options(Settings(admin_host=host), Keys()) is None


def test_unusable_admin_host_names_its_setting() -> None:
    """And not --host."""
    settings = Settings(admin_port=0, admin_host="nowhere.invalid")
    with pytest.raises(
        SettingsInvalid, match=r"^--admin-host or RERANK_ADMIN_HOST has 'nowhere\.invalid': the server cannot"
    ):
        admin_options(settings, Keys())


def test_wrong_bundles_root_is_refused(tmp_path: Path) -> None:
    """The message names the setting, the value and the fix. A root that is a link to / counts as /."""
    (tmp_path / "all").symlink_to("/")
    (tmp_path / "file").write_text("")
    for root, problem in (
        ("missing", "is no folder that can be read"),
        ("file", "is no folder that can be read"),
        ("all", "has all files of the machine"),
    ):
        with pytest.raises(SettingsInvalid) as caught:
            bundle_folders(Settings(bundles_root=tmp_path / root))
        assert str(caught.value) == (
            f"--bundles-root or RERANK_BUNDLES_ROOT is {str(tmp_path / root)!r}, which {problem}: "
            "give a folder with bundles"
        )


def test_bundles_root_may_be_relative(small_model: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    """Relative to the working directory at the start."""
    monkeypatch.chdir(small_model.folder.parent)
    assert bundle_folders(Settings(bundles_root=Path())).allowed("small") == small_model.folder


def _listening(settings: Settings, keys: Keys) -> AbstractAsyncContextManager[tuple[str, ...]]:
    """Serve Admin during the block, as the server does."""
    return listening_for_admin(settings, admin_options(settings, keys), StatedModels(), keys, Observing())


async def _listen(keys: Keys, **settings: Any) -> list[tuple[str, ...]]:
    """Return the targets of the port, after a call to it."""
    async with _listening(Settings(**settings), keys) as targets:
        for target in targets:
            with admin_client(target, api_key="root") as client:
                assert await asyncio.to_thread(client.bundles) == []
        return [targets]


async def test_port_is_off_by_default() -> None:
    """With other settings of Admin, too."""
    assert await _listen(Keys(), bundles_root=Path("/missing")) == [()]


async def test_port_is_on_with_a_number() -> None:
    """On all its addresses, and 0 is a free one."""
    (targets,) = await _listen(Keys(), admin_port=0, admin_host="127.0.0.1,127.0.0.2")
    assert [target.partition(":")[0] for target in targets] == ["127.0.0.1", "127.0.0.2"]


async def test_port_in_use_names_its_setting() -> None:
    """And not --grpc-port."""
    settings = Settings(admin_port=0)
    async with _listening(settings, Keys()) as (target,):
        with pytest.raises(
            SettingsInvalid, match=r"^--admin-port or RERANK_ADMIN_PORT is \d+: .*: Address already in use; give"
        ):
            await _listen(Keys(), admin_port=int(target.rpartition(":")[2]))


@pytest.mark.parametrize(("admin", "events"), [(False, ["no admin key"]), (True, [])])
async def test_keys_without_an_admin_key_are_logged(*, admin: bool, events: list[str]) -> None:
    """The file may get one later, so the server starts."""
    keys = Keys(["open"], [KnownKey(digest("a"), Caller("a", admin=admin))])
    with capture_logs() as lines:
        async with _listening(Settings(admin_port=0), keys):
            pass
    assert [line["event"] for line in lines] == events
