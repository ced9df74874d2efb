"""`rerank completion`, and completions in a real bash."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from rerank_service.__main__ import build_parser, commands
from rerank_service.cli.settings_arguments import allowed_words
from support.process import environment

_COMPLETE = """
eval "$(rerank completion bash)"
for COMP_LINE in "$@"; do
  COMP_POINT=${#COMP_LINE} COMP_TYPE=9 COMPREPLY=()
  _python_argcomplete rerank
  echo "${COMPREPLY[*]}"
done
"""


def test_bash_completes_commands_options_and_values(tmp_path: Path) -> None:
    """Also names of folders. After a wrong command there is no completion, and no error."""
    (tmp_path / "my-model").mkdir()
    script = tmp_path / "bin" / "rerank"
    script.parent.mkdir()
    script.write_text(f'#!/bin/sh\nexec {sys.executable} -m rerank_service "$@"\n')
    script.chmod(0o755)
    wanted = {
        "rerank doc": "doctor",
        "rerank doctor --pro": "--progress-timeout --provider",
        "rerank serve --provider o": "openvino",
        "rerank serve --model my": "my-model/",
        "rerank nonsense --fi": "",
    }
    done = subprocess.run(
        ["bash", "-c", _COMPLETE, "bash", *wanted],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=environment(PATH=f"{script.parent}:{os.environ['PATH']}"),
        timeout=60,
    )
    assert dict(zip(wanted, map(str.strip, done.stdout.splitlines()), strict=True)) == wanted
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("shell", "line"), [("bash", "complete "), ("zsh", "#compdef rerank"), ("fish", "complete --command rerank")]
)
def test_each_shell_has_a_script(shell: str, line: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The script registers the completion of `rerank`."""
    arguments = build_parser(commands()).parse_args(["completion", shell])
    assert arguments.run(arguments) == 0
    assert line in capsys.readouterr().out


def test_words_of_settings_are_known() -> None:
    """Other settings have none, and the shell completes files."""
    assert allowed_words("provider") == ["auto", "cpu", "openvino", "cuda"]
    assert allowed_words("watch") == ["true", "false"]
    assert allowed_words("grpc_port") == []
