"""model.c and model.h: a network as calls of plain kernels on one block of memory, in float32 or int8."""

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from asc_mrkd.errors import ModelError
from asc_mrkd.exports.c_code.arena import place_activations
from asc_mrkd.exports.c_code.graph import Layer, Network, read_network
from asc_mrkd.exports.c_code.text import CodeSize, array_text, fill_in, float_text, read_part, string_text
from asc_mrkd.files import write_text

SHARED_KERNELS = "kernels_shared.c"
"""File with what the kernels of all precisions share; a line `== NAME ==` opens each part."""

KERNELS = {"float32": "kernels_float32.c", "int8": "kernels_int8.c"}
"""Files with the kernels of a precision, in the same form."""

REALS = 4
"""Bytes of a real number."""

LARGEST = float(np.finfo(np.float32).max)
"""Bound of a clip that has none."""


def write_network(folder: Path, model: Any, classes: Sequence[str]) -> CodeSize:
    """Write model.c and model.h.

    Args:
        folder: existing folder.
        model: `onnx.ModelProto` that `save_onnx` or `quantise_onnx` wrote; its form decides on float32 or int8.
        classes: names of the classes in the order of the logits.

    Raises:
        ModelError: the network has an operator that the C code does not have; it is named.
    """
    network = read_network(model)
    is_int8 = any(activation.scale is not None for activation in network.activations.values())
    writer = _Int8Writer(network) if is_int8 else _FloatWriter(network)
    for layer in network.layers:
        writer.add(layer)
    writer.finish()
    channels, rows, columns = network.activations[network.input].shape
    header = fill_in(
        "model.h.in",
        channels=channels,
        rows=rows,
        columns=columns,
        classes=len(classes),
        arena_bytes=writer.arena_bytes,
        weight_bytes=writer.flash,
    )
    code = fill_in(
        "model.c.in",
        includes=writer.includes,
        class_names=", ".join(map(string_text, classes)),
        weights="\n".join(writer.constants),
        type=writer.kind,
        arena_count=writer.arena_bytes // writer.width,
        kernels=writer.kernel_text(),
        set_value=writer.set_value(),
        calls="\n".join(f"    {call}" for call in writer.calls),
    )
    write_text(folder / "model.h", header)
    write_text(folder / "model.c", code)
    return CodeSize(writer.flash, writer.arena_bytes + writer.row_bytes + writer.vector_bytes)


def ratio(first: float, second: float) -> float:
    """Return a quotient as float32 has it."""
    return float(np.float32(first) / np.float32(second))


