"""The graph of an ONNX file for a batch of one: its nodes, its constants, and the shapes of its values."""

from collections import defaultdict
from collections.abc import Iterator
from copy import deepcopy
from functools import cached_property
from math import ceil, prod
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from asc_mrkd.budget.memory import Value
from asc_mrkd.budget.onnx.operators import MICROSOFT, MOVING, OPERATORS, PLAIN, SETTINGS, STANDARD, STATES
from asc_mrkd.deploy.onnx_session import import_libraries
from asc_mrkd.errors import DamagedFileError, ModelError, first_line

PURPOSE = "counting an .onnx file"


class Graph:
    """Main graph of an ONNX model, for a batch of one.

    Raises:
        DamagedFileError: `path` is not a whole ONNX file.
        ModelError: the graph has parts that cannot be counted: control flow, sparse tensors.
    """

    def __init__(self, path: Path) -> None:
        self._model = _read_onnx(path)
        named = deepcopy(self._model.graph)
        _name_by_domain(named)
        self.nodes = list(named.node)
        """Nodes in the order of the file, which is an order of execution."""
        self.constants: dict[str, np.ndarray] = _read_constants(path, self._model.graph)
        """Arrays by name: initialisers first, then the values of `Constant` nodes."""
        self.initialisers = {tensor.name for tensor in self._model.graph.initializer}
        """Names of the constants that are initialisers."""
        self.producers = {
            name: node for node in self.nodes if node.op_type != "Constant" for name in node.output if name
        }
        """Node that makes a value; constants and inputs are left out, and outputs without a name."""
        self._consumers: defaultdict[str, list[tuple[Any, int]]] = defaultdict(list)
        for node in self.nodes:
            for position, name in enumerate(node.input):
                self._consumers[name].append((node, position))
        self.inputs = [value.name for value in self._model.graph.input if value.name not in self.initialisers]
        """Names of the inputs."""
        self.outputs = [value.name for value in self._model.graph.output]
        """Names of the outputs."""
        self._fixed = {*self.constants, ""}
        for node in self.nodes:
            if node.op_type == "Constant" or (node.input and self._fixed.issuperset(node.input)):
                self._fixed.update(node.output)
        self._facts: dict[str, Facts] | None = None
        self._has_run = False

    def is_setting(self, name: str) -> bool:
        """Return whether every node that takes a constant takes it as a setting: a scale, a bound, a fill value."""
        uses = self._consumers[name]
        is_single = self.constants[name].size == 1
        if uses and all(self._takes_setting(node, position, is_single) for node, position in uses):
            return True
        return not self.constants[name].any() and self._is_initial_state(name)

    def _is_initial_state(self, name: str) -> bool:
        """Return whether a constant reaches nothing but initial states of recurrent operators."""
        for node, position in self._consumers[name]:
            if node.op_type in MOVING and position == 0:
                if not self._is_initial_state(node.output[0]):
                    return False
            elif position not in STATES or OPERATORS.get(node.op_type, OPERATORS["Conv"]).times != "steps":
                return False
        return bool(self._consumers[name])

    def _takes_setting(self, node: Any, position: int, is_single: bool) -> bool:
        """Return whether a node takes a constant at a position, of a single value or of several, as a setting."""
        if node.op_type in SETTINGS:
            return position in SETTINGS[node.op_type]
        if node.op_type.startswith("QLinear") and is_single:
            return True
        return self._is_dynamic_scale(node)

    def _is_dynamic_scale(self, node: Any) -> bool:
        """Return whether a node multiplies the scale of a weight with the scale found for an activation."""
        makers = [self.producers.get(name) for name in node.input]
        return node.op_type == "Mul" and any(maker and maker.op_type == "DynamicQuantizeLinear" for maker in makers)

    def is_dequantised(self, name: str) -> bool:
        """Return whether a constant stands for real numbers by way of a scale."""
        return any(node.op_type == "DequantizeLinear" and position == 0 for node, position in self._consumers[name])

    def is_constant(self, name: str) -> bool:
        """Return whether a value depends on constants only; the empty name, of a part left out, counts as constant."""
        return name in self._fixed

    def sources(self, name: str) -> Iterator[str]:
        """Yield the constants behind a constant value: its origin first, then the constants that change it.

        Of the latter only real numbers count (a mask, a factor), not the integers of axes and shapes.
        """
        maker = self.producers.get(name)
        if maker is None:
            if name in self.constants:
                yield name
            return
        for position, source in enumerate(maker.input):
            for found in self.sources(source):
                if position == 0 or is_real(self.constants[found]):
                    yield found

    def producer_through(self, name: str, through: tuple[str, ...]) -> Any:
        """Return the node that makes a value, skipping the operators in `through`; None for an input."""
        maker = self.producers.get(name)
        while maker is not None and maker.op_type in through:
            maker = self.producers.get(maker.input[0])
        return maker

    def shape(self, name: str) -> tuple[int, ...]:
        """Return the shape of a value for a batch of one.

        Raises:
            ModelError: more dimensions than the batch are free, or an operator is not one of ONNX.
        """
        if name in self.constants:
            return self.constants[name].shape
        shape = self._find_facts(name).shape
        known = tuple(size for size in shape if size is not None)
        if len(known) != len(shape):
            raise ModelError(
                f"the shape of '{name}' is not known for a batch of one, so that multiply-adds cannot be counted",
                "where more dimensions than the batch are free: python -m onnxruntime.tools.make_dynamic_shape_fixed "
                "--input_name NAME --input_shape 1,... IN.onnx OUT.onnx",
            )
        return known

    @cached_property
    def batch(self) -> int:
        """Number of inputs that the file takes at once: the fixed first size of all its inputs and outputs."""
        sizes = {self._find_facts(name).shape[:1] for name in (*self.inputs, *self.outputs)}
        first = sizes.pop() if len(sizes) == 1 else ()
        return (first[0] if first else None) or 1

    def activation(self, name: str) -> Value:
        """Return the size of an activation for one input; a file with a fixed batch has room for several in it.

        Raises:
            ModelError: its shape or its type is not known.
        """
        count = ceil(prod(self.shape(name)) / self.batch)
        dtype = self._find_facts(name).dtype
        if dtype is None:
            raise ModelError(f"the type of '{name}' is not known")
        is_index = dtype.kind == "b" or (dtype.kind in "iu" and dtype.itemsize > 1)
        return Value(count, dtype.itemsize, not is_index)

    def _find_facts(self, name: str) -> "Facts":
        if self._facts is None:
            self._facts = _infer_shapes(deepcopy(self._model))
        if None in self._facts.get(name, UNKNOWN).shape and not self._has_run:
            self._has_run = True
            self._facts |= _run_for_shapes(deepcopy(self._model))
        return self._facts.get(name, UNKNOWN)


