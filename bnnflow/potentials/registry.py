"""Foundation models by name or path, with checksums.

Names: `chno-small` ships with bnnflow; `mace_mp:NAME`, `mace_off:NAME` and `mace_omol:NAME` go
through mace-torch's own loaders, which download into mace-torch's cache. mace-torch publishes no
checksums, so the first use of a name writes one beside the file, and every later use must match.
`chgnet` and `chgnet:NAME` are in CHGNet's own package, whose files have known checksums.
"""

from __future__ import annotations

import contextlib
import copy
import functools
import hashlib
import io
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import torch
from mace.calculators import foundations_models
from mace.tools.utils import get_cache_dir

from bnnflow.errors import ModelError
from bnnflow.potentials import chgnet_files
from bnnflow.potentials.chgnet import ChgnetPotential
from bnnflow.potentials.guard import check_same
from bnnflow.potentials.mace import MacePotential
from bnnflow.potentials.mace_files import load_mace, load_mace_pickle
from bnnflow.potentials.protocol import Potential
from bnnflow.records import PotentialSpec, model_family

SHIPPED = ("chno-small",)
_CHGNET = tuple(f"chgnet:{version}" for version in chgnet_files.SHIPPED)
_OMOL = {"extra_large": "MACE-omol-0-extra-large-1024.model"}
_LOADERS: dict[str, tuple[Callable[..., Any], dict[str, str]]] = {
    "mace_mp": (foundations_models.mace_mp, foundations_models.mace_mp_urls),
    "mace_off": (foundations_models.mace_off, foundations_models.mace_off_urls),
    "mace_omol": (foundations_models.mace_omol, _OMOL),
}


_DTYPES = {"float32": torch.float32, "float64": torch.float64}


@dataclass(frozen=True)
class ModelInfo:
    """One line of `bnnflow model list`: name, where its file belongs, whether it is there."""

    name: str
    path: str
    present: bool


def list_models() -> list[ModelInfo]:
    """Every model that can be named, shipped ones first."""
    named = [f"{family}:{name}" for family, (_, urls) in _LOADERS.items() for name in urls]
    return [_listed(name) for name in (*SHIPPED, *_CHGNET, *named)]


def _listed(name: str) -> ModelInfo:
    try:
        path = locate(name)
    except ModelError as missing:  # the package that ships it
        return ModelInfo(name, str(missing), False)
    return ModelInfo(name, str(path), path.is_file())


def model_info(model: str) -> dict[str, Any]:
    """What is known of a model: its file, checksum, and the model card where one ships.

    Raises ModelError for an unknown name or a missing file.
    """
    path = locate(model)
    if not path.is_file():
        raise ModelError(f"{model} is not on this machine: expected the file {path}")
    info = asdict(ModelInfo(model, str(path), True))
    info |= {"family": model_family(model), "sha256": sha256(path)}
    if _in_chgnet(model):
        return info | {"level": chgnet_files.shipped(model).level}
    card = path.with_suffix(".json")
    return info | (json.loads(card.read_text()) if card.is_file() else {})


def _in_chgnet(model: str) -> bool:
    """Whether a name is of CHGNet's own package."""
    return model.partition(":")[0] == "chgnet"


def locate(model: str) -> Path:
    """The file of a model given by name or path. Raises ModelError for an unknown name."""
    if model in SHIPPED:
        return Path(str(files("bnnflow") / "foundation" / f"{model}.safetensors"))
    if _in_chgnet(model):
        return chgnet_files.shipped_file(model)
    family, _, name = model.partition(":")
    if family in _LOADERS:
        return _cached(family, name)
    if "/" in model or model.endswith((".model", ".safetensors", chgnet_files.SUFFIX)):
        return Path(model).expanduser()
    raise ModelError(
        f"unknown model {model!r}: expected {', '.join(SHIPPED)}, chgnet, mace_mp:NAME, "
        "mace_off:NAME, mace_omol:NAME or the path of a file; `bnnflow model list` shows the names"
    )


@functools.lru_cache(maxsize=4)
def load_potential(spec: PotentialSpec) -> Potential:
    """Load a foundation model as a potential; a worker keeps the last few it loaded.

    Raises ModelError when the file is missing, fails its checksum, or is a pickle from elsewhere
    and `allow_pickle` is not set; and when a device gives other numbers than the CPU.
    """
    if spec.dtype not in _DTYPES:
        raise ModelError(f"dtype is {spec.dtype!r}, expected one of {', '.join(_DTYPES)}")
    return _on_device(_opened(spec), check_device(spec.device))