class _Writer:
    """Collector of constants and calls of one precision."""

    precision: str
    kind: str
    """Type of an activation in C."""
    width: int
    """Bytes of an activation."""
    includes = ""
    used: tuple[str, ...] = ()
    """Kernels that are always needed."""

    def __init__(self, network: Network) -> None:
        self.network = network
        sizes = {name: self.bytes_of(name) for name in network.activations}
        self.places, self.arena_bytes = place_activations(network, sizes)
        self.constants: list[str] = []
        self.calls: list[str] = []
        self.flash = 0
        self.row_bytes = 0
        self.vector_bytes = 0
        self._kernels = dict.fromkeys(self.used)

    def bytes_of(self, name: str) -> int:
        """Return the bytes that an activation takes, a multiple of four."""
        return (self.network.activations[name].size * self.width + REALS - 1) // REALS * REALS

    def add(self, layer: Layer) -> None:
        """Add the call of one layer.

        Raises:
            ModelError: its operator, or a form of it, is not known.
        """
        write = self.operators().get(layer.operator)
        if write is None:
            raise self.refusal(layer)
        self._kernels[layer.operator] = None
        write(layer)

    def operators(self) -> dict[str, Callable[[Layer], None]]:
        """Return the functions that write a call, by operator."""
        raise NotImplementedError

    def finish(self) -> None:
        """Add the call that hands out the logits."""
        raise NotImplementedError

    def set_value(self) -> str:
        """Return the function that sets a value of the input."""
        raise NotImplementedError

    def refusal(self, layer: Layer, form: str = "") -> ModelError:
        """Return the error for a layer that the C code does not have."""
        operator = f"{layer.operator} {form}".strip()
        return ModelError(
            f"{layer.name} is the operator {operator}, which the C code does not have in {self.precision}",
            "export with --to onnx",
        )

    def need(self, kernel: str) -> None:
        """Note that a kernel is used."""
        self._kernels[kernel] = None

    def kernel_text(self) -> str:
        """Return the kernels that are used."""
        text = read_part(SHARED_KERNELS) + read_part(KERNELS[self.precision])
        parts = re.split(r"^/\* == (\w+) == \*/\n", text, flags=re.MULTILINE)
        kernels = dict(zip(parts[1::2], parts[2::2], strict=True))
        return "\n".join(kernels[name] for name in kernels if name in self._kernels)

    def constant(self, values: np.ndarray, kind: str) -> str:
        """Add an array and return its name."""
        name = f"constant{len(self.constants)}"
        self.constants.append(array_text(name, values, kind))
        self.flash += values.size * (1 if kind == "int8_t" else REALS)
        return name

    def shape(self, kind: str, *numbers: int) -> str:
        """Add the sizes of a layer and return the name of the structure."""
        name = f"shape{len(self.constants)}"
        self.constants.append(f"static const {kind} {name} = {{{', '.join(map(str, numbers))}}};\n")
        return name

    def at(self, name: str) -> str:
        """Return the address of an activation."""
        return f"arena + {self.places[name] // self.width}"

    def size(self, name: str) -> int:
        """Return the number of values of an activation."""
        return self.network.activations[name].size

    def conv_sizes(self, layer: Layer, weight: np.ndarray) -> list[int]:
        """Return the sizes of a convolution in the order of `conv_shape`."""
        source = self.network.activations[layer.inputs[0]].shape
        target = self.network.activations[layer.output].shape
        strides = layer.attributes.get("strides", [1, 1])
        pads = layer.attributes.get("pads", [0] * 4)  # those behind the map follow from the size of the output
        dilations = layer.attributes.get("dilations", [1, 1])
        group = layer.attributes.get("group", 1)
        return [*source, *target, *weight.shape[2:], *strides, *pads[:2], *dilations, group]

    def pool_shape(self, layer: Layer) -> str:
        """Add the sizes of a pooling and return the name of the structure."""
        pads = layer.attributes.get("pads", [0] * 4)
        is_rounded_up = layer.attributes.get("ceil_mode") and layer.operator == "AveragePool"  # which divides otherwise
        if any(size != 1 for size in layer.attributes.get("dilations", [1])) or is_rounded_up:
            raise self.refusal(layer, "with dilation or rounded up")
        source = self.network.activations[layer.inputs[0]].shape
        target = self.network.activations[layer.output].shape
        strides = layer.attributes.get("strides", [1, 1])
        self.need("pool_shape")
        sizes = [*source, *target[1:], *layer.attributes["kernel_shape"], *strides, *pads[:2]]
        return self.shape("pool_shape", *sizes)

    def channel_padding(self, layer: Layer) -> tuple[int, int, int]:
        """Return the values before, in and after a map that zero channels are added to."""
        fills = [array for array in layer.arrays[1:] if array.dtype.kind == "f"]
        if layer.attributes.get("mode", b"constant") != b"constant" or any(map(np.any, fills)):
            raise self.refusal(layer, "by other values than zero")
        widths = layer.arrays[0].tolist() if layer.arrays else []
        if len(widths) != 8 or any([widths[0], *widths[2:5], *widths[6:]]):
            raise self.refusal(layer, "of another axis than the channels")
        channels, *plane = self.network.activations[layer.inputs[0]].shape
        values = int(np.prod(plane))
        return widths[1] * values, channels * values, widths[5] * values

    def bounds(self, layer: Layer) -> tuple[float, float]:
        """Return the least and the largest value that a ReLU or a clip lets through."""
        if layer.operator == "Relu":
            return 0.0, LARGEST
        if len(layer.inputs) != 1:
            raise self.refusal(layer, "with bounds that are not constant")
        low, high = [*layer.arrays, np.empty(0), np.empty(0)][:2]
        least = low.item() if low.size else -LARGEST
        largest = high.item() if high.size else LARGEST
        return max(least, -LARGEST), min(largest, LARGEST)  # C has no number for infinity

    def scale_and_shift(self, layer: Layer) -> tuple[np.ndarray, np.ndarray]:
        """Return the factor and the constant of a batch normalisation, per channel."""
        real = []
        for array, step in zip(layer.arrays, layer.scales, strict=True):  # in int8, gain and shift are quantised
            real.append(array.astype(np.float64) * (1.0 if step is None else step))
        gain, shift, mean, variance = real
        scale = gain / np.sqrt(variance + layer.attributes["epsilon"])
        return scale, shift - mean * scale

    def require_planes(self, layer: Layer) -> tuple[int, int]:
        """Return channels and values per plane of a mean over rows and columns."""
        shape = self.network.activations[layer.inputs[0]].shape
        axes = layer.arrays[0] if layer.arrays else ()
        if len(shape) != 3 or sorted(int(axis) % 4 for axis in axes) != [2, 3]:
            raise self.refusal(layer, "over other axes than rows and columns")
        return shape[0], shape[1] * shape[2]

    def weight_and_bias(self, layer: Layer) -> tuple[np.ndarray, np.ndarray]:
        """Return weight and bias of a convolution or a dense layer; a bias that is not there is zero."""
        if len(layer.inputs) != 1 or not layer.arrays:
            raise self.refusal(layer, "with a weight that is not constant")
        weight, *bias = layer.arrays
        return weight, bias[0] if bias else np.zeros(len(weight), np.int32)

    def require_matrix(self, layer: Layer) -> None:
        """Refuse a dense layer whose weight is not (output, input), or that multiplies by more than its weight."""
        attributes = layer.attributes
        is_plain = attributes.get("alpha", 1.0) == attributes.get("beta", 1.0) == 1.0 and not attributes.get("transA")
        if not attributes.get("transB") or not is_plain:
            raise self.refusal(layer, "with another matrix")

    def require_equal_shapes(self, layer: Layer) -> None:
        """Refuse a sum that is not one of two activations of the same shape."""
        shapes = {self.network.activations[name].shape for name in (*layer.inputs, layer.output)}
        if len(layer.inputs) != 2 or len(shapes) != 1:
            raise self.refusal(layer, "with a constant or with other shapes")