class Facts(NamedTuple):
    """Shape and type of a value; a part that is not known is None."""

    shape: tuple[int | None, ...]
    dtype: np.dtype | None


UNKNOWN = Facts((None,), None)
"""Facts about a value of which nothing is known."""


def _name_by_domain(graph: Any) -> None:
    """Put the domain in front of every operator that is neither one of ONNX nor in a table."""
    for node in graph.node:
        if node.domain == "ai.onnx":
            node.domain = ""
        is_listed = node.op_type.startswith("QLinear") or node.op_type in {*OPERATORS, *PLAIN, *STANDARD}
        if node.domain and not (node.domain == MICROSOFT and is_listed):
            node.op_type = f"{node.domain}.{node.op_type}"


def is_real(array: np.ndarray) -> bool:
    """Return whether an array holds real numbers, in floating point or quantised to at most 8 bits."""
    return array.dtype.name not in ("bool", "object") and (array.dtype.kind not in "iu" or array.dtype.itemsize == 1)


def _read_onnx(path: Path) -> Any:
    (onnx,) = import_libraries(PURPOSE, "onnx")
    try:
        model = onnx.load(path)
    except Exception as error:  # protobuf and onnx raise exceptions of many types, also for a missing file of weights
        raise DamagedFileError(f"{path} is not an ONNX file or is damaged: {first_line(error)}") from None
    if not model.graph.node:
        raise DamagedFileError(f"{path} is not an ONNX file or is damaged: it has no nodes")
    for value in (*model.graph.input, *model.graph.output):
        for size in value.type.tensor_type.shape.dim:
            if size.HasField("dim_value") and size.dim_value <= 0:
                size.Clear()  # some tools write -1 or 0 for a free dimension
    if model.functions:
        (inliner,) = import_libraries(PURPOSE, "onnx.inliner")
        model = inliner.inline_local_functions(model)
    if any(attribute.HasField("g") or attribute.graphs for node in model.graph.node for attribute in node.attribute):
        raise ModelError(
            f"{path} has control flow (If, Loop, Scan), which cannot be counted", "export the network without it"
        )
    if model.graph.sparse_initializer:
        raise ModelError(f"{path} has sparse weights, which cannot be counted", "export the network without them")
    return model


