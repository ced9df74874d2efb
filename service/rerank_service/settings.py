"""Every knob, once: its flag, its variable RERANK_…, its help and its line in docs/settings.md are this page."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ByteSize, Field, PositiveInt, SecretStr, ValidationError
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from rerank_service.errors import SettingsInvalid
from rerank_service.settings_errors import sentence

KEY_SETTINGS = ("api_keys", "api_keys_file")
"""Settings that protect the server. Present but empty, they are an error: an empty value must not switch keys off."""


def _split(value: object) -> object:
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


def _keys(value: object) -> object:
    keys = _split(value)
    if isinstance(value, str) and not keys:
        raise ValueError("holds no key: give at least one, or leave the setting out to serve without keys")
    return keys


def _key_file(value: object) -> object:
    if isinstance(value, str) and not value.strip():
        raise ValueError("is empty: name a file, or leave the setting out to serve without keys")
    return value


def _iec(value: object) -> object:
    """As Kubernetes writes it: 64Mi is 64MiB."""
    return f"{value.strip()}B" if isinstance(value, str) and value.strip().endswith("i") else value


_YEAR = 365 * 24 * 60 * 60.0

Seconds = Annotated[float, Field(ge=0, le=_YEAR)]
PositiveSeconds = Annotated[float, Field(gt=0, le=_YEAR)]
Lanes = Annotated[int, Field(ge=1, le=1024)]
Port = Annotated[int, Field(ge=0, le=65535)]
MessageBytes = Annotated[int, Field(gt=0, le=1024**3)]
Bytes = Annotated[ByteSize, Field(ge=0, le=1024**4), BeforeValidator(_iec)]
Names = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)]
Secrets = Annotated[tuple[SecretStr, ...], NoDecode, BeforeValidator(_keys)]
KeyFile = Annotated[Path, BeforeValidator(_key_file)]


def without_empty(values: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out empty values, which mean "unset", as compose files and charts write them. Those of keys stay."""
    return {name: value for name, value in values.items() if value != "" or name in KEY_SETTINGS}


class _Variables(EnvSettingsSource):
    """The settings as variables."""

    def __call__(self) -> dict[str, Any]:
        return without_empty(super().__call__())


