"""The best epoch of a training, kept while the training goes on."""

from collections.abc import Mapping

from torch import Tensor, nn

from ..families.contract import Monitor
from .history import Record
from .state import Tensors, prefixed, require_alike, tensors_of, under


class Best:
    """The weights of the best epoch so far by a validation metric; the earlier of two equal ones.

    Without a monitor, or without the metric in a record, the last epoch is the best. perishable:
    one that is offered as spoilt takes no other's place.
    """

    def __init__(self, monitor: Monitor | None, perishable: bool = False) -> None:
        self.monitor = monitor
        self.perishable = perishable
        self.epoch = 0
        self.value: float | None = None
        self.weights: dict[str, dict[str, Tensor]] = {}

    def offer(self, epoch: int, record: Record, networks: Mapping[str, nn.Module], spoilt: bool = False) -> None:
        """Copy the weights of an epoch if it is the best."""
        value = record.get(f"validation_{self.monitor.metric}") if self.monitor else None
        if (spoilt and self.epoch) or (value is not None and not self._better(value)):
            return
        self.epoch, self.value = epoch, value
        if value is not None or self.perishable:
            self.weights = {
                name: {key: tensor.clone() for key, tensor in network.state_dict().items()}
                for name, network in networks.items()
            }

    def restore(self, networks: Mapping[str, nn.Module]) -> None:
        """Put the best weights back into the networks."""
        for name, weights in self.weights.items():
            networks[name].load_state_dict(weights)

    def tensors(self) -> Tensors:
        """The weights that are kept, as NETWORK.NAME; none if the last epoch is the best."""
        return {key: value for name, weights in self.weights.items() for key, value in prefixed(name, weights).items()}

    def resume(self, epoch: int, value: float | None, saved: Tensors, networks: Mapping[str, nn.Module]) -> None:
        """Go on with the best epoch of a checkpoint. Raises: ResumeError if its weights are not those of `networks`."""
        self.epoch, self.value = epoch, value
        if saved:
            require_alike(tensors_of(networks), saved)
            self.weights = {name: under(name, saved) for name in networks}

    def _better(self, value: float) -> bool:
        if self.value is None or self.monitor is None:
            return True
        return value > self.value if self.monitor.better == "higher" else value < self.value
