"""What an environment may be made of, and what is refused."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.core.errors import Invalid
from apps.environments.recipes import MOST_PACKAGES, Contents, read_contents

CONDA = """
name: tools
channels: [conda-forge, defaults]
dependencies:
  - python=3.11
  - pip
  - numpy=1.26
  - pandas>=2,<3
  - pip:
      - six==1.16.0
variables:
  MODE: fast
"""


def problems(**given: Any) -> dict[str, list[str]]:
    with pytest.raises(Invalid) as caught:
        read_contents(**given)
    return dict(caught.value.errors)


def test_a_requirements_file() -> None:
    text = "# what we need\nsix==1.16.0  # pinned\n\nrequests[socks]>=2.31 ; python_version < '4'\n"
    assert read_contents(packages=text) == Contents(
        packages=("six==1.16.0", "requests[socks]>=2.31 ; python_version < '4'")
    )


def test_a_conda_file() -> None:
    assert read_contents(packages=CONDA) == Contents(
        python="3.11",
        packages=("numpy==1.26.*", "pandas>=2,<3", "six==1.16.0"),
        variables={"MODE": "fast"},
    )


def test_what_is_said_beside_the_file_counts_more() -> None:
    found = read_contents(packages=CONDA, python="3.12", variables={"MODE": "slow", "N": "1"})
    assert (found.python, found.variables) == ("3.12", {"MODE": "slow", "N": "1"})


@pytest.mark.parametrize(
    "line",
    [
        "-e .", "-r other.txt", "--index-url https://evil.example", "--extra-index-url=http://evil", "-f /etc", "-c x",
        "six --hash=sha256:00", "six @ https://evil.example/six.whl", "six @ file:///etc/passwd", "./six.whl", "/etc/passwd",
        "https://evil.example/six.whl", "git+https://evil.example/x.git", "~/x", "..\\x", "six==", "six $(id)", "six; rm",
        "fathom==1", "Fathom", "\x1b[2J", "x" * 600, "${HOME}", "six\\", "C:\\x.whl", "evil.whl/../x",
    ],
)  # fmt: skip
def test_options_addresses_and_paths_are_refused_with_their_line(line: str) -> None:
    said = problems(packages=f"tomli\n{line}\n")
    assert list(said) == ["packages"]
    assert said["packages"][0].startswith("line 2 (")


@pytest.mark.parametrize(
    "dependency",
    ["r-base=4", "conda-forge::numpy", "python>=3.8", "python=3", "numpy=1.26=py311", "[1]", "{a: 1}", "3"],
)
def test_what_conda_alone_understands_is_refused(dependency: str) -> None:
    said = problems(packages=f"dependencies:\n  - {dependency}\n")
    assert list(said) == ["packages"]


@pytest.mark.parametrize(
    "text", ["dependencies: {a: 1}", "dependencies:\n- a\nexec: x", "dependencies:\n -\ta: [", "x\x00y"]
)
def test_what_is_no_environment_file(text: str) -> None:
    assert list(problems(packages=text)) == ["packages"]


def test_an_option_in_the_pip_part_of_a_conda_file() -> None:
    said = problems(packages="dependencies:\n  - pip:\n    - six\n    - --index-url http://evil\n")
    assert said["packages"][0].startswith("pip entry 2 (")


@pytest.mark.parametrize("name", ["FATHOM_TOKEN", "PATH", "LD_PRELOAD", "1A", "A-B", "", "a" * 200, "É"])
def test_variables_that_cannot_be_set(name: str) -> None:
    assert list(problems(variables={name: "x"})) == ["variables"]


@pytest.mark.parametrize("value", ["a\x00b", "x" * 40_000, "\ud800", 3])
def test_values_that_cannot_be_set(value: Any) -> None:
    assert list(problems(variables={"A": value})) == ["variables"]


def test_everything_wrong_is_said_at_once() -> None:
    said = problems(packages="-e .", python="2.7", image="Not An Image", r_packages=["a b"], variables={"PATH": "x"})
    assert set(said) == {"packages", "python", "image", "r_packages", "variables"}


def test_too_many() -> None:
    assert list(problems(packages="six\n" * (MOST_PACKAGES + 1))) == ["packages"]


@given(st.text(max_size=300))
def test_no_text_is_more_than_refused(text: str) -> None:
    try:
        found = read_contents(packages=text)
    except Invalid:
        return
    for line in found.packages:
        assert not line.startswith("-")
        assert "://" not in line
        assert "\n" not in line
