"""All settings of the server, the only place with their defaults.

Each field is a flag, a variable RERANK_…, and a line in docs/settings.md. Its docstring is the help text.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, ByteSize, Field, SecretStr, ValidationError
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from rerank_service.errors import SettingsInvalid
from rerank_service.settings_errors import describe_errors

KEY_SETTINGS = ("api_keys", "api_keys_file")
"""Settings of API keys. An empty value is an error, because it must not switch the check of keys off."""


def _split(value: object) -> object:
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


def _keys(value: object) -> object:
    keys = _split(value)
    if isinstance(value, str) and not keys:
        raise ValueError("contains no key: give at least one key, or remove the setting to serve without keys")
    if isinstance(keys, list) and not all(key.isascii() and key.isprintable() for key in keys):
        raise ValueError(
            "contains a key that no header can carry: use printable ASCII only, and separate keys by commas"
        )
    return keys


def _utf8(value: str) -> str:
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ValueError(f"is {value!r}: give UTF-8 text") from None
    return value


def _key_file(value: object) -> object:
    if isinstance(value, str) and not value.strip():
        raise ValueError("is empty: give the path of a file, or remove the setting to serve without keys")
    return value


def _hosts(value: object) -> object:
    hosts = _split(value)
    if isinstance(value, str) and not hosts:
        raise ValueError("contains no address: give at least one, such as 127.0.0.1")
    return hosts


def _host(host: str) -> str:
    """Accept an IPv6 address in brackets, as in a URL. Require the folder of Unix sockets."""
    if host.startswith("unix:") and not host.removeprefix("unix:").strip("/"):
        raise ValueError(f"is {host!r}: give a folder, such as unix:/run/rerank")
    return host[1:-1] if host.startswith("[") and host.endswith("]") else host


def _kubernetes_size(value: object) -> object:
    """Convert a size in the notation of Kubernetes, such as 64Mi, to the notation of pydantic, 64MiB."""
    return f"{value.strip()}B" if isinstance(value, str) and value.strip().endswith("i") else value


_YEAR = 365 * 24 * 60 * 60.0

Seconds = Annotated[float, Field(ge=0, le=_YEAR)]
PositiveSeconds = Annotated[float, Field(gt=0, le=_YEAR)]
Lanes = Annotated[int, Field(ge=1, le=1024)]
Count = Annotated[int, Field(gt=0, le=2**31 - 1)]
"""A positive number that fits every message, for example int32 in gRPC."""
Port = Annotated[int, Field(ge=0, le=65535)]
MessageBytes = Annotated[int, Field(gt=0, le=1024**3)]
Bytes = Annotated[ByteSize, Field(ge=0, le=1024**4), BeforeValidator(_kubernetes_size)]
Text = Annotated[str, AfterValidator(_utf8)]
Host = Annotated[Text, AfterValidator(_host)]
Hosts = Annotated[tuple[Host, ...], NoDecode, BeforeValidator(_hosts)]
Names = Annotated[tuple[Text, ...], NoDecode, BeforeValidator(_split)]
Secrets = Annotated[tuple[SecretStr, ...], NoDecode, BeforeValidator(_keys)]
KeyFile = Annotated[Path, BeforeValidator(_key_file)]


def without_empty(values: Mapping[str, Any]) -> dict[str, Any]:
    """Remove empty values: compose files and Helm charts write them for unset settings. Empty key settings stay."""
    return {name: value for name, value in values.items() if value != "" or name in KEY_SETTINGS}


class _Variables(EnvSettingsSource):
    """Settings from environment variables. An empty variable is unset."""

    def __call__(self) -> dict[str, Any]:
        return without_empty(super().__call__())


class Settings(BaseSettings):
    """Settings of `rerank serve`."""

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

    model: Path | None = None
    """Model to serve: a bundle that `rerank export` wrote, a hub folder (model.onnx, tokenizer.json and config.json),
    or one of the graphs in a hub folder. Unset: the bundled starter model. Example: out/my-model."""
    model_name: Text | None = None
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

    host: Hosts = ("127.0.0.1",)
    """Addresses to listen on, for gRPC and REST, separated by commas: IP addresses, host names, and unix:FOLDER for the
    Unix sockets grpc.sock and rest.sock in an existing folder. :: means all interfaces by IPv6 and IPv4, 0.0.0.0 all
    interfaces by IPv4, localhost both loopback addresses. Example: 127.0.0.1,unix:/run/rerank."""
    grpc_port: Port = 50051
    """TCP port of gRPC on all addresses, from 0 to 65535. 0: the system chooses a free port."""
    rest_port: Port = 8080
    """TCP port of REST on all addresses, from 0 to 65535. 0: the system chooses a free port."""
    max_connection_age: PositiveSeconds | None = None
    """Maximum age of a gRPC connection, in seconds. An older connection is closed gracefully (GOAWAY): its calls
    finish, and clients that reconnect find new replicas. Unset: no maximum. Example: 300."""
    min_ping_interval: Seconds = 5.0
    """Minimum time between two keepalive pings of a gRPC client, in seconds, with and without running calls. A client
    that pings more often is disconnected with `too_many_pings`. 0: no minimum."""
    keepalive_time: PositiveSeconds | None = None
    """Time without traffic after which the server pings a gRPC client, in seconds. A client that does not respond
    within 20 s is disconnected. Unset: 2 hours. Set it below the idle timeout of a load balancer. Example: 60."""
    rest_idle_timeout: PositiveSeconds = 75.0
    """Time without a request after which a REST connection is closed, in seconds. Set it above the idle timeout of a
    load balancer, which otherwise sends requests on connections that are just being closed."""
    api_keys: Secrets = ()
    """API keys, separated by commas. Callers send one as `Authorization: Bearer KEY`. Unset, and without
    --api-keys-file: no key is required. Empty: the server does not start."""
    api_keys_file: KeyFile | None = None
    """YAML or JSON file with more API keys, read at the start: a list of entries with `name`, `key` or `sha256` (of the
    key, in hex), and optionally `weight`, from 0.01 to 100. With weight 2, a request gets twice the share of the lanes
    that it gets with weight 1, the default."""

    provider: Literal["auto", "cpu", "openvino", "cuda"] = "auto"
    """Part of ONNX Runtime that computes. auto: the provider of the fastest engine whose ranking matches fp32. A
    provider that is set and does not work here is an error."""
    precision: Literal["auto", "fp32", "bf16", "fp16", "int8"] = "auto"
    """Number format of the computation. auto: the precision of the fastest engine whose ranking matches fp32. `rerank
    tune` shows the speed of each one on this machine."""
    tune: Literal["auto", "off"] = "auto"
    """auto: the first start measures the engines in the background, to find the fastest for `auto`. off: no
    measurement. Results of earlier measurements and of `rerank tune` are used in both cases."""
    tune_seconds: PositiveSeconds = 10.0
    """Maximum time of that measurement, in seconds. A large model may need more than the default for a result."""
    cache: Path = Path("~/.cache/rerank")
    """Folder for tuning results and derived graphs. If it cannot be written, each start measures and derives again."""
    lanes: Lanes | None = None
    """Number of batches that run at the same time, from 1 to 1024. Unset: the tuned number, else one per core that the
    process may use; on a GPU 2."""
    max_batch_tokens: Count | None = None
    """Maximum size of a batch in padded tokens: pairs times tokens of the longest pair. A small batch keeps waiting
    times short. Unset: the tuned number, else 512; on a GPU 16,384. On a GPU without enough memory for a batch, the
    server halves the batch, and makes later batches smaller."""
    max_batch_pairs: Count | None = None
    """Maximum number of pairs in a batch. Unset: 64; on a GPU 512."""
    length_multiple: Count | None = None
    """Pairs are padded to a multiple of this number of tokens. A GPU may be faster with 8 or 16. Unset: the tuned
    number, else 4; on a GPU 8, with CUDA graphs 32."""
    cuda_graphs: bool = False
    """On a GPU, record the computation of small batches once per shape as a CUDA graph, and replay it. This saves
    kernel launches, most of the time of a small model, but computes the padding, too."""

    max_documents: Count = 10_000
    """Maximum number of documents in a unary request."""
    max_stream_documents: Count = 1_000_000
    """Maximum number of documents in a stream."""
    max_live_documents: Count = 100_000
    """Maximum number of documents in all unary requests that are not finished. The server rejects a request beyond it
    as overloaded (429), with the time to retry after. It bounds memory, about 1 KiB per short document."""
    max_live_tokens: Count = 20_000_000
    """Maximum number of tokens that are not computed yet, over all requests. The server rejects a request beyond it as
    overloaded (429), with the time to retry after. It bounds waiting time."""
    max_query_chars: Count = 100_000
    """Maximum length of a query, in characters."""
    max_document_chars: Count = 1_000_000
    """Maximum length of a document, in characters."""
    document_tokens: Count = 8192
    """Token limit per document for requests that do not set `max_tokens_per_doc`. The rest of the document is cut. A
    document that exceeds the token limit of the model is scored in windows."""
    window_tokens: Count | None = None
    """Maximum size of a window, in tokens of the document. Unset: 256 for models of up to 512 tokens; for other models,
    the space beside the query."""
    max_windows: Count = 10_000
    """Maximum number of windows in a unary request, not counting the first window of each document."""
    max_message_bytes: MessageBytes = 32 * 1024 * 1024
    """Maximum size of a gRPC message or an HTTP body, in bytes, up to 1 GiB."""

    score_cache_bytes: Bytes = ByteSize(0)
    """Memory for scores of earlier pairs: a number of bytes, or a size such as 64MiB, which holds about 140,000 scores.
    With a cache, a pair that two requests need at the same time is computed once. 0: no cache."""

    default_timeout: PositiveSeconds = 60.0
    """Deadline of requests that set none, in seconds after their arrival."""
    grace: Seconds = 25.0
    """Grace period: time for accepted requests to finish after SIGTERM and --drain-delay, in seconds. Keep the sum of
    both below terminationGracePeriodSeconds of the pod."""
    drain_delay: Seconds = 0.0
    """Time between SIGTERM, when the server stops being ready, and the first rejection of a new request, in seconds.
    Load balancers need it to notice. Example: 5."""

    log_format: Literal["auto", "console", "json"] = "auto"
    """Format of log lines: console for people, json for machines. auto: console if stderr is a terminal, else json."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """Minimum level of log lines."""
    example: bool = False
    """After the start, rank a built-in example through the server and print the result."""


def read_settings(**given: Any) -> Settings:
    """Return the settings: the given values, then those of the environment, then the defaults.

    Raises:
        SettingsInvalid: a value is wrong. The message names each wrong setting, its value and the allowed values.
    """
    try:
        return Settings(**given)
    except ValidationError as error:
        properties = Settings.model_json_schema()["properties"]
        raise SettingsInvalid(describe_errors(error, properties, KEY_SETTINGS)) from error
