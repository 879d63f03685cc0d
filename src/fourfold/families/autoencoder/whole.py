"""The step of the source article's autoencoder with its gradients by hand.

Autograd's graph, and a bias copied under every output before the product is added to it, take a tenth of a step of a
network so small.

Shapes: n batch, d values of an example, k latent.
"""

import torch
from torch import Tensor, nn

from ..contract import Losses, Networks
from ..native.cross_entropy import takes, with_gradient
from .networks import DenseDecoder, DenseEncoder


def losses(networks: Networks, x: Tensor, target: Tensor) -> Losses | None:
    """The mean cross-entropy of target and decoder(encoder(x)), with its gradients; None where autograd must serve.

    That is for all but `DenseEncoder` and `DenseDecoder` in full precision that learn whole, on a CPU with native
    kernels. x, target: (n, *shape), in [0, 1].
    """
    encoder, decoder = networks["encoder"], networks["decoder"]
    if not isinstance(encoder, DenseEncoder) or not isinstance(decoder, DenseDecoder) or not torch.is_grad_enabled():
        return None
    into, out_of = encoder.layers[1], decoder.layers[0]
    assert isinstance(into, nn.Linear)
    assert isinstance(out_of, nn.Linear)
    weights = (into.weight, into.bias, out_of.weight, out_of.bias)
    if x.requires_grad or not (takes(x, target) and all(map(_learns, weights))) or _watched(encoder, decoder):
        return None
    with torch.no_grad():
        mean, gradients = _by_hand(x.flatten(1), target.flatten(1), *weights)
    return Losses(mean, {}, dict(zip(weights, gradients, strict=True)))


def _by_hand(x: Tensor, target: Tensor, w: Tensor, b: Tensor, v: Tensor, c: Tensor) -> tuple[Tensor, list[Tensor]]:
    """For z = relu(x w' + b) and outputs z v' + c: the mean and its gradients with respect to w, b, v and c.

    The bias c is one more column of v, and 1 one more number of each code.
    """
    z = torch.addmm(b, x, w.t()).relu_()
    ones = z.new_ones(len(z), 1)
    wide_z = torch.cat([z, ones], dim=1)
    mean, d_outputs = with_gradient(wide_z @ torch.cat([v, c[:, None]], dim=1).t(), target)
    assert d_outputs is not None
    d_wide = d_outputs.t() @ wide_z
    d_z = (d_outputs @ v).mul_(z > 0)
    return mean, [d_z.t() @ x, d_z.sum(0), d_wide[:, :-1].contiguous(), d_wide[:, -1].contiguous()]


def _learns(weight: Tensor) -> bool:
    return type(weight) is nn.Parameter and weight.dtype is torch.float32 and weight.is_cpu and weight.requires_grad


def _watched(*networks: nn.Module) -> bool:
    """Whether somebody compiled a network, counts operators or what they keep, or computes in another precision."""
    return (
        any(network._compiled_call_impl is not None for network in networks)
        or torch.is_autocast_enabled("cpu")
        or torch._C._len_torch_dispatch_stack() > 0
        or torch._C._autograd._top_saved_tensors_default_hooks(True) is not None
    )