class Settings(BaseSettings):
    """Serve a reranker over gRPC and REST."""

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
        # a field may be called model: nothing of pydantic's own is meant
        protected_namespaces=(),
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - replaced by ours
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - none is read
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - likewise
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Read arguments, then variables."""
        return init_settings, _Variables(settings_cls)

    model: Path | None = None
    """Folder of the model: one that `rerank export` wrote, or one with model.onnx, tokenizer.json and config.json as
    the hub, optimum and sentence-transformers have them; or of several graphs in such a folder the one to serve. Unset:
    the bundled starter."""
    model_name: str | None = None
    """What the model is called in requests and answers. Unset: what its manifest says."""
    aliases: Names = ()
    """Other names that requests may use for the model, separated by commas."""
    hosted_names: bool = True
    """Let the names of well-known hosted rerankers, such as rerank-v3.5 or Salesforce/Llama-Rank-V1, mean the model
    served: clients have them in their code."""
    any_model: bool = False
    """Let every model name mean the model served, instead of refusing unknown ones."""

    host: str = "127.0.0.1"
    """Address to listen on; 0.0.0.0 to be reached from other machines."""
    grpc_port: Port = 50051
    """Port of gRPC; 0 lets the system choose."""
    rest_port: Port = 8080
    """Port of REST; 0 lets the system choose."""
    max_connection_age: PositiveSeconds | None = None
    """Seconds after which a gRPC connection is asked to come again, calls on it finished first, so that clients
    find replicas that were added. Unset: it may stay for ever."""
    api_keys: Secrets = ()
    """Keys that callers must send as `Authorization: Bearer KEY`, separated by commas. Unset: every caller is
    let in. Set but empty: the server does not start."""
    api_keys_file: KeyFile | None = None
    """YAML or JSON file with further keys: a list of entries with `name`, `key` or `sha256` (of the key, in hex), and
    `weight` (1 unless given): what share of the lanes each of its requests gets. Read at the start."""

    provider: Literal["auto", "cpu", "openvino", "cuda"] = "auto"
    """Where ONNX Runtime computes: cpu, openvino, cuda, or auto for the fastest that ranks as fp32 does. One asked for
    by name that does not work is an error."""
    precision: Literal["auto", "fp32", "bf16", "fp16", "int8"] = "auto"
    """What it computes in; likewise. `rerank tune` shows what each brings here."""
    tune: Literal["auto", "off"] = "auto"
    """Whether a first start measures, in the background, what auto should mean on this machine. What `rerank tune`
    found before is used either way."""
    tune_seconds: PositiveSeconds = 10.0
    """Maximum number of seconds for that measurement. More help a large model, for which 10 seconds decide nothing."""
    cache: Path = Path("~/.cache/rerank")
    """Folder for derived graphs and what was measured. Where it cannot be written, that is done again at each start."""
    lanes: Lanes | None = None
    """Batches that run at once. Unset: what was tuned, else one a core of this process's quota; two on a GPU."""
    max_batch_tokens: PositiveInt | None = None
    """Padded tokens in one batch: rows times the longest row. On a CPU few hundred keep waits short and cost nothing; a
    GPU wants many more. Unset: what was tuned, else 512; on a GPU 16384. Where the GPU has no memory for a batch, it is
    halved, and later ones are smaller."""
    max_batch_pairs: PositiveInt | None = None
    """Rows in one batch. Unset: 64; on a GPU 512."""
    length_multiple: PositiveInt | None = None
    """Rows are padded to a multiple of this many tokens. A CPU takes any; a GPU may want 8 or 16. Unset: what was
    tuned, else 4; on a GPU 8, with CUDA graphs 32."""
    cuda_graphs: bool = False
    """On a GPU: record what it does for small batches, once for each of few shapes, and replay that. It saves launches,
    which is most of what a small model costs; padding is then computed, too."""

    max_documents: PositiveInt = 10_000
    """Documents in one unary request."""
    max_stream_documents: PositiveInt = 1_000_000
    """Documents in one stream."""
    max_live_documents: PositiveInt = 100_000
    """Documents of all unary requests being ranked; beyond it requests are refused with a time to come back."""
    max_live_tokens: PositiveInt = 20_000_000
    """Tokens of all requests that are not computed yet; likewise."""
    max_query_chars: PositiveInt = 100_000
    """Characters of a query."""
    max_document_chars: PositiveInt = 1_000_000
    """Characters of a document."""
    document_tokens: PositiveInt = 8192
    """Tokens that are read of a document where a request does not say (`max_tokens_per_doc`); the rest is cut. What the
    model's length does not hold is scored in several windows."""
    window_tokens: PositiveInt | None = None
    """Tokens of a document in one of them, at most. Unset: 256 for models that take up to 512, what is left beside the
    query for others."""
    max_windows: PositiveInt = 10_000
    """Windows that the documents of one unary request may make, beyond the first of each."""
    max_message_bytes: MessageBytes = 32 * 1024 * 1024
    """Bytes of a gRPC message or an HTTP body; at most 1 GiB."""

    score_cache_bytes: Bytes = ByteSize(0)
    """Memory for scores that were computed, as 64MiB or a number of bytes: a pair asked for again is not computed
    again, nor is one that another request has running. 64MiB hold about 140,000 scores. 0: nothing is kept."""

    default_timeout: PositiveSeconds = 60.0
    """Seconds that a request may take when it brings no deadline of its own."""
    grace: Seconds = 25.0
    """Seconds that requests in flight get to finish after SIGTERM. Keep it below the pod's
    terminationGracePeriodSeconds."""
    drain_delay: Seconds = 0.0
    """Seconds between SIGTERM (readiness goes off) and the first refusal of new requests, for load balancers
    to notice."""

    log_format: Literal["auto", "console", "json"] = "auto"
    """How log lines look: console for people, json for machines, auto by whether stderr is a terminal."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """The least important lines that are logged."""
    example: bool = False
    """After the start, rank a built-in example through the server and show it."""


def read_settings(**given: Any) -> Settings:
    """Return the settings: what is given, else what the environment says.

    Raises:
        SettingsInvalid: some of it is wrong; each wrong setting is named with its value and what is allowed.
    """
    try:
        return Settings(**given)
    except ValidationError as error:
        properties = Settings.model_json_schema()["properties"]
        raise SettingsInvalid(sentence(error, properties, KEY_SETTINGS)) from error
