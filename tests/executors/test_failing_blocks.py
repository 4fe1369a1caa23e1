"""When blocks that fail end their pool, and when they are only told of."""

from concurrent.futures import Future

import pytest
from parsl.jobs.states import JobState, JobStatus
from parsl.providers import LocalProvider

from bnnflow.errors import FaultError, PoolLostError
from executors.base import Pool
from executors.blocks import scaling
from executors.blocks.failing import GiveUpAfterThree, newest_failures
from executors.blocks.pauses import pause_s
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
        told[0][1] == "work goes on, but 3 blocks in a row have failed; the last one: no such file"
    )
    blocks["0"] = failed
    look(pool, blocks)
    assert isinstance(pool.given_up, PoolLostError)


def test_blocks_that_are_refused_beside_one_that_waits_do_not_end_a_pool():
    """A user may have room for one job in the queue and not for two."""
    pool, refused = Workers(), JobStatus(JobState.FAILED, message="QOSMaxSubmitJobPerUserLimit")
    look = GiveUpAfterThree(lambda: 0)
    look(pool, {"0": JobStatus(JobState.PENDING), "1": refused, "2": refused, "3": refused})
    assert pool.given_up is None and "QOSMaxSubmitJobPerUserLimit" in look.news()[0]
    look(pool, {"0": refused, "1": refused, "2": refused, "3": refused})
    assert isinstance(pool.given_up, PoolLostError)


@pytest.mark.parametrize("end", [JobState.TIMEOUT, JobState.CANCELLED, JobState.COMPLETED])
def test_a_block_that_ends_well_excuses_those_that_were_refused_beside_it(end):
    pool, refused = Workers(), JobStatus(JobState.FAILED, message="QOSMaxSubmitJobPerUserLimit")
    look, blocks = GiveUpAfterThree(lambda: 0), {"0": JobStatus(JobState.RUNNING)}
    look(pool, blocks)
    blocks |= dict.fromkeys("12345", refused)
    look(pool, blocks)
    look(pool, blocks | {"0": JobStatus(end)})
    assert pool.given_up is None
    look(pool, blocks | {"0": JobStatus(end)} | dict.fromkeys("678", refused))
    assert isinstance(pool.given_up, PoolLostError)


@pytest.mark.parametrize(
    ("states", "count"),
    [("", 0), ("FFR", 0), ("RFF", 2), ("FPFM", 3), ("FRFP", 1), ("FFFFFFFFFFFF", 12)],
)
def test_failures_in_a_row_are_those_of_the_newest_blocks(states, count):
    known = {"F": JobState.FAILED, "M": JobState.MISSING, "R": JobState.RUNNING}
    blocks = {
        str(number): JobStatus(known.get(state, JobState.PENDING))
        for number, state in enumerate(states)
    }
    assert len(newest_failures(blocks)) == count


def test_pauses_grow_once_a_pool_could_have_been_given_up_and_have_a_longest():
    assert [pause_s(count) for count in (0, 2, 3, 4, 5)] == [0.0, 0.0, 10.0, 20.0, 40.0]
    assert pause_s(9) == pause_s(100_000) == 600.0


class Refusing(LocalProvider):
    """Takes one block, which runs, and refuses all others."""

    asked = 0

    def submit(self, *_args, **_kwargs):
        self.asked += 1
        if self.asked > 1:
            raise FaultError("not accepted: QOSMaxSubmitJobPerUserLimit")
        return "1"

    def status(self, job_ids):
        return [JobStatus(JobState.RUNNING) for _ in job_ids]


def test_a_scheduler_that_refuses_is_not_asked_all_the_time(monkeypatch):
    """Parsl's strategy asks at every look for as many blocks as there is room for."""
    now = 0.0
    monkeypatch.setattr(scaling.time, "monotonic", lambda: now)
    provider = Refusing(init_blocks=0, max_blocks=4)
    pool = scaling.Workers(label="dft", provider=provider, address="127.0.0.1")
    pool.launch_cmd = "echo {block_id}"
    assert pool.scale_out_facade(1) == ["0"]
    asked = {}
    for seconds in range(130):
        now = float(seconds)
        pool.scale_out_facade(3)
        asked[provider.asked - 1] = asked.get(provider.asked - 1, seconds)
    assert asked == {3: 0, 4: 10, 5: 30, 6: 70}
    pool._status["0"] = JobStatus(JobState.FAILED)  # none lives: the next are wanted at once
    pool.scale_out_facade(3)
    assert provider.asked == 1 + 6 + 3


class Failing(LocalProvider):
    """Takes every block; all but the first work for five seconds and fail."""

    now = 0.0

    def __init__(self):
        super().__init__(init_blocks=0, max_blocks=8)
        self.began = []

    def submit(self, *_args, **_kwargs):
        self.began.append(self.now)
        return str(len(self.began))

    def status(self, job_ids):
        return [
            JobStatus(
                JobState.FAILED
                if job != "1" and self.now >= self.began[int(job) - 1] + 5.0
                else JobState.RUNNING
            )
            for job in job_ids
        ]


def test_blocks_that_fail_as_they_begin_are_not_asked_for_all_the_time(monkeypatch):
    provider = Failing()
    monkeypatch.setattr(scaling.time, "monotonic", lambda: provider.now)
    pool = scaling.Workers(label="dft", provider=provider, address="127.0.0.1")
    pool.launch_cmd = "echo {block_id}"
    monkeypatch.setattr(pool, "connected_blocks", list)
    pool.scale_out_facade(1)
    for seconds in range(600):
        provider.now = float(seconds)
        pool._status = pool.status()
        live = sum(job.state is JobState.RUNNING for job in pool._status.values())
        if live < 4:
            pool.scale_out_facade(4 - live)
    assert provider.began[:4] == [0.0] * 4  # the first, and three that fail at 5 s
    assert len(provider.began) < 12


def test_a_pools_results_are_counted_and_not_its_errors():
    outcomes = Outcomes()
    inner = [Future() for _ in range(3)]
    for future, pool in zip(inner, (Pool.GPU, Pool.GPU, Pool.DFT), strict=True):
        outcomes.follow(future, pool)
    inner[0].set_result(1)
    inner[1].set_exception(ValueError("no"))
    assert [outcomes.answered(pool) for pool in Pool] == [int(pool is Pool.GPU) for pool in Pool]


def test_open_pools_tell_of_failing_blocks_and_know_what_has_come_back(pools):
    """The rule of each pool, as Parsl's executor holds it, with blocks that there never were."""
    rule, told = pools._failing[Pool.MD], pools._failing[Pool.MD]._told
    blocks = {str(10_000 + number): JobStatus(JobState.RUNNING) for number in range(3)}
    rule(Workers(), blocks)
    assert pools.submit(Pool.MD, abs, -1).result(60) == 1
    failed = {name: JobStatus(JobState.FAILED, message="no such file") for name in blocks}
    worker = Workers()
    rule(worker, failed)
    assert worker.given_up is None
    assert [pool for pool, line in pools.notices() if "no such file" in line] == [Pool.MD]
    rule(worker, failed | dict.fromkeys(("10003", "10004", "10005"), failed["10000"]))
    assert worker.given_up is not None
    rule._told = told  # these pools are the session's