def open_mace(spec: PotentialSpec) -> torch.nn.Module:
    """mace-torch's module of a MACE model, in the dtype of its file; raises as `load_potential`."""
    return _open(_checked_file(spec), trusted=_trusted(spec))


def _opened(spec: PotentialSpec) -> Callable[[], Potential]:
    """Read a model; each call makes a potential of its own."""
    dtype = _DTYPES[spec.dtype]
    if model_family(spec.model) == "chgnet":
        arrays = chgnet_files.load_chgnet(_checked_file(spec))
        return lambda: ChgnetPotential(arrays, dtype=dtype)
    model = open_mace(spec)
    return lambda: MacePotential(copy.deepcopy(model), dtype=dtype)


def _checked_file(spec: PotentialSpec) -> Path:
    """The file of a model, fetched where it can be, with the checksum that is expected."""
    path = locate(spec.model)
    family, _, name = spec.model.partition(":")
    if family in _LOADERS and not path.is_file():
        _download(family, name, path)
    if not path.is_file():
        raise ModelError(_missing(spec.model, path))
    _check(path, spec)
    return path


def _trusted(spec: PotentialSpec) -> bool:
    return spec.model.partition(":")[0] in _LOADERS or spec.allow_pickle


def _on_device(make: Callable[[], Potential], device: torch.device) -> Potential:
    """The potential there; compared with the one on the CPU when that is elsewhere."""
    if device.type == "cpu":
        return make()
    moved = make().to(device)
    check_same(make(), moved, device)
    return moved


def sha256(path: Path) -> str:
    """Checksum of a file, as hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_device(name: str) -> torch.device:
    """The device of this name on this machine; auto: its GPU if torch sees one, else its CPU.

    Raises ModelError when torch does not see it.
    """
    seen = torch.cuda.is_available()
    if name == "auto":
        return torch.device("cuda" if seen else "cpu")
    if name.startswith("cuda") and not seen:
        raise ModelError(
            f"device is {name}, but torch sees no GPU here: use auto, with which every worker "
            "takes a GPU where it has one, or cpu"
        )
    return torch.device(name)


def _open(path: Path, *, trusted: bool) -> torch.nn.Module:
    if path.suffix == ".safetensors":
        return load_mace(path)
    if not trusted:
        raise ModelError(
            f"{path} is a pickle, which can run any code when it is opened: set allow_pickle=true "
            "if you trust where it came from"
        )
    return load_mace_pickle(path)


def _check(path: Path, spec: PotentialSpec) -> None:
    expected = spec.checksum or _known_checksum(path, spec.model)
    if expected and sha256(path) != expected:
        remedy = "delete the file and fetch it again"
        if _in_chgnet(spec.model):
            remedy = "install chgnet 0.4.2 again"
        raise ModelError(
            f"{path} has sha256 {sha256(path)[:12]}..., expected {expected[:12]}...: {remedy}"
        )


def _known_checksum(path: Path, model: str) -> str:
    if model in SHIPPED:
        return str(json.loads(path.with_suffix(".json").read_text())["sha256"])
    if _in_chgnet(model):
        return chgnet_files.shipped(model).sha256
    note = path.with_name(f"{path.name}.sha256")
    if model.partition(":")[0] not in _LOADERS:
        return ""
    if not note.is_file():
        note.write_text(sha256(path))
    return note.read_text().strip()


def _cached(family: str, name: str) -> Path:
    """Where mace-torch's loader of this family keeps a file of this name."""
    urls = _LOADERS[family][1]
    if name not in urls:
        raise ModelError(
            f"unknown model {family}:{name}: expected {family}: with one of {', '.join(urls)}"
        )
    file = urls[name].rsplit("/", 1)[-1]
    if family == "mace_mp":
        file = "".join(letter for letter in file if letter.isalnum() or letter == "_")
    return Path(get_cache_dir()) / file


def _download(family: str, name: str, path: Path) -> None:
    loader = _LOADERS[family][0]
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            loader(name, return_raw_model=True, device="cpu")
    except Exception as error:
        raise ModelError(_missing(f"{family}:{name}", path)) from error


def _missing(model: str, path: Path) -> str:
    hint = (
        "; the download failed: fetch it on a machine with internet and put it there"
        if ":" in model
        else ""
    )
    return f"the file of model {model} is missing: expected {path}{hint}"
