"""Settings from flags and environment variables. Covers settings/, settings_errors.py and cli/settings_help.py."""

import re
from pathlib import Path

import pytest
from pydantic import ValidationError

from rerank_service.cli import settings_help
from rerank_service.engine.kinds import Precision, Provider
from rerank_service.errors import SettingsInvalid
from rerank_service.settings import KEY_SETTINGS, PROTECTING_SETTINGS, Settings, read_settings

SECONDS = (
    "max_connection_age",
    "min_ping_interval",
    "keepalive_time",
    "rest_idle_timeout",
    "header_timeout",
    "progress_timeout",
    "grpc_idle_timeout",
    "default_timeout",
    "grace",
    "drain_delay",
)


def test_provider_and_precision_have_the_values_of_the_engines() -> None:
    """The settings have a literal of their own, because they import no package."""
    properties = Settings.model_json_schema()["properties"]
    assert properties["provider"]["enum"] == [provider.value for provider in Provider]
    assert properties["precision"]["enum"] == [precision.value for precision in Precision]


def test_a_variable_sets_each_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    """RERANK_ and the name of the setting. Lists are separated by commas."""
    monkeypatch.setenv("RERANK_GRPC_PORT", "1234")
    monkeypatch.setenv("RERANK_API_KEYS", "a, b")
    monkeypatch.setenv("RERANK_ANY_MODEL", "true")
    settings = Settings()
    assert (settings.grpc_port, settings.any_model) == (1234, True)
    assert [key.get_secret_value() for key in settings.api_keys] == ["a", "b"]


def test_a_flag_overrides_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    """The variable applies only without the flag."""
    monkeypatch.setenv("RERANK_GRPC_PORT", "1234")
    assert Settings(_cli_parse_args=["--grpc-port", "99", "--aliases", "x,y"]).grpc_port == 99


def test_keys_are_not_printed() -> None:
    """So that they appear in no log line and no traceback."""
    assert "sesame" not in repr(Settings(api_keys=("sesame",)))


def test_an_empty_variable_is_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compose files and Helm charts leave variables without a value empty."""
    for name in Settings.model_fields.keys() - set(PROTECTING_SETTINGS):
        monkeypatch.setenv(f"RERANK_{name.upper()}", "")
    assert Settings() == Settings.model_construct()
    assert Settings().model is None


@pytest.mark.parametrize("value", ["", " ", ",", " , ,", "\n"])
def test_empty_key_settings_are_rejected(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty value must not switch the check of keys off."""
    for name in KEY_SETTINGS:
        monkeypatch.setenv(f"RERANK_{name.upper()}", value)
    with pytest.raises(SettingsInvalid, match="--api-keys or RERANK_API_KEYS contains no key"):
        read_settings()
    monkeypatch.delenv("RERANK_API_KEYS")
    if not value.strip():
        with pytest.raises(SettingsInvalid, match="--api-keys-file or RERANK_API_KEYS_FILE is empty"):
            read_settings()


