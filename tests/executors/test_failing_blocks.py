"""When blocks that fail end their pool, and when they are only told of."""

from concurrent.futures import Future

import pytest
from parsl.jobs.states import JobState, JobStatus

from bnnflow.errors import PoolLostError
from executors.base import Pool
from executors.blocks.failing import GiveUpAfterThree
from executors.outcomes import Outcomes


class Workers:
    """Stands where Parsl's executor is told that it cannot go on."""

    label = "dft"
    given_up = None

    def set_bad_state_and_fail_all(self, error):
        self.given_up = error


def test_three_failures_in_a_row_end_a_pool_and_say_why(tmp_path):
    (tmp_path / "stderr").write_text("module: command not found\n")
    failed = JobStatus(JobState.FAILED, stderr_path=str(tmp_path / "stderr"))
    missing = JobStatus(JobState.MISSING, stderr_path=str(tmp_path / "stderr"))
    pool = Workers()
    look = GiveUpAfterThree(lambda: 7)
    look(pool, {"0": failed, "1": missing})
    assert pool.given_up is None
    look(pool, {"8": failed, "9": failed, "10": missing})
    assert isinstance(pool.given_up, PoolLostError)
    assert "module: command not found" in str(pool.given_up)


@pytest.mark.parametrize("state", [JobState.TIMEOUT, JobState.CANCELLED, JobState.COMPLETED])
def test_blocks_that_end_through_no_fault_of_theirs_do_not_end_a_pool(state):
    pool = Workers()
    failed = JobStatus(JobState.FAILED)
    blocks = {"0": failed, "1": failed, "2": JobStatus(state), "3": failed}
    GiveUpAfterThree(lambda: 0)(pool, blocks)
    assert pool.given_up is None


def test_blocks_that_fail_while_work_comes_back_do_not_end_a_pool():
    """In a long campaign each block may die some day; once none does any work, three are enough."""
    pool, answered, blocks = Workers(), 0, {}
    look = GiveUpAfterThree(lambda: answered)
    for number in range(6):
        blocks[str(number)] = JobStatus(JobState.RUNNING)
        look(pool, blocks)
        answered += 10
        blocks[str(number)] = JobStatus(JobState.FAILED)
        look(pool, blocks)
        assert pool.given_up is None
    for number in (6, 7):  # after block 5, which had worked
        blocks[str(number)] = JobStatus(JobState.FAILED)
        look(pool, blocks)
        assert pool.given_up is None
    blocks["8"] = JobStatus(JobState.FAILED)
    look(pool, blocks)
    assert isinstance(pool.given_up, PoolLostError)


def test_blocks_that_fail_together_beside_one_at_work_are_told_of_ever_more_rarely():
    pool, failed = Workers(), JobStatus(JobState.FAILED, message="no such file")
    look = GiveUpAfterThree(lambda: 530)
    blocks = {"0": JobStatus(JobState.RUNNING)}
    look(pool, blocks)
    told = []
    for number in range(1, 40):
        blocks[str(number)] = failed
        look(pool, blocks)
        told += [(number, line) for line in look.news()]
    assert pool.given_up is None
    assert [number for number, _ in told] == [3, 6, 12, 24]
    assert (
        told[0][1] == "others work, but 3 blocks in a row have failed; the last one: no such file"
    )
    blocks["0"] = failed
    look(pool, blocks)
    assert isinstance(pool.given_up, PoolLostError)


def test_a_pools_results_are_counted_and_not_its_errors():
    outcomes = Outcomes()
    inner = [Future() for _ in range(3)]
    for future, pool in zip(inner, (Pool.GPU, Pool.GPU, Pool.DFT), strict=True):
        outcomes.follow(future, pool)
    inner[0].set_result(1)
    inner[1].set_exception(ValueError("no"))
    assert [outcomes.answered(pool) for pool in Pool] == [int(pool is Pool.GPU) for pool in Pool]
