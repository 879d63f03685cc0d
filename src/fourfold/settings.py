"""Settings: frozen, checked when made, and the one source of command-line flags,
YAML keys and Python keywords.

The groups here hold what every family shares; each family adds its own fields and its
presets in `families/<family>/settings.py`. Nothing here imports torch, so that
`fourfold --help` answers at once.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from .errors import UsageError, nearest

Device = Literal["auto", "cpu", "cuda"]


class Settings(BaseModel):
    """What a training depends on besides its data. Abstract: families complete it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    family: ClassVar[str]
    presets: ClassVar[Mapping[str, Mapping[str, Any]]]

    # Families narrow both to a `Literal` of what they know.
    preset: str
    task: str

    # Data
    target: str | None = Field(
        None, description="Column of a table that holds the class; found by itself if just one column is text."
    )
    group: str | None = Field(
        None, description="Column of a table whose equal values (a patient, a speaker) no split may tear apart."
    )
    kind: Literal["auto", "image", "series", "table"] = Field(
        "auto", description="What arrays hold; 'auto' decides by their shape and type."
    )
    size: int | None = Field(
        None, ge=1, le=4096, description="Resize and centre-crop picture files to this many pixels a side."
    )
    validation: float = Field(
        0.1, ge=0, lt=1, description="Share of train held out for validation, where the data bring no such split."
    )
    test: float = Field(0.2, ge=0, lt=1, description="Share held out for the test, where the data bring no such split.")
    fold: str | None = Field(
        None, pattern=r"^\d+/\d+$", description="Test on one of several folds, such as 3/10, in place of a share."
    )
    allow: Literal["nothing", "duplicates"] = Field(
        "nothing", description="'duplicates' trains although examples of the test split are in train."
    )

    # Training
    seed: int = Field(0, ge=0, lt=2**63, description="Decides splits, initial weights, order and noise.")
    epochs: int = Field(5, ge=1, description="Passes over the training split.")
    batch_size: int = Field(32, ge=1, description="Examples a step.")
    augment: str = Field(
        "none", description="'none', 'default' for what suits the data, or names parted by commas: rotate,cutout."
    )
    optimizer: Literal["adam", "adamw", "sgd"] = Field("adam", description="sgd is with Nesterov's momentum.")
    learning_rate: float = Field(1e-3, gt=0, description="Its highest value, after the warm-up.")
    beta1: float = Field(0.9, ge=0, lt=1, description="First moment's decay for adam(w); momentum for sgd.")
    beta2: float = Field(0.999, ge=0, lt=1, description="Second moment's decay for adam(w).")
    weight_decay: float = Field(0.0, ge=0, description="Pull of the weights towards zero.")
    schedule: Literal["constant", "linear", "cosine"] = Field(
        "constant", description="How the learning rate goes to zero after the warm-up, if it does."
    )
    warmup: float = Field(0.0, ge=0, le=1, description="Share of all steps in which the learning rate rises.")
    clip: float = Field(0.0, ge=0, description="Largest norm of a phase's gradient; 0 leaves it alone.")
    ema: float = Field(0.0, ge=0, lt=1, description="Decay of the averaged weights; 0 turns the average off.")
    patience: int = Field(0, ge=0, description="Epochs without a better validation before stopping; 0 never stops.")
    device: Device = Field("auto", description="Where to train; 'auto' takes a GPU if there is one.")
    threads: int = Field(0, ge=0, description="CPU threads; 0 leaves torch's own choice.")

    def __init__(self, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise UsageError(_describe(error, type(self))) from None

    @field_validator("fold")
    @classmethod
    def _within(cls, fold: str | None) -> str | None:
        if fold and not 1 <= int(fold.split("/")[0]) <= int(fold.split("/")[1]) >= 2:
            raise ValueError("the third of ten folds is written 3/10")
        return fold

    @classmethod
    def resolve(cls, preset: str | None = None, **values: Any) -> Self:
        """The settings of a preset (the default one if None) with `values` put over them.

        Raises: UsageError, naming the field, its range and the nearest valid name.
        """
        name: str = preset or cls.model_fields["preset"].default
        if name not in cls.presets:
            raise UsageError(f"{cls.family} has no preset {name!r}; {nearest(name, cls.presets)}")
        return cls(**{**cls.presets[name], **values, "preset": name})


def read_config(path: Path, settings: type[Settings]) -> dict[str, Any]:
    """The settings that a YAML file gives, by name; their values are checked later.

    A run's own settings.yaml may be given; the data that it names are the command line's to name.
    Raises: UsageError if the file is missing, is not YAML or is not a mapping.
    """
    import yaml  # 20 ms, and most commands read no YAML

    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: cannot be read ({error})") from None
    except yaml.YAMLError as error:
        raise UsageError(f"{path}: not valid YAML ({error})") from None
    if not isinstance(values, dict) or not all(isinstance(key, str) for key in values):
        raise UsageError(f"{path}: a mapping of settings is expected, such as 'epochs: 20'")
    if values.pop("family", settings.family) != settings.family:
        raise UsageError(f"{path}: these are settings of another family than {settings.family}")
    return {key.replace("-", "_"): value for key, value in values.items() if key != "data"}


def _describe(error: ValidationError, settings: type[Settings]) -> str:
    lines = []
    for problem in error.errors(include_url=False):
        name = str(problem["loc"][0]) if problem["loc"] else ""
        if problem["type"] == "extra_forbidden":
            lines.append(f"unknown setting {name!r}; {nearest(name, settings.model_fields)}")
        else:
            lines.append(f"{name} = {problem['input']!r}: {problem['msg'].lower()}")
    return "; ".join(lines)
