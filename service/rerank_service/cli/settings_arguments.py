"""Settings of the server as flags, for `rerank serve` and `rerank doctor`."""

import argparse
import os
from typing import Any, Literal, get_args, get_origin

from pydantic_settings import CliSettingsSource

from rerank_service.cli.server_arguments import API_KEY, CLIENT_VARIABLES
from rerank_service.cli.service_links import is_service_link
from rerank_service.cli.settings_help import default_text, groups
from rerank_service.settings import Settings, read_settings, without_empty
from rerank_service.suggestion import nearest_name

_METAVARS = {
    "Path": "FOLDER",
    "str": "TEXT",
    "int": "N",
    "float": "SECONDS",
    "ByteSize": "BYTES",
    "tuple[str,...]": "NAME,NAME",
    "tuple[SecretStr,...]": "KEY,KEY",
}
"""Name of a value in --help, by its Python type."""
_METAVAR_OF = {
    "api_keys_file": "FILE",
    "tls_cert": "FILE",
    "tls_key": "FILE",
    "tls_client_ca": "FILE",
    "host": "ADDRESS,ADDRESS",
    "cors_origins": "ORIGIN,ORIGIN",
    "forwarded_allow_ips": "ADDRESS,ADDRESS",
}
"""Name of the value of a setting for which the type says too little."""


class _Flags(CliSettingsSource[Settings]):
    """Settings from flags."""

    def _metavar_format(self, obj: Any) -> str:
        """Return the name of a value, such as SECONDS instead of float."""
        type_name = super()._metavar_format(obj)
        return _METAVARS.get(type_name, type_name)

    def _help_format(self, field_name: str, *_arguments: Any, **_options: Any) -> str:
        """Return the docstring of a setting with its default. The docstring of an unset setting explains it."""
        description, default = Settings.model_fields[field_name].description or "", default_text(field_name)
        return f"{description} (default: {default})".replace("%", "%%") if default else description.replace("%", "%%")


def add_settings(parser: argparse.ArgumentParser) -> None:
    """Add a flag for each setting, in its group."""
    group_of = {}
    for heading, names in groups().items():
        group_of.update(dict.fromkeys(names, parser.add_argument_group(heading)))

    def add_flag(_parser: Any, *flags: str, dest: str, **options: Any) -> None:
        if dest in _METAVAR_OF:
            options["metavar"] = _METAVAR_OF[dest]
        action = group_of[dest].add_argument(*flags, dest=dest, **options)
        if values := allowed_words(dest):
            action.completer = lambda **_: values  # type: ignore[attr-defined]  # argcomplete reads it

    parser.set_defaults(settings=_Flags(Settings, root_parser=parser, add_argument_method=add_flag))


def allowed_words(name: str) -> list[str]:
    """Return the values of a setting that has a few words as values, such as `cpu`; none for other settings."""
    annotation = Settings.model_fields[name].annotation
    if annotation is bool:
        return ["true", "false"]
    return list(get_args(annotation)) if get_origin(annotation) is Literal else []


def given_settings(arguments: argparse.Namespace) -> Settings:
    """Return the settings: those of flags, then those of variables, then the defaults.

    Raises:
        SettingsInvalid: as in `read_settings`.
    """
    return read_settings(_cli_settings_source=arguments.settings(parsed_args=without_empty(vars(arguments))))


def unknown_variables(settings: Settings) -> dict[str, str | None]:
    """Return the variables RERANK_… without effect, each with the known variable that is nearest to it, if any.

    RERANK_API_KEY instead of RERANK_API_KEYS would leave the server open. Those of Kubernetes are left out.
    """
    known = {f"RERANK_{name.upper()}" for name in Settings.model_fields}
    has_keys = bool(settings.api_keys or settings.api_keys_file)
    ignored = known.union(CLIENT_VARIABLES) - (set() if has_keys else {API_KEY})
    names = (name for name in sorted(os.environ.keys() - ignored) if name.startswith("RERANK_"))
    return {name: nearest_name(name, known) for name in names if not is_service_link(name, os.environ[name])}