@pytest.mark.parametrize("name", ["tls_cert", "tls_key", "tls_client_ca"])
def test_empty_tls_settings_are_rejected(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty value must not switch TLS or the check of client certificates off."""
    monkeypatch.setenv(f"RERANK_{name.upper()}", "")
    with pytest.raises(SettingsInvalid, match=f"RERANK_{name.upper()} is empty: give the path of a PEM file"):
        read_settings()


@pytest.mark.parametrize("key", ["first\nsecond", "ключ", "a\0b", "\udcff"])
def test_keys_that_no_header_can_carry_are_rejected(key: str) -> None:
    """No client could send them. The message hides the key."""
    with pytest.raises(SettingsInvalid, match="contains a key that no header can carry") as caught:
        read_settings(api_keys=f"good,{key}")
    assert key not in str(caught.value)


@pytest.mark.parametrize("name", ["model_name", "aliases", "host"])
def test_text_that_is_not_utf8_is_rejected(name: str) -> None:
    """Every response with this text would fail. Python reads a wrong byte of a variable as a surrogate."""
    with pytest.raises(SettingsInvalid, match="give UTF-8 text"):
        read_settings(**{name: "\udcff"})


@pytest.mark.parametrize("setting", ["model_name", "aliases"])
@pytest.mark.parametrize(
    "name",
    ["a\nb", "a\x1b[2J", "a\0b", "\u202eb", " a", "a" * 129],
    ids=["line", "escape", "nul", "bidi", "space", "long"],
)
def test_names_of_models_are_printable(setting: str, name: str) -> None:
    """They are in log lines, metrics and error messages. The message about them is one short line."""
    given = (name,) if setting == "aliases" else name
    with pytest.raises(SettingsInvalid, match="give 1 to 128 printable characters") as caught:
        read_settings(**{setting: given})
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("grpc_port", "abc", "a whole number from 0 to 65535"),
        ("grpc_port", "70000", "a whole number from 0 to 65535"),
        ("max_documents", "0", "a whole number above 0 and at most 2147483647"),
        ("grace", "nan", "a number from 0 to 31536000"),
        ("max_connection_age", "0", "a number above 0 and at most 31536000"),
        ("any_model", "perhaps", "true or false"),
        ("provider", "tpu", "auto, cpu, openvino or cuda"),
        ("score_cache_bytes", "much", "a number of bytes, or a size such as 64MiB, from 0 to 1099511627776 bytes"),
    ],
)
def test_a_wrong_value_is_reported_with_the_allowed_values(
    name: str, value: str, allowed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message begins with the flag and the variable."""
    monkeypatch.setenv(f"RERANK_{name.upper()}", value)
    with pytest.raises(SettingsInvalid) as caught:
        read_settings()
    flag = f"--{name.replace('_', '-')}"
    assert str(caught.value) == f"{flag} or RERANK_{name.upper()} is {value!r}: give {allowed}"


@pytest.mark.parametrize(
    "wrong",
    [
        {"grpc_port": 70000},
        {"lanes": 0},
        {"provider": "tpu"},
        {"grace": -1},
        {"max_connection_age": 0},
        {"max_connection_age": 366 * 24 * 60 * 60},
        {"max_message_bytes": 0},
        {"max_message_bytes": 2**30 + 1},
        {"max_documents": 2**31},
        *({"score_cache_bytes": value} for value in (-1, "64 miles", 2**40 + 1)),
        *({name: value} for name in SECONDS for value in ("nan", "inf", "-inf", "1e400")),
    ],
)
def test_values_out_of_bounds_are_rejected(wrong: dict[str, object]) -> None:
    """At the start, not at the first request."""
    with pytest.raises(ValidationError):
        Settings(**wrong)  # type: ignore[arg-type]


def test_the_largest_values_are_accepted() -> None:
    """The bounds belong to the range."""
    settings = Settings(max_connection_age=365 * 24 * 60 * 60, max_message_bytes=2**30)
    assert (settings.max_connection_age, settings.max_message_bytes) == (31_536_000, 1_073_741_824)


@pytest.mark.parametrize(
    ("value", "count"), [("1024", 1024), ("64MiB", 64 * 1024**2), ("64Mi", 64 * 1024**2), ("2 GB", 2 * 10**9)]
)
def test_sizes_are_accepted_in_each_notation(value: str, count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A number of bytes, and sizes with units, also in the notation of Kubernetes."""
    monkeypatch.setenv("RERANK_SCORE_CACHE_BYTES", value)
    assert Settings().score_cache_bytes == count


@pytest.mark.parametrize("value", ["abc", "0" * 63, "0" * 63 + "g", " " * 64])
def test_wrong_digests_are_rejected(value: str) -> None:
    """The message says where the right one is."""
    with pytest.raises(
        SettingsInvalid, match=f"RERANK_MODEL_DIGEST is '{value}': give 64 hexadecimal digits, as `rerank"
    ):
        read_settings(model_digest=value)


def test_every_setting_has_a_description() -> None:
    """--help and docs/settings.md show it."""
    assert all(field.description for field in Settings.model_fields.values())


@pytest.mark.parametrize("page", ["docs/threat-model.md", "docs/keys.md", "SECURITY.md"])
def test_security_pages_name_settings_that_exist(page: str) -> None:
    """Flags and variables. `--trust-remote-code` belongs to `rerank export`."""
    text = (Path(__file__).parents[2] / page).read_text()
    flags = set(re.findall(r"(?<![\w-])--([a-z][a-z-]+)", text)) - {"trust-remote-code"}
    variables = set(re.findall(r"RERANK_([A-Z_]+)", text))
    named = {flag.replace("-", "_") for flag in flags} | {variable.lower() for variable in variables}
    assert named <= Settings.model_fields.keys()


def test_every_setting_is_in_a_group_of_the_help() -> None:
    """The groups of the help have the order of the fields."""
    groups = settings_help.groups()
    assert [name for names in groups.values() for name in names] == list(Settings.model_fields)
    assert "" not in groups


@pytest.mark.parametrize(
    ("name", "default"),
    [
        ("model", ""),
        ("aliases", ""),
        ("any_model", "false"),
        ("grace", "25"),
        ("lanes", ""),
        (
            "hosted_name_patterns",
            "*rerank*[0-9]*,*zerank-[0-9]*,*llama-rank-v[0-9]*,*semantic-ranker-*,*jina-colbert-v[0-9]*",
        ),
    ],
)
def test_defaults_are_shown_as_a_variable_takes_them(name: str, default: str) -> None:
    """Without the notation of Python, such as True or ()."""
    assert settings_help.default_text(name) == default


@pytest.mark.parametrize(
    ("text", "hosts"),
    [
        ("[::1]", ("::1",)),
        ("127.0.0.1, [::1]", ("127.0.0.1", "::1")),
        ("localhost,unix:/run/rerank", ("localhost", "unix:/run/rerank")),
        ("", ("127.0.0.1",)),
    ],
)
def test_several_hosts(text: str, hosts: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    """They are separated by commas. An IPv6 address may have brackets, as in a URL."""
    monkeypatch.setenv("RERANK_HOST", text)
    assert Settings().host == hosts


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (",", "contains no address"),
        ("unix:", "give a folder"),
        ("::1,unix:///", "give a folder"),
        *((text, "without a port") for text in ("127.0.0.1:8080", "localhost:", "[::1]:80", "::1,[::]:80")),
    ],
)
def test_wrong_hosts_are_rejected(text: str, problem: str) -> None:
    """The message has the flag."""
    with pytest.raises(SettingsInvalid, match=f"--host or RERANK_HOST .*{problem}"):
        read_settings(host=text)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (",", "contains no address"),
        (
            "unix:/run/rerank",
            "is 'unix:/run/rerank': give an IP address or a host name",
        ),
        ("0.0.0.0:50052", "is '0.0.0.0:50052': give the address without a port, which --admin-port sets"),
    ],
)
def test_wrong_admin_hosts_are_rejected(text: str, problem: str) -> None:
    """An IPv6 address may have brackets."""
    with pytest.raises(SettingsInvalid, match=f"--admin-host or RERANK_ADMIN_HOST .*{problem}"):
        read_settings(admin_host=text)
    assert read_settings(admin_host="[::1]").admin_host == ("::1",)


@pytest.mark.parametrize(
    ("text", "origins"),
    [
        ("https://a.example, http://localhost:3000", ("https://a.example", "http://localhost:3000")),
        ("HTTPS://A.Example,http://[::1]:8000", ("https://a.example", "http://[::1]:8000")),
        ("https://a.example:443,http://b.example:80", ("https://a.example", "http://b.example")),
        ("*", ("*",)),
        ("", ()),
    ],
)
def test_origins(text: str, origins: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    """As browsers send them: in lower case, without the default port. Unset, there are none."""
    monkeypatch.setenv("RERANK_CORS_ORIGINS", text)
    assert Settings().cors_origins == origins


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("https://a.example/", "has 'https://a.example/': give origins without path"),
        ("https://a.example/app", "give origins without path"),
        ("a.example", "give origins without path"),
        ("https://*.example", "give origins without path"),
        ("https://user@a.example", "give origins without path"),
        ("https://münchen.example", "give origins without path"),
        ("null", "give origins without path"),
        ("*,https://a.example", r"has \* beside other origins"),
    ],
)
def test_wrong_origins_are_rejected(text: str, problem: str) -> None:
    """No browser would send them, so no page would be allowed."""
    with pytest.raises(SettingsInvalid, match=f"--cors-origins or RERANK_CORS_ORIGINS .*{problem}"):
        read_settings(cors_origins=text)


@pytest.mark.parametrize(
    ("text", "proxies"),
    [
        ("10.0.0.0/8, ::1", ("10.0.0.0/8", "::1")),
        ("10.1.2.3/8", ("10.1.2.3/8",)),
        ("*", ("*",)),
        ("", ("127.0.0.1", "::1")),
    ],
)
def test_trusted_proxies(text: str, proxies: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    """Addresses and networks, separated by commas."""
    monkeypatch.setenv("RERANK_FORWARDED_ALLOW_IPS", text)
    assert Settings().forwarded_allow_ips == proxies


@pytest.mark.parametrize("text", ["10.0.0.0/33", "proxy.example.com", "10.0.0", "127.0.0.1,nonsense"])
def test_wrong_proxies_are_rejected(text: str) -> None:
    """A misspelt network would match nothing, and the log would show the proxy's address."""
    with pytest.raises(
        SettingsInvalid, match=r"--forwarded-allow-ips or RERANK_FORWARDED_ALLOW_IPS contains .*10\.0\.0\.0/8"
    ):
        read_settings(forwarded_allow_ips=text)


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("access_log", "yes", "is 'yes': give off, errors or all"),
        ("metrics_port", "65536", "is '65536': give a whole number from 0 to 65535"),
        ("log_texts", "some", "is 'some': give true or false"),
    ],
)
def test_wrong_values_of_log_and_metrics_are_rejected(name: str, value: str, allowed: str) -> None:
    """The message has the value and the allowed values."""
    with pytest.raises(SettingsInvalid, match=allowed):
        read_settings(**{name: value})


def test_tls_beside_unix_sockets_is_for_the_port_of_admin(tmp_path: Path) -> None:
    """It has addresses of its own. Without this port, nothing would be encrypted."""
    sockets = {"host": f"unix:{tmp_path}", "tls_cert": tmp_path / "tls.crt", "tls_key": tmp_path / "tls.key"}
    assert read_settings(**sockets, admin_port=0, admin_host="192.0.2.1").tls_cert == tmp_path / "tls.crt"
    with pytest.raises(SettingsInvalid, match=r"--tls-cert or RERANK_TLS_CERT is .* --host has only Unix sockets"):
        read_settings(**sockets)
