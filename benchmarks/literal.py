"""UniPool written down step by step as its publication describes it, for comparison.

Planes are (B, C, L, T); nothing is fused, reordered or masked. It takes the weights of
``unipool.backends.unipool.UniPool`` of the same sizes.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from unipool.backends.unipool import UniPool


def conv(weight: Tensor, bias: Tensor | None, plane: Tensor) -> Tensor:
    """Apply a linear map of channels as a 1 x 1 convolution."""
    return functional.conv2d(plane, weight[:, :, None, None], bias)


def norm(module: nn.BatchNorm1d, plane: Tensor) -> Tensor:
    """Apply a batch norm of channels to a plane, or to frames."""
    return functional.batch_norm(
        plane,
        module.running_mean,
        module.running_var,
        module.weight,
        module.bias,
        module.training,
        module.momentum,
        module.eps,
    )


class LiteralUniPool(nn.Module):
    """The published steps, one after another, on the weights of a UniPool.

    Args:
        backend: whose weights it uses.
    """

    def __init__(self, backend: UniPool) -> None:
        super().__init__()
        self.ours = backend

    def forward(self, hidden_states: Tensor) -> Tensor:
        """Embed utterances of equal length, (B, L, T, D)."""
        ours = self.ours
        plane = hidden_states[:, ours.first_layer :].permute(0, 3, 1, 2).contiguous()
        plane = conv(ours.project.weight, ours.project.bias, plane)
        plane = norm(ours.norm.norm, plane)
        planes = []
        for block in ours.blocks:
            plane = self.d3_block(block, plane)
            planes.append(plane)
        return self.pool(torch.cat(planes, dim=1))

    def d3_block(self, block: nn.Module, plane: Tensor) -> Tensor:
        vad = block.vad
        mixed, gates = [], []
        for layer in range(plane.shape[2]):  # a weighted sum for each target layer
            weights = vad.mixing_logits[layer].softmax(dim=0)
            of_layer = (plane * weights[None, None, :, None]).sum(dim=2)
            score = (of_layer * vad.weight[layer][None]).sum(dim=1) + vad.bias[layer]
            mixed.append(of_layer)
            gates.append(score.sigmoid())
        voiced = torch.stack(mixed, dim=2) * torch.stack(gates, dim=1)[:, None]
        maps = [conv(block.squeeze.weight, block.squeeze.bias, voiced)]
        for stage in block.stages:
            made = [
                convolution(norm(normed.norm, one).relu())
                for normed, convolution, one in zip(
                    stage.norms, stage.convs, maps, strict=True
                )
            ]
            maps.append(torch.stack(made).sum(dim=0))
        dense = torch.cat(maps, dim=1)
        attention = block.attention
        weights = attention.of_mean(dense.mean(dim=(2, 3))) + attention.of_max(
            dense.amax(dim=(2, 3))
        )
        dense = dense * weights.sigmoid()[:, :, None, None]
        return (dense + voiced) + voiced

    def pool(self, plane: Tensor) -> Tensor:
        layers, frames = self.ours.layer_pool, self.ours.frame_pool
        reduce = layers.reduce
        plane = conv(layers.project.weight, None, norm(layers.norm.norm, plane))
        batch, channels, num_layers, num_frames = plane.shape
        heads = plane.view(batch, reduce.num_heads, -1, num_layers, num_frames)
        scores = torch.zeros(())
        for summary in (heads.mean(dim=2), heads.amax(dim=2)):  # (B, H, L, T)
            rows = summary.permute(0, 3, 1, 2).unsqueeze(3)  # (B, T, H, 1, L)
            hidden = (rows @ reduce.squeeze + reduce.squeeze_bias[:, None]).relu()
            scores = scores + hidden @ reduce.excite + reduce.excite_bias[:, None]
        weights = reduce.dropout(scores.sigmoid()).squeeze(3).permute(0, 2, 3, 1)
        pooled = (heads * weights[:, :, None]).amax(dim=3)
        pooled = pooled.reshape(batch, channels, num_frames)
        pooled = functional.conv1d(pooled, layers.mix.weight[:, :, None])
        x = norm(layers.out_norm.norm, pooled)
        mean = x.mean(dim=2, keepdim=True).expand_as(x)
        std = x.std(dim=2, keepdim=True).expand_as(x)
        context = torch.cat([x, mean, std], dim=1)
        squeezed = functional.conv1d(
            context, frames.squeeze.weight[:, :, None], frames.squeeze.bias
        )
        squeezed = norm(frames.norm.norm, squeezed.relu())
        logits = functional.conv1d(
            squeezed, frames.excite.weight[:, :, None], frames.excite.bias
        )
        weights = frames.dropout(logits.softmax(dim=2))
        mean = (weights * x).sum(dim=2)
        variance = (weights * x.square()).sum(dim=2) - mean.square()
        return self.ours.head(torch.cat([mean, variance.clamp(min=1e-4).sqrt()], dim=1))
