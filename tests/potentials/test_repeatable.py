"""A fresh process rounds as one that has worked for a while: resumed runs depend on it."""

import os
import subprocess
import sys

PROGRAM = """
import sys
import torch
torch.set_num_threads(1)
from bnnflow.materials import load_structure
from bnnflow.potentials import load_potential
from bnnflow.potentials.ensemble import graph_batch
from bnnflow.records import PotentialSpec
potential = load_potential(PotentialSpec("chno-small"))
one = graph_batch(potential, [load_structure("ethanol")])
two = graph_batch(potential, [load_structure("ethanol")] * 2)
start = potential.start(torch.Generator().manual_seed(0)).expand(2, -1)
for batch in [one] * int(sys.argv[1]) + [two] * 6:
    theta = (start + 0.01).requires_grad_(True)
    output = potential.evaluate(theta, batch, create_graph=True)
    loss = output.energy.square().sum() + output.forces.square().sum()
    slope = torch.autograd.grad(loss, theta)[0]
    print(slope.double().abs().sum().item().hex(), (slope.double() ** 2).sum().item().hex())
"""


def slopes_of_two(*, after: int) -> list[str]:
    """Fingerprints of six gradients on two frames, after some on one frame, in a new process."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry)}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", PROGRAM, str(after)],
        capture_output=True,
        text=True,
        env=environment,
        timeout=120,
        check=True,
    )
    return done.stdout.splitlines()[-6:]


def test_gradients_do_not_depend_on_what_the_process_did_before() -> None:
    cold, warm = slopes_of_two(after=0), slopes_of_two(after=6)
    assert cold == warm
    assert len(set(cold)) == 1
