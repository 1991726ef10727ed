"""The networks with which Such et al. (2017) play Atari, in numpy: their weights are slices of one vector.

https://arxiv.org/abs/1712.06567; sizes, padding and scales as in
https://github.com/uber-research/deep-neuroevolution, `gpu_implementation/neuroevolution/models/dqn.py`.  For worlds in
worker processes, where a network sees one picture at a time and nothing is differentiated.
"""

import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from jaxtyping import Float32, UInt8

SIDE, PICTURES = 84, 4
LAST = 0.1
"""How much smaller the first weights of the last layer are."""


class Network(NamedTuple):
    """Convolutions (kernels, size, stride), padded as TensorFlow's SAME does, then two linear layers."""

    convolutions: tuple[tuple[int, int, int], ...]
    hidden: int
    actions: int

    @property
    def size(self) -> int:
        """How many weights."""
        return sum(math.prod(shape) + shape[-1] for shape in self.shapes())

    def shapes(self) -> tuple[tuple[int, ...], ...]:
        """The weights of each layer, inputs before outputs; after each come its biases."""
        side, channels, found = SIDE, PICTURES, []
        for kernels, size, stride in self.convolutions:
            found.append((size, size, channels, kernels))
            side, channels = -(-side // stride), kernels
        return (*found, (side * side * channels, self.hidden), (self.hidden, self.actions))

    def scale(self) -> Float32[np.ndarray, " d"]:
        """The deviations of the first weights: 1 / sqrt(inputs), ten times less in the last layer; no biases."""
        parts = []
        for shape in self.shapes():
            deviation = 1 / math.sqrt(math.prod(shape[:-1]))
            parts += [np.full(math.prod(shape), deviation), np.zeros(shape[-1])]
        parts[-2] *= LAST
        return np.concatenate(parts).astype(np.float32)

    def action(self, weights: Float32[np.ndarray, " d"], pictures: UInt8[np.ndarray, "4 84 84"]) -> int:
        """The best action; the pictures are of bytes, the oldest first."""
        return int(self.outputs(weights, pictures).argmax())

    def outputs(
        self, weights: Float32[np.ndarray, " d"], pictures: UInt8[np.ndarray, "4 84 84"]
    ) -> Float32[np.ndarray, " a"]:
        """What the network says of the pictures."""
        x, end = np.moveaxis(pictures, 0, -1).astype(np.float32) / np.float32(255), 0
        shapes = self.shapes()
        for layer, shape in enumerate(shapes):
            begin, middle = end, end + math.prod(shape)
            end = middle + shape[-1]
            convolved = layer < len(self.convolutions)
            x = patches(x, shape[0], self.convolutions[layer][2]) if convolved else x.reshape(-1)
            x = x @ weights[begin:middle].reshape(-1, shape[-1]) + weights[middle:end]
            if layer + 1 < len(shapes):
                x = np.maximum(x, 0)
        return x


def patches(image: Float32[np.ndarray, "h w c"], size: int, stride: int) -> Float32[np.ndarray, "y x p"]:
    """The square of the image around every place that a convolution looks at, zeros beyond the edge."""
    pads = [padding(side, size, stride) for side in image.shape[:2]]
    windows = np.lib.stride_tricks.sliding_window_view(np.pad(image, (*pads, (0, 0))), (size, size), (0, 1))
    windows = windows[::stride, ::stride].transpose(0, 1, 3, 4, 2)
    return windows.reshape(*windows.shape[:2], -1)


@lru_cache
def padding(side: int, size: int, stride: int) -> tuple[int, int]:
    """Zeros before and after, so that there is an output for every `stride` inputs."""
    missing = max((-(-side // stride) - 1) * stride + size - side, 0)
    return missing // 2, missing - missing // 2


def small(actions: int) -> Network:
    """Mnih et al. (2013), https://arxiv.org/abs/1312.5602: 1,008,450 weights for 18 actions."""
    return Network(((16, 8, 4), (32, 4, 2)), 256, actions)


def large(actions: int) -> Network:
    """Mnih et al. (2015), https://www.nature.com/articles/nature14236: 4,052,658 weights for 18 actions."""
    return Network(((32, 8, 4), (64, 4, 2), (64, 3, 1)), 512, actions)