class _FloatWriter(_Writer):
    """Writer of float32."""

    precision = "float32"
    kind = "float"
    width = 4

    def operators(self) -> dict[str, Callable[[Layer], None]]:
        return {
            "Conv": self._conv,
            "Relu": lambda layer: self._call("relu", layer, self.size(layer.output)),
            "Clip": self._clip,
            "Add": self._add,
            "BatchNormalization": self._batch_norm,
            "MaxPool": self._max_pool,
            "AveragePool": self._average_pool,
            "Pad": lambda layer: self._call("pad_channels", layer, *self.channel_padding(layer)),
            "ReduceMean": lambda layer: self._call("mean_of_planes", layer, *self.require_planes(layer)),
            "Gemm": self._dense,
        }

    def _call(self, kernel: str, layer: Layer, *others: object) -> None:
        arguments = ", ".join([self.at(layer.inputs[0]), self.at(layer.output), *map(str, others)])
        self.calls.append(f"{kernel}({arguments});")

    def _conv(self, layer: Layer) -> None:
        weight, bias = self.weight_and_bias(layer)
        shape = self.shape("conv_shape", *self.conv_sizes(layer, weight))
        names = [self.constant(weight, "float"), self.constant(bias, "float")]
        arguments = ", ".join([f"&{shape}", self.at(layer.inputs[0]), *names, self.at(layer.output)])
        self.calls.append(f"conv({arguments});")

    def _add(self, layer: Layer) -> None:
        self.require_equal_shapes(layer)
        first, second = map(self.at, layer.inputs)
        self.calls.append(f"add({first}, {second}, {self.at(layer.output)}, {self.size(layer.output)});")

    def _clip(self, layer: Layer) -> None:
        self._call("clip", layer, self.size(layer.output), *map(float_text, self.bounds(layer)))

    def _batch_norm(self, layer: Layer) -> None:
        names = [self.constant(array, "float") for array in self.scale_and_shift(layer)]
        channels, *plane = self.network.activations[layer.output].shape
        arguments = [self.at(layer.inputs[0]), *names, self.at(layer.output), str(channels), str(int(np.prod(plane)))]
        self.calls.append(f"scale_and_shift({', '.join(arguments)});")

    def _max_pool(self, layer: Layer) -> None:
        shape = self.pool_shape(layer)
        self.calls.append(f"max_pool(&{shape}, {self.at(layer.inputs[0])}, {self.at(layer.output)});")

    def _average_pool(self, layer: Layer) -> None:
        options = f"&{self.pool_shape(layer)}, {layer.attributes.get('count_include_pad', 0)}"
        self.calls.append(f"average_pool({options}, {self.at(layer.inputs[0])}, {self.at(layer.output)});")

    def _dense(self, layer: Layer) -> None:
        self.require_matrix(layer)
        weight, bias = self.weight_and_bias(layer)
        names = [self.constant(weight, "float"), self.constant(bias, "float")]
        arguments = [
            self.at(layer.inputs[0]),
            *names,
            self.at(layer.output),
            str(weight.shape[1]),
            str(weight.shape[0]),
        ]
        self.calls.append(f"dense({', '.join(arguments)});")

    def finish(self) -> None:
        self.calls.append(f"memcpy(logits, {self.at(self.network.output)}, sizeof(float) * MODEL_CLASSES);")

    def set_value(self) -> str:
        place = "(channel * MODEL_ROWS + row) * MODEL_COLUMNS + column"
        return f"""void model_set_value(int channel, int row, int column, float value)
{{
    arena[{self.places[self.network.input] // self.width} + {place}] = value;
}}
"""


