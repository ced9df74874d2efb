"""Settings of the served model and its names."""

from pathlib import Path
from typing import ClassVar

from rerank_service.settings.field_types import Digest, ModelName, Names
from rerank_service.settings.group import SettingsGroup


class ModelSettings(SettingsGroup):
    """Settings of the served model and its names."""

    heading: ClassVar[str] = "Model"

    model: Path | None = None
    """Model to serve: a bundle that `rerank export` wrote, a hub folder (model.onnx, tokenizer.json and config.json),
    or one of the graphs in a hub folder. Unset, and `starter` unless there is a folder of that name: the bundled
    starter model. Example: out/my-model."""
    model_digest: Digest | None = None
    """Digest that the bundle of --model must have: 64 hexadecimal digits, as `rerank models --wide` shows them. The
    server rejects any other bundle. Unset: any digest."""
    models: Path | None = None
    """Several models to serve: a models file (YAML or JSON), or a folder of bundles. It replaces --model, --model-name,
    --aliases and --model-digest. docs/models-file.md describes the file. Example: /etc/rerank/models.yaml."""
    watch: bool = False
    """Load new versions of the models, without a restart, when the files of --models or --model change."""
    model_name: ModelName | None = None
    """Name of the model in requests and responses. Unset: the name in its manifest."""
    aliases: Names = ()
    """Other names for the model in requests, separated by commas. Example: reranker,bge."""
    hosted_names: bool = True
    """Accept the names of hosted rerankers, such as rerank-v3.5, for the served model: well-known names, and names that
    match --hosted-name-patterns. Many clients have such a name in their code."""
    hosted_name_patterns: Names = (
        "*rerank*[0-9]*",
        "*zerank-[0-9]*",
        "*llama-rank-v[0-9]*",
        "*semantic-ranker-*",
        "*jina-colbert-v[0-9]*",
    )
    """Patterns of hosted names, separated by commas: `*` stands for any characters, `[0-9]` for a digit. Upper and
    lower case are equal. A typo of a name of the served model is rejected (404), even if it matches."""
    any_model: bool = False
    """Accept every model name for the served model. Otherwise, unknown names are rejected (404)."""
