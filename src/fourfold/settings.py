"""Settings: frozen, checked when made, and the one source of command-line flags,
YAML keys and Python keywords.

The groups here hold what every family shares; each family adds its own fields and its
presets in `families/<family>/settings.py`. Nothing here imports torch, so that
`fourfold --help` answers at once.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from pydantic.fields import FieldInfo

from .errors import UsageError, nearest

LARGEST = 1 << 16  # characters of a file of settings; a run's own has two thousand
DEEPEST = 8  # mappings and lists in each other

AUTO = "auto"  # the preset that the data choose

Device = Literal["auto", "cpu", "cuda"]
Advice = tuple[str, dict[str, Any]]  # a preset, and what to change in it


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What the choice of a preset goes by: a schema's kind, how many examples may train, and one's shape as read."""

    kind: str
    examples: int
    shape: tuple[int, ...] = ()


class Reading(BaseModel):
    """How files become examples: what a training is asked, and what its schema hands on to everything after it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["auto", "image", "series", "table", "text", "sound"] = Field(
        "auto", description="What the data are; 'auto' decides by their files, columns, shape and type."
    )
    target: str | None = Field(
        None,
        description="Column (or name in --pattern) that holds the class, found by itself where it is plain; under "
        "--task regress or tag that of numbers or tags (red|round), or several of numbers, or of 0 and 1: a,b.",
    )
    path: str | None = Field(None, description="Column of a table that names picture or sound files.")
    text: str | None = Field(None, description="Column of a table that holds the texts.")
    id: str | None = Field(None, description="Column of a table that tells which series a row belongs to.")
    time: str | None = Field(None, description="Column of a table that tells when a row of a series was.")
    sort: bool = Field(False, description="Sort the rows of a series by time; without it unsorted ones are refused.")
    pattern: str | None = Field(
        None, description="What file names tell, such as {label}_{speaker}_{index}.wav; label is the class."
    )
    keys: str | None = Field(None, description="Arrays of an .npz, where their names are others: x=pictures,y=kinds.")
    size: int | None = Field(
        None, ge=1, le=4096, description="Bring picture files to this many pixels a side, as --fit tells."
    )
    fit: Literal["crop", "pad"] = Field(
        "crop", description="'crop' fills the square and cuts what is over; 'pad' shows all, with black beside it."
    )
    impute: Literal["none", "median", "mean"] = Field(
        "none",
        description="What stands for missing values: train's figures (commonest category); in series their neighbours.",
    )
    vocabulary: Literal["bpe", "characters"] = Field("bpe", description="What a text is cut into.")
    vocabulary_size: int = Field(8000, ge=300, le=200_000, description="Pieces in a vocabulary, at most.")
    longest: int = Field(
        512, ge=1, description="Pieces of a text that are read, the rest is cut off; to write, pieces of a passage."
    )
    rate: int | None = Field(
        None, ge=1000, le=192_000, description="Samples a second that sounds are brought to; the commonest of train."
    )
    mels: int = Field(64, ge=4, le=256, description="Bands of a sound's log-mel spectrum.")


class DataSettings(Reading):
    """How data are read and split."""

    group: str | None = Field(
        None, description="Column (or name in --pattern) whose equal values, say a patient, no split may tear apart."
    )
    split: str | None = Field(None, description="Column that tells each example's split: train, validation or test.")
    test_on: str | None = Field(
        None, description="Values of a column, or name in --pattern, that are the test: index=0,1,2,3,4."
    )
    validation: float = Field(
        0.1, ge=0, lt=1, description="Share of train held out for validation, where the data bring no such split."
    )
    test: float = Field(0.2, ge=0, lt=1, description="Share held out for the test, where the data bring no such split.")
    share: float = Field(
        1.0, gt=0, le=1, description="Share of train that is used, class by class: what less data would have given."
    )
    fold: str | None = Field(
        None, pattern=r"^\d+/\d+$", description="Test on one of several folds, such as 3/10, in place of a share."
    )
    seed: int = Field(0, ge=0, lt=2**63, description="Decides splits, initial weights, order and noise.")

    def __init__(self, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise UsageError(_describe(error, type(self))) from None

    @field_validator("fold")
    @classmethod
    def _fold_within(cls, fold: str | None) -> str | None:
        if fold and not 1 <= int(fold.split("/")[0]) <= int(fold.split("/")[1]) >= 2:
            raise ValueError("the third of ten folds is written 3/10")
        return fold

    @field_validator("test_on")
    @classmethod
    def _test_on_spelt(cls, test_on: str | None) -> str | None:
        if test_on and not all(test_on.partition("=")[::2]):
            raise ValueError("the test on all examples with index 0 or 1 is written index=0,1")
        return test_on

    @property
    def windows(self) -> Mapping[str, Any]:
        """How a course of time is cut into windows to forecast from; nothing unless that is the task."""
        return {}

    @property
    def normal_classes(self) -> tuple[str, ...]:
        """The classes that alone train, where what is normal is learnt; none if all do."""
        return ()

    @property
    def writes(self) -> bool:
        """Whether texts are cut into passages to write from, of `longest` pieces each."""
        return False

    @property
    def reading(self) -> Reading:
        """The part of the settings that the sources need."""
        return Reading(**{name: getattr(self, name) for name in Reading.model_fields})


class Settings(DataSettings):
    """What a training depends on besides its data. Abstract: families complete it."""

    family: ClassVar[str]
    presets: ClassVar[Mapping[str, Mapping[str, Any]]]

    # Families narrow both to a `Literal` of what they know.
    preset: str
    task: str

    allow: Literal["nothing", "duplicates"] = Field(
        "nothing", description="'duplicates' trains although examples of the test split are in train."
    )

    init_from: str | None = Field(
        None, description="A model or a run whose weights, where they fit, are the beginning in place of random ones."
    )
    freeze: bool = Field(False, description="Train only what --init-from did not bring, and the head.")
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
    checkpoint_every: str = Field(
        "5min", description="How often to save what `fourfold resume` needs: 500steps, 30s, 5min, 2h or off."
    )
    device: Device = Field("auto", description="Where to train; 'auto' takes a GPU if there is one.")
    threads: int = Field(0, ge=0, description="CPU threads; 0 takes as many as cores are free.")
    precision: Literal["auto", "fp32", "bf16"] = Field(
        "auto", description="Numbers that a step is computed in; weights and judging stay fp32, and so does 'auto'."
    )
    compile: Literal["auto", "on", "off"] = Field(
        "auto", description="'on' has torch compile the networks, which may take a minute; 'auto' does not."
    )

    @field_validator("checkpoint_every")
    @classmethod
    def _checkpoint_spelt(cls, every: str) -> str:
        if not re.fullmatch(r"off|[1-9]\d*(steps?|s|min|h)", every):
            raise ValueError("it is written 500steps, 30s, 5min, 2h or off")
        return every

    @classmethod
    def resolve(cls, preset: str | None = None, **values: Any) -> Self:
        """The settings of a preset (the default one if None) with `values` put over them.

        Raises: UsageError, naming the field, its range and the nearest valid name.
        """
        name: str = preset or cls.model_fields["preset"].default
        if name not in cls.presets:
            raise UsageError(f"{cls.family} has no preset {name!r}; {nearest(name, cls.presets)}")
        return cls(**{**cls.presets[name], **values, "preset": name})

    def suited(self, facts: Facts) -> Self:
        """These settings; where their preset is 'auto', the best that is known for such data, under what was set."""
        if self.preset != AUTO:
            return self
        preset, changes = self.advice(facts)
        chosen = {name: getattr(self, name) for name in self.model_fields_set if name != "preset"}
        return self.resolve(preset, **{**changes, **chosen})

    def advice(self, facts: Facts) -> Advice:
        """The best that is known for such data. Families tell."""
        raise NotImplementedError


def enough_epochs(examples: int, batch_size: int, steps: int, least: int) -> int:
    """As many epochs as `steps` need, so that a small set is passed more often; `least` for a large one."""
    return max(math.ceil(steps / math.ceil(examples / batch_size)), least)


def read_config(path: Path, settings: type[Settings]) -> dict[str, Any]:
    """The settings that a YAML file gives, by name; their values are checked later.

    A run's own settings.yaml may be given; the data that it names are the command line's to name.
    Raises: UsageError if the file is missing, is not YAML or is not a mapping.
    """
    import yaml  # 20 ms, and most commands read no YAML

    try:
        with path.open(encoding="utf-8") as file:
            text = file.read(LARGEST + 1)
        if len(text) > LARGEST:
            raise UsageError(f"{path}: more than {LARGEST:,} characters, which no settings need")
        depth = 0
        for event in yaml.parse(text, yaml.SafeLoader):
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > DEEPEST or isinstance(event, yaml.AliasEvent):
                raise UsageError(f"{path}: nested deeply, or has an alias (*name); spell out each setting")
        values = yaml.safe_load(text)
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: cannot be read ({error})") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # numbers too long, brackets too deep
        raise UsageError(f"{path}: not valid YAML ({error})") from None
    if not isinstance(values, dict) or not all(isinstance(key, str) for key in values):
        raise UsageError(f"{path}: a mapping of settings is expected, such as 'epochs: 20'")
    if values.pop("family", settings.family) != settings.family:
        raise UsageError(f"{path}: these are settings of another family than {settings.family}")
    given = {key.replace("-", "_"): value for key, value in values.items() if key != "data"}
    return {name: _word(value, settings.model_fields.get(name)) for name, value in given.items()}


def _word(value: Any, field: FieldInfo | None) -> Any:
    """A setting's value; YAML has made true and false of on and off, which some settings take as words."""
    if not isinstance(value, bool) or field is None or field.annotation is bool:
        return value
    return "on" if value else "off"


def _describe(error: ValidationError, settings: type[BaseModel]) -> str:
    lines = []
    for problem in error.errors(include_url=False):
        name = str(problem["loc"][0]) if problem["loc"] else ""
        if problem["type"] == "extra_forbidden":
            lines.append(f"unknown setting {name!r}; {nearest(name, settings.model_fields)}")
        else:
            lines.append(f"{name} = {problem['input']!r}: {problem['msg'].lower()}")
    return "; ".join(lines)
