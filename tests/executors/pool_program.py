"""A program with pools at work, for the shut-down tests: SITE, FOLDER and how it ends by itself."""

import operator
import sys
import time
from functools import partial
from pathlib import Path

from bnnflow.reference.process import run_command
from executors.base import Pool
from executors.pools import ParslExecutor
from executors.signals import stop_signals_raise
from executors.site import load_site


def main(site, folder, ending):
    with stop_signals_raise():
        print("starting", flush=True)
        with ParslExecutor(load_site(site), folder) as pools:
            for future in [pools.submit(pool, operator.neg, 1) for pool in Pool]:
                future.result()
            pools.submit(Pool.GPU, time.sleep, 600)
            log = folder / "label.log"
            label = partial(run_command, directory=folder, timeout_s=600.0, log=log)
            future = pools.submit(Pool.DFT, label, ["sleep", "600"])
            while not log.exists():
                time.sleep(0.02)
            time.sleep(0.2)
            print("ready", flush=True)
            if ending == "raise":
                raise RuntimeError("something went wrong")
            if ending == "wait":
                time.sleep(600)
        print(type(future.exception(timeout=0)).__name__, flush=True)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), sys.argv[3])
