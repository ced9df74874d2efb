"""Arguments of commands that score with a model in this process, or with a running server."""

import argparse
from pathlib import Path
from typing import Any

from rerank_service.cli.commands import positive
from rerank_service.cli.server_arguments import add_server_arguments
from rerank_service.engine.kinds import Precision, Provider
from rerank_service.errors import SettingsInvalid


def add_model_arguments(group: argparse._ArgumentGroup) -> None:
    """Add the model, the server, and the reading of long documents."""
    group.add_argument(
        "--model",
        type=Path,
        metavar="FOLDER",
        help="model folder, or starter for the bundled starter model (default: RERANK_MODEL, else starter)",
    )
    group.add_argument(
        "--provider", choices=[provider.value for provider in Provider], help="the same as for rerank serve"
    )
    group.add_argument(
        "--precision", choices=[precision.value for precision in Precision], help="the same as for rerank serve"
    )
    add_server_arguments(group, default="no server: the model runs in this process")
    group.add_argument(
        "--max-tokens-per-doc",
        type=positive,
        metavar="N",
        help="token limit per document (default: that of the server, or RERANK_DOCUMENT_TOKENS, else 8192)",
    )
    group.add_argument(
        "--too-long",
        choices=("windows", "cut"),
        default="windows",
        help="score long documents in windows, or cut them (default: %(default)s)",
    )


def given_model(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the settings of the model that the arguments give: folder, provider, precision.

    Raises:
        SettingsInvalid: a server is given too.
    """
    given = {
        name: value for name in ("model", "provider", "precision") if (value := getattr(arguments, name)) is not None
    }
    if given and arguments.server is not None:
        raise SettingsInvalid(f"--server and --{next(iter(given))} are mutually exclusive: give one of them")
    return given
