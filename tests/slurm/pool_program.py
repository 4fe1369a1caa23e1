"""A coordinator with a task in every pool, for the tests of how it ends: SITE, FOLDER."""

import sys
import time
from pathlib import Path

from executors.base import Pool
from executors.pools import ParslExecutor
from executors.probe import probe
from executors.signals import stop_signals_raise
from executors.site import load_site


def main(site: str, folder: Path) -> None:
    with stop_signals_raise(), ParslExecutor(load_site(site), folder) as pools:
        for future in [pools.submit(pool, probe, ()) for pool in (Pool.GPU, Pool.MD)]:
            future.result()
        for pool in Pool:
            pools.submit(pool, time.sleep, 600)
        print("ready", flush=True)
        time.sleep(600)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
