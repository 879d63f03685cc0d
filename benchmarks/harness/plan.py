"""What is set beside what: peers, workloads, and what Fourfold promises for each."""

from collections.abc import Mapping
from dataclasses import dataclass, field

OURS = "Fourfold"
AS_IT_COMES, TUNED = "as it comes", "tuned"


@dataclass(frozen=True, kw_only=True)
class Peer:
    """A library: its worker in `peers/`, its environment (None: Fourfold's own), and variables for the process."""

    module: str
    environment: str | None
    variables: Mapping[str, str] = field(default_factory=dict)


def _keras(backend: str) -> Peer:
    variables = {"KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "2"}
    return Peer(module="keras_peer", environment=f"keras-{backend}", variables=variables)


LIBRARIES: dict[str, Peer] = {
    OURS: Peer(module="fourfold_peer", environment=None),
    "Keras on TensorFlow": _keras("tensorflow"),
    "Keras on JAX": _keras("jax"),
    "Keras on torch": _keras("torch"),
    "PyTorch": Peer(module="plain", environment="torch"),
    "Lightning": Peer(module="lightning_peer", environment="lightning"),
    "skorch": Peer(module="skorch_peer", environment="skorch"),
}
KERAS = ("Keras on TensorFlow", "Keras on JAX", "Keras on torch")
ALL = (*KERAS, "PyTorch", "Lightning", "skorch")
ASKED = (*KERAS, "PyTorch", "skorch")  # Lightning's module is PyTorch's own once it is trained


@dataclass(frozen=True, kw_only=True)
class Row:
    """One library in one way: what takes its turn in each round."""

    library: str
    way: str = AS_IT_COMES
    precision: str = "fp32"


@dataclass(frozen=True, kw_only=True)
class Workload:
    """The same work for Fourfold and its peers.

    tuned: peers that take another turn with freed memory kept and, in torch, channels last. bf16: those that take
    turns, in both ways, in mixed bfloat16, as Fourfold then does. targets: the greatest ratio of Fourfold's median
    to the best peer's, as it comes and in the same precision, that keeps the promise; by precision.
    """

    name: str
    part: str
    network: str
    batch_size: int
    examples: int
    epochs: int
    task: str = "train"
    peers: tuple[str, ...] = ALL
    tuned: tuple[str, ...] = ()
    bf16: tuple[str, ...] = ()
    targets: Mapping[str, float] = field(default_factory=dict)

    @property
    def rows(self) -> list[Row]:
        """Who takes turns, Fourfold first."""
        rows = [Row(library=name) for name in (OURS, *self.peers)]
        rows += [Row(library=name, way=TUNED) for name in self.tuned]
        if self.bf16:
            rows.append(Row(library=OURS, precision="bf16"))
            rows += [Row(library=name, way=way, precision="bf16") for way in (AS_IT_COMES, TUNED) for name in self.bf16]
        return rows


QUICK = ("Keras on TensorFlow", "Keras on JAX", "PyTorch")
JAX_AND_TORCH = ("Keras on JAX", "PyTorch")
TORCH = ("PyTorch",)

TRAININGS = (
    Workload(
        name="CNN, batch 128",
        part="cnn",
        network="cnn",
        batch_size=128,
        examples=12_000,
        epochs=4,
        tuned=(*KERAS, "PyTorch"),
        bf16=QUICK,
        targets={"fp32": 0.85, "bf16": 0.55},
    ),
    Workload(
        name="CNN, batch 32",
        part="cnn",
        network="cnn",
        batch_size=32,
        examples=8_000,
        epochs=4,
        tuned=QUICK,
        targets={"fp32": 0.8},
    ),
    Workload(
        name="RNN 28×28, batch 128",
        part="rnn",
        network="rnn",
        batch_size=128,
        examples=24_000,
        epochs=5,
        tuned=JAX_AND_TORCH,
        targets={"fp32": 0.85},
    ),
    Workload(
        name="RNN 28×28, batch 32",
        part="rnn",
        network="rnn",
        batch_size=32,
        examples=12_000,
        epochs=4,
        tuned=JAX_AND_TORCH,
        targets={"fp32": 0.85},
    ),
    Workload(
        name="RNN 784×1, batch 128",
        part="rnn",
        network="rnn784",
        batch_size=128,
        examples=2_560,
        epochs=4,
        tuned=JAX_AND_TORCH,
        targets={"fp32": 0.6},
    ),
    Workload(
        name="autoencoder, batch 256",
        part="autoencoder",
        network="autoencoder",
        batch_size=256,
        examples=60_000,
        epochs=5,
        tuned=QUICK,
        targets={"fp32": 0.75},
    ),
    Workload(
        name="DCGAN 32×32, batch 128",
        part="gan",
        network="dcgan",
        batch_size=128,
        examples=2_560,
        epochs=3,  # 60 steps: then the loss of the two begins to swing, each seed's in its own way
        peers=TORCH,
        tuned=TORCH,
        bf16=TORCH,
        targets={"fp32": 0.75, "bf16": 0.5},
    ),
    Workload(
        name="ResNet-18 32×32, batch 128",
        part="resnet",
        network="resnet",
        batch_size=128,
        examples=768,
        epochs=3,
        peers=TORCH,
        tuned=TORCH,
        bf16=TORCH,
        targets={"fp32": 0.7},
    ),
    Workload(
        name="GRU 128, 100 steps, batch 64",
        part="gru",
        network="gru",
        batch_size=64,
        examples=3_200,
        epochs=4,
        tuned=JAX_AND_TORCH,
        targets={"fp32": 0.7},
    ),
)
INFERENCE = tuple(
    Workload(
        name=f"inference, {title}",
        part="inference",
        network=network,
        batch_size=32,
        examples=1_000,
        epochs=1,
        task="predict",
        peers=peers,
    )
    for title, network, peers in (
        ("CNN", "cnn", ASKED),
        ("RNN 28×28", "rnn", ASKED),
        ("RNN 784×1", "rnn784", ASKED),
        ("autoencoder", "autoencoder", ASKED),
        ("DCGAN 32×32", "dcgan", TORCH),
        ("ResNet-18 32×32", "resnet", TORCH),
        ("GRU 128, 100 steps", "gru", ASKED),
    )
)
PROCESS = Workload(
    name="whole process, CNN, 1 epoch of 60,000, batch 32",
    part="process",
    network="cnn",
    batch_size=32,
    examples=60_000,
    epochs=1,
    task="process",
    targets={"fp32": 0.6},
)
WORKLOADS: dict[str, Workload] = {workload.name: workload for workload in (*TRAININGS, *INFERENCE, PROCESS)}
PARTS = tuple(dict.fromkeys(workload.part for workload in WORKLOADS.values()))