def _read_constants(path: Path, graph: Any) -> dict[str, np.ndarray]:
    (helper,) = import_libraries(PURPOSE, "onnx.numpy_helper")
    tensors = {tensor.name: tensor for tensor in graph.initializer}
    for node in graph.node:
        for attribute in node.attribute if node.op_type == "Constant" else ():
            if attribute.HasField("sparse_tensor"):
                raise ModelError(f"{path} has sparse weights, which cannot be counted", "export it without them")
            elif attribute.HasField("t"):
                tensors[node.output[0]] = attribute.t
            elif attribute.name in ("value_float", "value_floats"):
                values = np.array(attribute.floats or attribute.f, np.float32)
                tensors[node.output[0]] = helper.from_array(values)
            elif attribute.name in ("value_int", "value_ints"):
                tensors[node.output[0]] = helper.from_array(np.array(attribute.ints or attribute.i, np.int64))
    try:
        return {name: helper.to_array(tensor) for name, tensor in tensors.items()}
    except (ValueError, TypeError) as error:
        raise DamagedFileError(f"{path} is damaged: {first_line(error)}") from None


def _infer_shapes(model: Any) -> dict[str, Facts]:
    """Return the shapes and types of the values of `model`, which is changed on the way."""
    inference, defs, helper = import_libraries(PURPOSE, "onnx.shape_inference", "onnx.defs", "onnx.helper")
    for value in model.graph.input:
        dims = value.type.tensor_type.shape.dim
        if dims and not dims[0].HasField("dim_value"):
            dims[0].dim_value = 1
    for node in model.graph.node:
        if node.op_type in STANDARD:
            op_type, positions = STANDARD[node.op_type]
            inputs = node.input[positions]
            if node.op_type == "FusedMatMul" and any(a.i for a in node.attribute if a.name.startswith("trans")):
                continue  # its output has another shape
            known = defs.get_schema(op_type).attributes
            attributes = [attribute for attribute in node.attribute if attribute.name in known]
            node.op_type = op_type
            del node.input[:], node.attribute[:]
            node.input.extend(inputs)
            node.attribute.extend(attributes)
            node.domain = ""
    del model.graph.value_info[:]
    try:
        graph = inference.infer_shapes(model, data_prop=True).graph
    except inference.InferenceError:  # an operator with inputs or outputs that its definition does not know
        return {}
    facts = {}
    for value in (*graph.input, *graph.value_info, *graph.output):
        kind = value.type.tensor_type
        if kind.HasField("shape"):
            shape = tuple(size.dim_value if size.HasField("dim_value") else None for size in kind.shape.dim)
            dtype = helper.tensor_dtype_to_np_dtype(kind.elem_type) if kind.elem_type else None
            facts[value.name] = Facts(shape, dtype)
    return facts


def _run_for_shapes(model: Any) -> dict[str, Facts]:
    """Return the shapes and types of all values that onnxruntime finds by running `model`, which is changed, on zeros.

    It knows more operators than the inference of shapes does. Nothing is found if more than the batch is free, or if
    the model does not run.
    """
    runtime, onnx = import_libraries(PURPOSE, "onnxruntime", "onnx")
    values = [name for node in model.graph.node for name in node.output if name]
    del model.graph.output[:], model.graph.value_info[:]
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in values)
    options = runtime.SessionOptions()
    options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4  # only fatal errors
    feeds = {}
    for value in model.graph.input:
        kind = value.type.tensor_type
        sizes = [size.dim_value for size in kind.shape.dim]
        feeds[value.name] = np.zeros([sizes[0] or 1, *sizes[1:]], onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type))
    try:
        session = runtime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        found = session.run(values, {value.name: feeds[value.name] for value in session.get_inputs()})
    except Exception:  # onnxruntime has a dozen unrelated exceptions
        return {}
    return {name: Facts(np.shape(value), np.asarray(value).dtype) for name, value in zip(values, found, strict=True)}
