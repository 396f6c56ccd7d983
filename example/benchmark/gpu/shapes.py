"""The layers of ResNet-50 and MobileNet 1.0, as in MXNet's model zoo: each shape with how often it occurs."""

from typing import Dict, List, NamedTuple


class Layer(NamedTuple):
    size: int  # height and width of the input
    channels: int
    filters: int
    kernel: int
    stride: int = 1
    groups: int = 1
    residual: bool = False
    count: int = 1

    @property
    def out_size(self) -> int:
        return (self.size + 2 * (self.kernel // 2) - self.kernel) // self.stride + 1

    @property
    def name(self) -> str:
        kind = "depthwise " if self.groups > 1 else ""
        tail = (f" /{self.stride}" if self.stride > 1 else "") + (" + sum" if self.residual else "")
        return f"{self.size}x{self.size} {kind}{self.kernel}x{self.kernel} {self.channels}-{self.filters}{tail}"

    def macs(self, batch: int) -> int:
        return batch * self.out_size**2 * self.filters * self.channels // self.groups * self.kernel**2

    def bytes(self, batch: int) -> int:
        """Of int8 data in, out, residual and weights."""
        out = batch * self.out_size**2 * self.filters
        weights = self.filters * self.channels // self.groups * self.kernel**2
        return batch * self.size**2 * self.channels + out * (2 if self.residual else 1) + weights


def _resnet50() -> List[Layer]:
    layers = [Layer(224, 3, 64, 7, 2)]
    for i, blocks in enumerate((3, 4, 6, 3)):
        size, narrow, wide = 56 >> i, 64 << i, 256 << i
        before, stride = (64, 1) if i == 0 else (wide // 2, 2)
        layers += [
            Layer(size * stride, before, narrow, 1, stride),
            Layer(size * stride, before, wide, 1, stride),
            Layer(size, wide, narrow, 1, count=blocks - 1),
            Layer(size, narrow, narrow, 3, count=blocks),
            Layer(size, narrow, wide, 1, residual=True, count=blocks),
        ]
    return layers + [Layer(1, 2048, 1000, 1)]


def _mobilenet() -> List[Layer]:
    layers = [Layer(224, 3, 32, 3, 2)]
    rows = [(112, 32, 64, 1, 1), (112, 64, 128, 2, 1), (56, 128, 128, 1, 1), (56, 128, 256, 2, 1), (28, 256, 256, 1, 1)]
    rows += [(28, 256, 512, 2, 1), (14, 512, 512, 1, 5), (14, 512, 1024, 2, 1), (7, 1024, 1024, 1, 1)]
    for size, channels, filters, stride, count in rows:
        layers.append(Layer(size, channels, channels, 3, stride, channels, count=count))
        layers.append(Layer(size // stride, channels, filters, 1, count=count))
    return layers + [Layer(1, 1024, 1000, 1)]


NETWORKS: Dict[str, List[Layer]] = {"resnet50": _resnet50(), "mobilenet": _mobilenet()}
