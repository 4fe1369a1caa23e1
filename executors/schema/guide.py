"""What stands above the tables of the page about site files."""

GUIDE = """# Site files

Made by `python -m executors.schema.page`. A site file says where work runs: one page of YAML, no
code. `bnnflow site list` names the shipped ones; a site is found by that name, by the path of a
file, or as `NAME.yaml` in `$XDG_CONFIG_HOME/bnnflow/sites` (`~/.config/bnnflow/sites`). A key that
is not here is refused, with the nearest known one. Units are in the names.

```yaml
description: a cluster with Slurm, CPU nodes of 64 cores, GPU nodes of 4
interface: ib0                  # the network that the nodes reach this machine by
pools:
  gpu:                          # chains, pinned one per GPU, on 2 nodes: chains are dealt to 8 GPUs
    accelerators: 4
    provider: {kind: slurm, account: $BNNFLOW_ACCOUNT, partition: gpu, walltime: 04:00:00,
               nodes_per_block: 2, gpus_per_node: 4}
  dft:                          # two labels at once, each on two whole nodes
    modules: [QuantumESPRESSO]
    mpi: {placement: nodes, launcher: srun, nodes_per_label: 2, ranks_per_node: 64}
    provider: {kind: slurm, account: $BNNFLOW_ACCOUNT, partition: cpu, walltime: 12:00:00,
               longest_task: 02:00:00, nodes_per_block: 4, max_blocks: 2}
  md:                           # one walker at a time, on one GPU of a shared node
    accelerators: 1
    provider: {kind: slurm, account: $BNNFLOW_ACCOUNT, partition: gpu, walltime: 04:00:00,
               exclusive: false, cores_per_node: 8, gpus_per_node: 1}
```

**A site of your own from a shipped one.** `extends: NAME` takes that site and changes the keys that
the file gives. Accounts, partitions, QOS and queues can also come from the environment
(`account: $BNNFLOW_ACCOUNT`). A site with a variable that is not set, or a `<your ...>` left in it,
is refused before anything is submitted, with the keys that are still to be given.

```yaml
extends: perlmutter
pools:
  dft: {provider: {account: m1234, qos: debug, walltime: 00:30:00}}
```

**Check it.** `bnnflow site check NAME` prints the sizes and the batch script that each pool would
submit, without submitting; with `--run` it starts every pool and reports cores, GPUs, MPI ranks,
code versions, whether the run folder's file system is shared, and the clock.

**Where the coordinator runs.** `bnnflow run` itself is one light process, on a login node or in a
small job; run folders must be on a file system that all nodes see. Blocks are asked for when there
are tasks, and given back after `idle_s` without any. When the coordinator ends, its jobs are
cancelled, queued ones too; if it is killed, a watcher beside it does that, and workers that hear
nothing from it for `heartbeat_threshold_s` end by themselves.

**A coordinator in jobs of its own.** `bnnflow submit` writes the batch script of the coordinator
(Slurm, PBS Pro, LSF) into `FOLDER/coordinator/` and submits it; `--dry-run` prints it.

```
bnnflow submit ethanol --site mine                  # a config of a run or a campaign: starts it
bnnflow submit runs/ethanol --walltime 12:00:00     # a folder: goes on with it
```

Section `coordinator` says what the job asks for. The coordinator knows its walltime
(`--stop-after`): it begins no label, update or stretch of MD when less is left than half a minute
and one and a half times the longest of its kind so far, takes in and commits what runs, closes its
pools, and exits with 75. The script then submits itself again; it ends with any other code, so with
0 when all is done, and when three jobs in a row committed nothing. Slurm's warning (SIGUSR1,
`warning` before the end) brings the end forward where the job is to end sooner. A minute is kept
for closing. Where `sbatch` or `qsub` cannot be called on compute nodes, or with another scheduler,
do by hand what the script does: `bnnflow resume FOLDER --stop-after 23h30m`, again while it exits
with 75. How long the first task of its kind takes nobody knows: it begins. Time that a task waits
in a queue of the pools counts as nothing: one that starts late there may be cut off, and is done
again.

**Block end.** A block takes no task that `longest_task` does not leave time for. A task whose block
is lost all the same (walltime, node failure, scancel) is run again; it does not count as a failure
of the calculation, and after ten such losses the run stops at its last commit, to be resumed. A
worker that dies by itself during a task may have died of it (out of memory): after three of those
the task counts as failed. An update that takes longer than a minute keeps its state in the new
version's folder once a minute, and goes on from there to the same bits.

**Queues.** Jobs that wait long are named in the run's log with the scheduler's reason, ever more
rarely; a held one at once. Three blocks in a row that are refused or end in an error, while no
other block of their pool works or waits and none of its tasks comes back, stop the run, with the
scheduler's or the block's own last words. Otherwise the log tells of them, and further blocks are
asked for one at a time while others live, at intervals that grow from 10 s to 10 min, until one
has worked for a minute.

**Chains on GPUs.** `sampler.chains` are dealt to all accelerators of all nodes of all blocks of the
gpu pool: `accelerators` per node, `nodes_per_block`, `max_blocks`. With more chains than that a
task holds several, side by side on its GPU; `workers_per_accelerator` puts several tasks on one.

**MPI codes.** `mpi.placement: nodes` gives every label whole nodes (several labels at once in one
block when it has enough nodes); `pack` puts several labels on each node, each started by its own
launcher. Workers get the launcher's words in `BNNFLOW_LAUNCHER`; a run's `reference.launcher`
comes first. To pack under Slurm use `srun`: Open MPI's `mpirun` may ask Slurm for a step of its own
and then run one label after the other, unless `worker_init` keeps it on its node
(`export OMPI_MCA_plm=isolated OMPI_MCA_ras=^slurm`, Open MPI 4).

A label of a GPU-built code packed with others gets its own devices by `accelerators` (one name per
label, `'0,1'` for two devices) and, under `srun`, `gpus_per_node`; on whole nodes it has them all.

**Flux.** Parsl's own FluxExecutor starts a process per task, in which the model would be loaded
anew each time; here a block is a job of `flux batch` with workers that stay.

**Parsl's monitoring.** `monitoring: {enabled: true}` has Parsl write the state of every task
into `parsl/monitoring.db` of the run folder (of the first run, where several are driven), for
its own tools and for SQL. It needs `pip install "bnnflow[monitoring]"`, and a script that starts
pools needs `if __name__ == "__main__":`, because the database has a process of its own. Nodes,
blocks and the resources of tasks are not in it: Parsl starts a process per pool for those that
would outlive a coordinator that is killed. What
`bnnflow status` and the reports show needs none of it ([watching.md](watching.md)).

**What was tried.** Slurm 22.05, by `make slurm` on one machine as three nodes: all placements of
MPI ranks above, Quantum ESPRESSO on two ranks in each of them, a whole run equal bit for bit to one
on the local site, scancel of a block in mid-label, SIGKILL of a label's worker and of its process,
a walltime, held jobs, every end of the coordinator, and a run whose coordinator's jobs submit one
another. PBS Pro, LSF and Flux: their batch scripts, and pools over stand-ins of their commands; not
the schedulers themselves.
"""
