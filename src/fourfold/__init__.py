"""Fourfold: from the data that people have to a trained network that they can trust.

The names below are loaded when they are first used, so that `import fourfold` costs
nothing and imports no torch.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .api import load as load
    from .api import resume as resume
    from .api import train as train
    from .data.samples import samples as samples
    from .errors import DataError as DataError
    from .errors import DataWarning as DataWarning
    from .errors import DivergedError as DivergedError
    from .errors import FourfoldError as FourfoldError
    from .errors import ModelError as ModelError
    from .errors import OutOfMemoryError as OutOfMemoryError
    from .errors import ResumeError as ResumeError
    from .errors import Stopped as Stopped
    from .errors import StorageError as StorageError
    from .errors import UsageError as UsageError
    from .model import Model as Model

__version__ = "0.1.0"

_HOME = {
    "DataError": "errors",
    "DataWarning": "errors",
    "DivergedError": "errors",
    "FourfoldError": "errors",
    "Model": "model",
    "ModelError": "errors",
    "OutOfMemoryError": "errors",
    "ResumeError": "errors",
    "Stopped": "errors",
    "StorageError": "errors",
    "UsageError": "errors",
    "load": "api",
    "resume": "api",
    "samples": "data.samples",
    "train": "api",
}

__all__ = ["__version__", *_HOME]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'fourfold' has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_HOME[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted(__all__)
