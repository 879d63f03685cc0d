"""Small trainings that can be killed, and what they leave."""

import json
from pathlib import Path
from typing import Any

from fourfold.data.dataset import Dataset
from fourfold.engine.checkpoint import newest
from fourfold.engine.history import History
from fourfold.engine.keeper import Keeper
from fourfold.engine.loop import Trainer
from fourfold.engine.state import State
from fourfold.engine.terms import terms
from fourfold.families import create, settings_of
from fourfold.runtime import start

# Between them: every optimizer, an average, a schedule, clipping, augmentation, best weights, two phases.
FAMILIES: dict[str, dict[str, Any]] = {
    "cnn": {"preset": "classic", "ema": 0.9, "augment": "default"},
    "rnn": {"preset": "classic", "optimizer": "sgd", "schedule": "cosine", "warmup": 0.2, "clip": 1.0},
    "autoencoder": {"preset": "classic", "optimizer": "adamw", "weight_decay": 0.01, "patience": 2},
    "gan": {"preset": "dcgan", "width": 2, "latent_size": 4},
}
STEPS, EPOCHS = 4, 2
LAST = ("step-00000008", "step-00000008-epoch-2")


class Patient(Keeper):
    """Waits for each checkpoint, so that a test knows which there are."""

    def save(self, state: State) -> None:
        super().save(state)
        self.wait()


def unheard(message: str) -> None:
    raise AssertionError(message)


def begun(
    few: Dataset, family: str, folder: Path, every: str = "1steps", **settings: Any
) -> tuple[Trainer, History, Keeper]:
    """A training in a folder, at its beginning or where the newest checkpoint is."""
    asked = {**FAMILIES[family], "epochs": EPOCHS, "batch_size": 9, **settings}
    chosen = settings_of(family).resolve(**asked)
    trainer = Trainer(create(few.schema, chosen), few, start("cpu"))
    found = newest(folder / "checkpoints", unheard)
    if found:
        trainer.course.restore(found.load(trainer.course.largest))
    course = trainer.course
    records = History.resume(folder / "history.jsonl", course.closed, course.step)
    last = found.manifest.point if found else None
    return trainer, records, Patient(folder, every, terms(chosen, few, trainer.runtime), unheard, last)


def train(few: Dataset, family: str, folder: Path, **settings: Any) -> None:
    folder.mkdir(exist_ok=True)
    trainer, records, keeper = begun(few, family, folder, **settings)
    trainer.fit(records, (), keeper)


def left(folder: Path) -> dict[str, Any]:
    """All that a training has left, by digests; without the seconds that it took."""
    last = newest(folder / "checkpoints", unheard)
    assert last is not None
    lines = (folder / "history.jsonl").read_text().splitlines()
    return {
        **{name: file.sha256 for name, file in last.manifest.files.items()},
        "point": last.manifest.point.model_dump(exclude={"seconds"}),
        "history": [{k: v for k, v in json.loads(line).items() if k != "seconds"} for line in lines],
    }


class Killed(BaseException):
    """What no code of ours catches."""
