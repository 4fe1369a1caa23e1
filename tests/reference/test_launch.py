"""MPI commands behind their launcher."""

import pytest

from bnnflow.errors import ConfigError
from bnnflow.reference.launch import launched


@pytest.mark.parametrize(
    ("launcher", "environment", "expected"),
    [
        ("", {}, ["pw.x"]),
        ("mpirun -np 2", {}, ["mpirun", "-np", "2", "pw.x"]),
        ("", {"BNNFLOW_LAUNCHER": "srun -n 4"}, ["srun", "-n", "4", "pw.x"]),
        ("mpirun", {"BNNFLOW_LAUNCHER": "srun -n 4"}, ["mpirun", "pw.x"]),
        (
            "",
            {"BNNFLOW_LAUNCHER": "$PARSL_MPI_PREFIX", "PARSL_MPI_PREFIX": "srun --nodelist 'a b'"},
            ["srun", "--nodelist", "a b", "pw.x"],
        ),
    ],
)
def test_words_in_front(launcher, environment, expected):
    assert launched(["pw.x"], launcher=launcher, environment=environment) == expected


def test_an_unset_variable_is_named():
    with pytest.raises(ConfigError, match="PARSL_MPI_PREFIX, which is not set"):
        launched(["pw.x"], launcher="$PARSL_MPI_PREFIX", environment={})


@pytest.mark.parametrize("text", ["mpirun 'open", "mpirun $"])
def test_text_that_is_no_command_is_refused(text):
    with pytest.raises(ConfigError, match="cannot be read"):
        launched(["pw.x"], launcher=text, environment={})
