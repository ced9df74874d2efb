"""Base of the groups of settings: how values are read from variables."""

from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic_settings import BaseSettings, EnvSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

KEY_SETTINGS = ("api_keys", "api_keys_file")
"""Settings of API keys. Error messages hide their values."""
PROTECTING_SETTINGS = (*KEY_SETTINGS, "tls_cert", "tls_key", "tls_client_ca")
"""Settings whose empty value is an error, because it must not switch the check of keys or TLS off."""


def without_empty(values: Mapping[str, Any]) -> dict[str, Any]:
    """Remove empty values: compose files and Helm charts write them for unset settings. Empty protecting settings
    stay."""
    return {name: value for name, value in values.items() if value != "" or name in PROTECTING_SETTINGS}


class _Variables(EnvSettingsSource):
    """Settings from environment variables. An empty variable is unset."""

    def __call__(self) -> dict[str, Any]:
        return without_empty(super().__call__())


class SettingsGroup(BaseSettings):
    """A group of settings.

    Each field is a flag, a variable RERANK_…, and a line in docs/settings.md. Its docstring is the help text.
    """

    heading: ClassVar[str]
    """Heading of the group in `rerank serve --help` and docs/settings.md."""

    model_config = SettingsConfigDict(
        env_prefix="RERANK_",
        frozen=True,
        hide_input_in_errors=True,
        extra="forbid",
        use_attribute_docstrings=True,
        cli_kebab_case=True,
        cli_implicit_flags=True,
        cli_hide_none_type=True,
        cli_avoid_json=True,
        # allow fields whose names begin with model: they hide nothing of pydantic
        protected_namespaces=(),
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - replaced by _Variables
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - no .env file is read
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - no secret file is read
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Read arguments first, then variables."""
        return init_settings, _Variables(settings_cls)
