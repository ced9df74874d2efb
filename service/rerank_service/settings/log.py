"""Settings of the log, and of the example after the start."""

from typing import ClassVar, Literal

from rerank_service.settings.group import SettingsGroup


class LogSettings(SettingsGroup):
    """Settings of the log, and of the example after the start."""

    heading: ClassVar[str] = "Log and example"

    log_format: Literal["auto", "console", "json"] = "auto"
    """Format of log lines: console for people, json for machines. auto: console if stderr is a terminal, else json."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """Minimum level of log lines."""
    core_dumps: bool = False
    """Let the system write a core dump when the process crashes. It has the memory of the process, with the texts of
    callers and the private key of --tls-cert. False: a crash writes the Python stack of each thread to stderr only."""
    example: bool = False
    """After the start, rank a built-in example through the server and print the result. The log follows it."""