class _Int8Writer(_Writer):
    """Writer of int8: activations and weights in int8, biases and sums in int32, one scale per tensor and filter."""

    precision = "int8"
    kind = "int8_t"
    width = 1
    includes = "#include <math.h>\n#include <stdint.h>"
    used = ("quantise",)

    def __init__(self, network: Network) -> None:
        super().__init__(network)
        self._are_logits_real = False

    def operators(self) -> dict[str, Callable[[Layer], None]]:
        return {
            "Conv": self._conv,
            "Relu": self._clip,
            "Clip": self._clip,
            "Add": self._add,
            "BatchNormalization": self._batch_norm,
            "MaxPool": self._max_pool,
            "AveragePool": self._average_pool,
            "Pad": self._pad,
            "ReduceMean": self._mean,
            "Gemm": self._dense,
        }

    def _scale(self, layer: Layer, name: str) -> tuple[float, int]:
        """Return scale and zero of an activation.

        Raises:
            ModelError: it is not quantised.
        """
        activation = self.network.activations[name]
        if activation.scale is None:
            raise self.refusal(layer, "without quantisation")
        return activation.scale, activation.zero

    def _require_equal_scales(self, layer: Layer) -> int:
        """Return the zero that input and output share."""
        if self._scale(layer, layer.inputs[0]) != self._scale(layer, layer.output):
            raise self.refusal(layer, "between different scales")
        return self._scale(layer, layer.output)[1]

    def _weights(self, layer: Layer, factor: float) -> list[str]:
        """Add int8 weights, int32 biases and the factors of the sums; return their names."""
        weight, bias = self.weight_and_bias(layer)
        if weight.dtype != np.int8 or bias.dtype != np.int32:
            raise self.refusal(layer, "without quantisation")
        scales = np.broadcast_to(np.asarray(layer.scales[0], np.float32), len(weight)) * np.float32(factor)
        return [self.constant(weight, "int8_t"), self.constant(bias, "int32_t"), self.constant(scales, "float")]

    def _conv(self, layer: Layer) -> None:
        scale, zero = self._scale(layer, layer.inputs[0])
        out_scale, out_zero = self._scale(layer, layer.output)
        names = self._weights(layer, ratio(scale, out_scale))
        sizes = self.conv_sizes(layer, layer.arrays[0])
        self.row_bytes = max(self.row_bytes, REALS * sizes[5])
        shape = self.shape("conv_shape", *sizes, zero, out_zero)
        arguments = ", ".join([f"&{shape}", self.at(layer.inputs[0]), *names, self.at(layer.output)])
        self.calls.append(f"conv({arguments});")

    def _add(self, layer: Layer) -> None:
        self.require_equal_shapes(layer)
        out_scale, out_zero = self._scale(layer, layer.output)
        parts = []
        for name in layer.inputs:
            scale, zero = self._scale(layer, name)
            parts += [self.at(name), str(zero), float_text(ratio(scale, out_scale))]
        arguments = [*parts, self.at(layer.output), str(out_zero), str(self.size(layer.output))]
        self.calls.append(f"add({', '.join(arguments)});")

    def _clip(self, layer: Layer) -> None:
        self.need("clip")
        scale, zero = self._scale(layer, layer.inputs[0])
        out_scale, out_zero = self._scale(layer, layer.output)
        shares = [float_text(np.clip(bound / out_scale, -LARGEST, LARGEST)) for bound in self.bounds(layer)]
        numbers = [str(self.size(layer.output)), str(zero), float_text(ratio(scale, out_scale)), *shares, str(out_zero)]
        self.calls.append(f"clip({', '.join([self.at(layer.inputs[0]), self.at(layer.output), *numbers])});")

    def _batch_norm(self, layer: Layer) -> None:
        scale, zero = self._scale(layer, layer.inputs[0])
        out_scale, out_zero = self._scale(layer, layer.output)
        gain, shift = self.scale_and_shift(layer)
        names = [self.constant(gain * scale / out_scale, "float"), self.constant(shift / out_scale, "float")]
        channels, *plane = self.network.activations[layer.output].shape
        sizes = f"{out_zero}, {channels}, {int(np.prod(plane))}"
        place = f"{self.at(layer.inputs[0])}, {zero}, {', '.join(names)}, {self.at(layer.output)}"
        self.calls.append(f"scale_and_shift({place}, {sizes});")

    def _max_pool(self, layer: Layer) -> None:
        self._require_equal_scales(layer)
        shape = self.pool_shape(layer)
        self.calls.append(f"max_pool(&{shape}, {self.at(layer.inputs[0])}, {self.at(layer.output)});")

    def _average_pool(self, layer: Layer) -> None:
        zero = self._require_equal_scales(layer)
        options = f"&{self.pool_shape(layer)}, {layer.attributes.get('count_include_pad', 0)}"
        self.calls.append(f"average_pool({options}, {self.at(layer.inputs[0])}, {zero}, {self.at(layer.output)});")

    def _pad(self, layer: Layer) -> None:
        zero = self._require_equal_scales(layer)
        arguments = [self.at(layer.inputs[0]), self.at(layer.output), *map(str, self.channel_padding(layer)), str(zero)]
        self.calls.append(f"pad_channels({', '.join(arguments)});")

    def _mean(self, layer: Layer) -> None:
        scale, zero = self._scale(layer, layer.inputs[0])
        sizes = ", ".join(map(str, self.require_planes(layer)))
        target = self._real_output(layer)
        call = f"mean_of_planes({self.at(layer.inputs[0])}, {target}, {sizes}, {zero}, {float_text(scale)});"
        self._add_real_call(layer, call)

    def _dense(self, layer: Layer) -> None:
        self.require_matrix(layer)
        scale, zero = self._scale(layer, layer.inputs[0])
        names = ", ".join(self._weights(layer, scale))
        sizes = f"{self.size(layer.inputs[0])}, {self.size(layer.output)}"
        call = f"dense({self.at(layer.inputs[0])}, {zero}, {names}, {self._real_output(layer)}, {sizes});"
        self._add_real_call(layer, call)

    def _real_output(self, layer: Layer) -> str:
        """Return the place of real numbers that a kernel writes: the logits, or a vector that is quantised after it."""
        return "logits" if layer.output == self.network.output else "vector"

    def _add_real_call(self, layer: Layer, call: str) -> None:
        """Add a call that writes real numbers, and quantise them unless they are the logits."""
        count = self.size(layer.output)
        activation = self.network.activations[layer.output]
        if layer.output == self.network.output:
            self._are_logits_real = True
            self.calls.append(call)
            if activation.scale is not None:
                self.need("quantise_values")
                self.need("dequantise_values")
                form = f"{count}, {float_text(activation.scale)}, {activation.zero}"
                self.calls.append(f"quantise_values(logits, {self.at(layer.output)}, {form});")
                self.calls.append(f"dequantise_values({self.at(layer.output)}, logits, {form});")
            return
        scale, zero = self._scale(layer, layer.output)
        self.need("quantise_values")
        place = f"{self.at(layer.output)}, {count}, {float_text(scale)}, {zero}"
        self.calls += ["{", f"    static float vector[{count}];", f"    {call}"]
        self.calls += [f"    quantise_values(vector, {place});", "}"]
        self.vector_bytes += REALS * count

    def finish(self) -> None:
        if self._are_logits_real:
            return
        output = self.network.activations[self.network.output]
        if output.scale is None:
            raise ModelError("the logits are not quantised, which the C code needs in int8", "export with --to onnx")
        self.need("dequantise_values")
        form = f"MODEL_CLASSES, {float_text(output.scale)}, {output.zero}"
        self.calls.append(f"dequantise_values({self.at(self.network.output)}, logits, {form});")

    def kernel_text(self) -> str:
        return f"#define MOST_COLUMNS {max(1, self.row_bytes // REALS)}\n\n{super().kernel_text()}"

    def set_value(self) -> str:
        source = self.network.activations[self.network.input]
        assert source.scale is not None
        place = f"{self.places[self.network.input]} + (channel * MODEL_ROWS + row) * MODEL_COLUMNS + column"
        return f"""void model_set_value(int channel, int row, int column, float value)
{{
    arena[{place}] = quantise(value / {float_text(source.scale)}, {source.zero});
}}
"""
