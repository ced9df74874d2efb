"""The configuration of pip that `make image-test` passes to the build."""

from pathlib import Path

from support.pip_configuration import parsed

LISTED = """\
:env:.find-links='/opt/wheels'
global.cert='/etc/ssl/authorities.crt'
global.extra-index-url='file:///opt/index/simple https://index.example.com/simple'
global.find-links='/srv/old/wheels'
install.user='no'
"""


def test_files_and_variables_become_one_file(tmp_path: Path) -> None:
    """A variable overrides a file. The authorities are a secret, and local folders are mounted."""
    configuration = parsed(LISTED)
    assert configuration.text == (
        "[global]\n"
        "cert = /run/secrets/ca\n"
        "extra-index-url = file:///opt/index/simple\n"
        "  https://index.example.com/simple\n"
        "find-links = /opt/wheels\n"
    )
    file = tmp_path / "pip.conf"
    assert configuration.write(file) == [
        f"IMAGE_PIP_CONF={file}",
        "IMAGE_CA=/etc/ssl/authorities.crt",
        "BUILD_OPTIONS=--volume /opt/index:/opt/index:ro --volume /opt/wheels:/opt/wheels:ro",
    ]
    assert file.read_text() == configuration.text


def test_machine_without_a_configuration_needs_nothing(tmp_path: Path) -> None:
    """pip in the build then uses its defaults."""
    assert parsed("").write(tmp_path / "pip.conf") == [f"IMAGE_PIP_CONF={tmp_path / 'pip.conf'}", "BUILD_OPTIONS="]
