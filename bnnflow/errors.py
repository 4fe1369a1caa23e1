"""Every error bnnflow raises on purpose.

BnnflowError
├── UserError              something the user can put right: one line on stderr, exit code 2
│   ├── ConfigError        a config, site file or option is wrong
│   ├── StructureError     the atoms cannot be simulated as given
│   ├── ModelError         a foundation model is missing, unknown, unsafe or lacks an element
│   ├── RunFolderError     a run folder is missing, locked, of another config, or damaged
│   ├── SamplerError       the sampler cannot treat a system of this size
│   └── ReferenceError     a reference code is missing or cannot do what was asked
└── FaultError             a calculation went wrong at run time
    ├── NonFiniteError     a prediction, gradient or label is not a finite number
    ├── BlockLostError     a task's workers ended under it: walltime, a lost node, a cancelled job
    ├── PoolLostError      a pool cannot run anything any more
    └── TaskError          a task in a pool failed more often than its budget allows

A message says what was found, what was expected and what to do, in one line.
"""

from __future__ import annotations


class BnnflowError(Exception):
    """Root of every error that bnnflow raises on purpose."""


class UserError(BnnflowError):
    """Something the user can put right: one line on stderr, exit code 2."""


class ConfigError(UserError):
    """A config file, site file or command-line option is wrong."""


class StructureError(UserError):
    """The atoms cannot be simulated as given."""


class ModelError(UserError):
    """A foundation model is missing, unknown, unsafe to load or lacks an element."""


class RunFolderError(UserError):
    """A run folder is missing, in use, made from another config, or damaged."""


class SamplerError(UserError):
    """The sampler cannot treat a system of this size."""


class ReferenceError(UserError):
    """A reference code is missing or cannot do what was asked of it."""


class FaultError(BnnflowError):
    """A calculation went wrong at run time."""


class NonFiniteError(FaultError):
    """A prediction, gradient or label is not a finite number."""


class BlockLostError(FaultError):
    """A task's workers ended under it, through no fault of the task: it can be run again."""


class PoolLostError(FaultError):
    """A pool cannot run anything any more: nothing but a new start helps."""


class TaskError(FaultError):
    """A task in a pool failed more often than its budget allows."""
