"""The organisers' TFLite baselines as ONNX files: the layers, widths and shapes of those networks, values of one.

To see the figures of 2022: `python tests/helpers/onnx_models.py baseline.onnx`, and then
`asc-mrkd check-budget baseline.onnx --rule dcase2022-task1`.
"""

import sys
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

CONVOLUTIONS = ((1, 16), (16, 16), (16, 32))
DENSE = ((64, 100), (100, 10))


class Builder:
    """Collector of the nodes and initialisers of a chain."""

    def __init__(self, precision: str):
        self.precision = precision
        self.nodes = []
        self.initialisers = []
        self.value = "input"

    def constant(self, name, array):
        self.initialisers.append(numpy_helper.from_array(np.asarray(array), name))
        return name

    def stored(self, name, shape):
        """Return the value of an initialiser of ones; an int8 one is a quantised weight, or a bias in int32."""
        if self.precision == "float16":
            return self.constant(name, np.ones(shape, np.float16))
        dtype = np.int8 if len(shape) > 1 else np.int32
        inputs = [self.constant(name, np.ones(shape, dtype)), self.constant(f"{name}_scale", np.float32(0.1))]
        if dtype == np.int8:
            inputs.append(self.constant(f"{name}_zero_point", np.int8(0)))
        self.nodes.append(helper.make_node("DequantizeLinear", inputs, [f"{name}_real"]))
        return f"{name}_real"

    def add(self, op, *inputs, **attributes):
        output = f"{op}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, [self.value, *inputs], [output], name=output, **attributes))
        self.value = output

    def layer(self, op, name, shape, **attributes):
        out_channels = shape[0]
        self.add(op, self.stored(f"{name}.weight", shape), self.stored(f"{name}.bias", (out_channels,)), **attributes)
        if self.precision == "int8":
            scale = self.constant(f"{name}_out_scale", np.float32(1))
            zero = self.constant(f"{name}_out_0", np.int8(0))
            self.add("QuantizeLinear", scale, zero)
            self.add("DequantizeLinear", scale, zero)

    def write(self, path, input_shape):
        dtype = TensorProto.FLOAT16 if self.precision == "float16" else TensorProto.FLOAT
        graph = helper.make_graph(
            self.nodes,
            "baseline",
            [helper.make_tensor_value_info("input", dtype, ["batch", *input_shape])],
            [helper.make_tensor_value_info(self.value, dtype, ["batch", DENSE[-1][1]])],
            self.initialisers,
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
        onnx.checker.check_model(model, full_check=True)
        onnx.save(model, path)


def write_baseline(path: Path, precision: str, frames: int, window: int) -> Path:
    """Write the baseline for inputs of 1 x 40 x frames; the second pooling window is 4 x `window`."""
    build = Builder(precision)
    for number, (inside, outside) in enumerate(CONVOLUTIONS):
        build.layer("Conv", f"conv{number}", (outside, inside, 7, 7), pads=[3, 3, 3, 3])
        build.add("Relu")
        if number:
            size = [5, 5] if number == 1 else [4, window]
            build.add("MaxPool", kernel_shape=size, strides=size)
    build.add("Flatten")
    for number, (inside, outside) in enumerate(DENSE):
        build.layer("Gemm", f"dense{number}", (outside, inside), transB=1)
    build.write(path, (1, 40, frames))
    return path


def write_baseline_2021(path: Path) -> Path:
    """Write the baseline of 2021 in float16, for 10 seconds; batch normalisation is folded."""
    return write_baseline(path, "float16", frames=500, window=100)


def write_baseline_2022(path: Path) -> Path:
    """Write the baseline of 2022 with weights in int8 and biases in int32, for 1 second."""
    return write_baseline(path, "int8", frames=51, window=10)


if __name__ == "__main__":
    write_baseline_2022(Path(sys.argv[1]))
