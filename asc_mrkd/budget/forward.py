"""One forward pass of a torch network, watched: its multiply-adds as torchinfo counts them, and as they really are.

torchinfo counts the calls of layers. It does not see a product without a layer (attention, a weight kept in a buffer),
and counts a dense layer once however many positions it works on. Therefore every operator is looked at as well.
"""

import copy
import math
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from math import prod
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.multiprocessing.reductions import StorageWeakRef
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.parameter import is_lazy
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

from asc_mrkd.budget.memory import Operation, Trace, Value
from asc_mrkd.budget.tensors import (
    is_mask,
    is_wrapped,
    join,
    layer_kind,
    layer_tensors,
    layers_with_tensors,
    other_tensors,
    without_wrappers,
)
from asc_mrkd.errors import ModelError, first_line
from asc_mrkd.mrkd.networks import unwrap

FORWARD_ERRORS = (RuntimeError, ValueError, TypeError, IndexError, AssertionError)
"""Exceptions of a forward pass whose input does not fit."""

FOREIGN = "a tensor that is neither a parameter nor a buffer of it"
"""Origin of a tensor that the network takes from elsewhere, such as a global variable."""

aten = torch.ops.aten

PRODUCTS: dict[Any, Callable[..., int]] = {
    aten.mv: lambda matrix, vector, **_: matrix.numel(),
    aten.addmv: lambda bias, matrix, vector, **_: matrix.numel(),
    aten.dot: lambda first, second, **_: first.numel(),
    aten.vdot: lambda first, second, **_: first.numel(),
    aten.addbmm: lambda bias, first, second, **_: first.numel() * second.shape[2],
    aten._int_mm: lambda first, second, **_: first.numel() * second.shape[1],
    aten._weight_int8pack_mm: lambda x, weight, scales, **_: x.shape[0] * weight.numel(),
    **dict.fromkeys(
        (aten._fft_r2c, aten._fft_c2c, aten._fft_c2r),
        lambda x, axes, *_, out_val, **__: 2 * max(x.numel(), out_val.numel()) * math.ceil(math.log2(x.numel() + 1)),
    ),
}
"""Multiply-adds of operators that torch's own table leaves out; those of an FFT are an upper bound."""

OPAQUE = {
    "_cdist_forward",
    "_cudnn_rnn",
    "_native_multi_head_attention",
    "_transformer_encoder_layer_fwd",
    "_trilinear",
    "_weight_int4pack_mm",
    "_weight_int4pack_mm_for_cpu",
    "miopen_rnn",
    "mkldnn_rnn_layer",
    "quantized_gru",
    "quantized_lstm",
}
"""Operators of torch that multiply and whose multiply-adds are not known from their arguments."""

POINTWISE = {"leaky_relu", "hardswish", "_prelu_kernel"}
"""Operators on each value by itself that torch does not mark as such."""

ELEMENTWISE = ("aten", "prim", "prims")
"""Namespaces whose operators, unless they are in a table, work on each value by itself."""

REQUANTISING = {"quantize_per_tensor", "dequantize"}
"""Operators that give an activation another form, which a device never stores."""


@dataclass
class Forward:
    """Figures of one forward pass with one input."""

    multiply_adds: dict[str, int] = field(default_factory=dict)
    """Multiply-adds by layer, by the rule of torchinfo with the weights that the layers compute with."""
    unseen: dict[str, int] = field(default_factory=dict)
    """Further multiply-adds by the module that they ran in: products that the rule of torchinfo does not see."""
    unknown: dict[str, str] = field(default_factory=dict)
    """Operator that is not understood, by the module that it ran in."""
    weights: set[str] = field(default_factory=set)
    """Names of buffers and plain attributes that inputs are multiplied with, as with a weight."""
    tables: set[str] = field(default_factory=set)
    """Names of buffers and plain attributes that meet an input outside of a product, as in a look-up."""
    torchinfo_parameters: int = 0
    """Parameters that torchinfo, and with it NeSsi, prints."""
    torchinfo_multiply_adds: int = 0
    """Multiply-adds that torchinfo, and with it NeSsi, prints."""
    trace: Trace = field(default_factory=Trace)
    """The operators that ran and the activations between them."""


def watch_forward(model: nn.Module, input_shape: Sequence[int]) -> Forward:
    """Run a float32 copy of a network on one input of (channel, mel, frame) and return the figures.

    Raises:
        ModelError: the network does not accept an input of that shape, or it is compiled to TorchScript.
    """
    if any(isinstance(layer, torch.jit.ScriptModule) for layer in model.modules()):
        raise ModelError("the layers of a TorchScript network cannot be followed", "count the network it was made from")
    clone = _float32_copy(unwrap(model))
    device = next((tensor.device for tensor in (*clone.parameters(), *clone.buffers())), torch.device("cpu"))
    watch = _Watch(clone)
    try:
        with torch.no_grad(), _plain_kernels():
            x = torch.zeros(1, *input_shape, device=device)
            with watch.of_input(x):
                output = clone(x)
            watch.note_output(output)
    except FORWARD_ERRORS as error:
        if "HigherOrderOperator" in str(error):
            raise ModelError(
                f"the network has operators that hold others (cond, while_loop, flex_attention): {first_line(error)}",
                "count it without them, or as an .onnx file",
            ) from None
        shape = " x ".join(map(str, input_shape))
        raise ModelError(
            f"the network does not accept an input of {shape}: {first_line(error)}",
            "the shape of an input is (channel, mel, frame), as in 1,256,65",
        ) from None
    return watch.result()


@contextmanager
def _plain_kernels() -> Iterator[None]:
    """Start no compiler, and take attention apart into products."""
    fast_path = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with ExitStack() as stack:
            stack.enter_context(sdpa_kernel(SDPBackend.MATH))
            if "torch._dynamo" in sys.modules:  # else nothing is compiled, and the import would take seconds
                stack.enter_context(torch.compiler.set_stance("force_eager"))
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast_path)


def _float32_copy(model: nn.Module) -> nn.Module:
    """Return a copy in evaluation mode with every parameter dense and in float32."""
    copies: dict[int, Any] = {}
    for layer in model.modules():
        for value in (*vars(layer).values(), *layer._buffers.values()):
            # A mask or a norm leaves its product on the layer, which deepcopy refuses.
            if isinstance(value, Tensor) and not value.is_leaf:
                copies[id(value)] = value.detach().clone()
    for parameter in model.parameters():
        if not is_lazy(parameter) and not is_wrapped(parameter):
            dense = parameter.detach() if parameter.layout == torch.strided else parameter.detach().to_dense()
            copies[id(parameter)] = nn.Parameter(dense.to(torch.float32, copy=True), requires_grad=False)
    clone = copy.deepcopy(model, copies).eval().float()
    for layer in clone.modules():
        is_compiled = hasattr(vars(layer).get("forward"), "_torchdynamo_orig_callable")
        if is_compiled and "_orig_mod" not in layer._modules:
            del layer.forward  # it belongs to the original; below it is the forward pass of the class
    return clone


class _Watch(TorchDispatchMode):
    """Observer of a forward pass: of the calls of modules by hooks, of operators by dispatch."""

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Do not import torch's compiler, which takes seconds, in order to hide from it."""
        return False

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self._figures = Forward()
        self._counts: defaultdict[str, int] = defaultdict(int)
        self._products: defaultdict[str, int] = defaultdict(int)
        self._running: list[str] = []
        self._calls: list[_Call] = []
        self._called: set[int] = set()
        self._owned: dict[str, Tensor] = {}
        self._parameters: dict[str, int] = {}
        self._activations = _Activations(self._figures.trace)
        self._kinds = {
            name: layer_kind(module) for name, module in network.named_modules() if not any(module.children())
        }
        self._hook_modules(network)
        self._mark_tensors(network)

    def _hook_modules(self, network: nn.Module) -> None:
        layers = {name: layer for name, layer, _ in layers_with_tensors(network) if layer_tensors(layer, name)}
        for name, module in network.named_modules():
            prefix = join(name, "")
            is_innermost = name in layers and not any(other.startswith(prefix) and other != name for other in layers)
            module.register_forward_pre_hook(lambda module, _, name=name: self._enter(name, module))
            module.register_forward_hook(
                lambda module, _, output, name=name, counts=is_innermost: self._leave(name, module, output, counts)
            )

    def _mark_tensors(self, network: nn.Module) -> None:
        """Write into every tensor of the network where it comes from; operators hand that on."""
        for name, layer in network.named_modules():
            for part, parameter in layer.named_parameters(recurse=False):
                self._parameters[join(name, part)] = parameter.numel()
                parameter._origin = frozenset([join(name, part)])
            for part, tensor in other_tensors(layer).items():
                self._owned[join(name, part)] = tensor
                tensor._origin = frozenset([join(name, part)])  # type: ignore[attr-defined]

    @contextmanager
    def of_input(self, x: Tensor) -> Iterator[None]:
        """Watch all that happens with an input."""
        x._origin = None  # type: ignore[attr-defined]
        self._activations.note_input(x)
        with self:
            yield

    def note_output(self, output: Any) -> None:
        """Note the output of the network, which stays until the end."""
        self._activations.note_output(tree_leaves(output))

    def _enter(self, name: str, module: nn.Module) -> None:
        self._running.append(name)
        self._calls.append(_Call(module, depth=len(self._running), is_repeated=id(module) in self._called))
        self._called.add(id(module))

    def _leave(self, name: str, module: nn.Module, output: Any, counts: bool) -> None:
        self._running.pop()
        shape = _output_shape(output)
        if counts:
            tensors = {part: tensor.numel() for part, (tensor, _) in layer_tensors(module, name).items()}
            self._counts[name] += _torchinfo_multiply_adds(layer_kind(module), tensors, shape)
        if not any(module.children()):
            kind = type(module).__name__
            self._figures.torchinfo_multiply_adds += _torchinfo_multiply_adds(kind, _torchinfo_sizes(module), shape)

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if function._overloadpacket not in flop_registry:
            with self:
                output = function.decompose(*args, **kwargs)
            if output is not NotImplemented:
                return output
        tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        origins = [getattr(tensor, "_origin", frozenset([FOREIGN])) for tensor in tensors]
        output = function(*args, **kwargs)
        depends_on_input = None in origins
        joint = None if depends_on_input else frozenset().union(*origins)
        for leaf in tree_leaves(output):
            if isinstance(leaf, Tensor):
                leaf._origin = joint  # type: ignore[attr-defined]
        module = self._running[-1] if self._running else ""
        kind = self._kinds.get(module, function._overloadpacket.__name__)
        self._activations.note(function, tensors, tree_leaves(output), without_wrappers(module), kind)
        if depends_on_input:
            self._note_operator(function, args, kwargs, output, list(zip(tensors, origins, strict=True)))
        return output

    def _note_operator(self, function: Any, args: Any, kwargs: Any, output: Any, operands: list[Any]) -> None:
        """Note an operator that works on something that depends on the input."""
        amount = _count_operator(function, args, kwargs, output)
        module = self._running[-1] if self._running else ""
        if amount is None:
            self._figures.unknown[module] = function._overloadpacket._qualified_op_name
        elif amount:
            self._products[module] += amount
        for tensor, origin in operands:
            if not origin:
                continue
            if amount == 0:
                self._figures.tables |= origin & self._owned.keys()
            else:
                self._note_weight(tensor, origin, module)

    def _note_weight(self, tensor: Tensor, origin: frozenset[str], module: str) -> None:
        """Note the buffers that an operand was computed from, unless they only change a parameter: a mask, a factor."""
        largest = max((self._parameters.get(name, 0) for name in origin), default=0)
        for name in origin - self._parameters.keys():
            owned = self._owned.get(name, tensor)
            is_scale = owned.dim() < 2 and owned.numel() < tensor.numel()
            if is_scale or owned.numel() < largest or (owned.numel() == largest and is_mask(owned)):
                continue
            if name == FOREIGN:
                self._figures.unknown[module] = f"a product with {FOREIGN}"
            else:
                self._figures.weights.add(name)

    def result(self) -> Forward:
        """Return the figures after the forward pass."""
        figures = self._figures
        figures.multiply_adds = dict(self._counts)
        for name, amount in self._products.items():
            missing = amount - self._counts.get(name, 0)
            if missing > 0:
                figures.unseen[without_wrappers(name)] = missing
        # A layer that torchinfo counts is understood, whatever its kernel is called.
        figures.unknown = {
            without_wrappers(name): reason
            for name, reason in figures.unknown.items()
            if FOREIGN in reason or not self._counts.get(name)
        }
        figures.torchinfo_parameters = _torchinfo_parameters(self._calls)
        return figures


class _Activations:
    """Recorder of the activations of a forward pass; views of one storage are one activation.

    A storage is known by a weak reference, whose number no later storage gets, and which keeps no memory.
    """

    def __init__(self, trace: Trace) -> None:
        self._trace = trace
        self._storages: dict[int, StorageWeakRef] = {}

    def note_input(self, x: Tensor) -> None:
        """Note the input of the network."""
        self._trace.inputs.append(self._key(x))

    def note_output(self, leaves: Sequence[Any]) -> None:
        """Note the output of the network."""
        keys = [self._key(leaf) for leaf in leaves if isinstance(leaf, Tensor)]
        self._trace.outputs += [key for key in dict.fromkeys(keys) if key in self._trace.values]

    def note(self, function: Any, tensors: list[Tensor], leaves: Sequence[Any], layer: str, kind: str) -> None:
        """Note an operator that reads activations."""
        known = self._trace.values
        try:
            reads = [key for key in dict.fromkeys(map(self._storage, tensors)) if key in known]
            if not reads:
                return
            outputs = [leaf for leaf in leaves if isinstance(leaf, Tensor)]
            writes = list(dict.fromkeys(self._key(leaf) for leaf in outputs))
        except (NotImplementedError, RuntimeError):
            self._trace.not_understood.append(f"{layer or 'the network'} stores an activation in a form of its kernel")
            return
        effect = _effect(function, reads, writes, known)
        is_copied = [leaf.stride() for leaf in outputs] != [tensor.stride() for tensor in tensors]
        if function._overloadpacket.__name__ == "clone" and is_copied:
            effect = "new"  # in another order, as after a transposition
        self._trace.operations.append(Operation(layer, kind, tuple(reads), tuple(writes), effect))

    def _key(self, tensor: Tensor) -> int:
        """Return the key of an activation, which is known from now on."""
        key = self._storage(tensor)
        size = tensor.untyped_storage().nbytes() // tensor.element_size()
        is_real = tensor.is_floating_point() or tensor.is_quantized
        self._trace.values.setdefault(key, Value(size, tensor.element_size(), is_real))
        return key

    def _storage(self, tensor: Tensor) -> int:
        reference = StorageWeakRef(tensor.untyped_storage())
        self._storages.setdefault(reference.cdata, reference)
        return reference.cdata


def _effect(
    function: Any, reads: list[Any], writes: list[Any], values: dict[Any, Value]
) -> Literal["new", "view", "in_place"]:
    """Return what an operator does with the memory of its input."""
    name = function._overloadpacket.__name__
    if name in REQUANTISING:
        return "view"
    works_on_each_value = torch.Tag.pointwise in function.tags or name in POINTWISE or "batch_norm" in name
    if works_on_each_value and len(reads) == 1 and values[reads[0]] == values[writes[0]]:
        return "in_place"
    return "new"


def _count_operator(function: Any, args: Any, kwargs: Any, output: Any) -> int | None:
    """Return the multiply-adds of an operator; 0 if it works on each value by itself, None if they are not known."""
    packet = function._overloadpacket
    if packet in flop_registry:
        return flop_registry[packet](*args, **kwargs, out_val=output) // 2
    if packet in PRODUCTS:
        return PRODUCTS[packet](*args, **kwargs, out_val=output)
    is_known = function.namespace in ELEMENTWISE and packet.__name__ not in OPAQUE
    return 0 if is_known else None


def _output_shape(output: Any) -> tuple[int, ...]:
    """Return the shape of the output of a layer; of several the deepest first (in a dict last) decides."""
    while not isinstance(output, Tensor):
        if not output:
            return ()
        output = next(reversed(output.values())) if isinstance(output, dict) else output[0]
    return tuple(output.shape)


def _torchinfo_multiply_adds(kind: str, sizes: dict[str, int], shape: tuple[int, ...]) -> int:
    """Return the multiply-adds of one call of a layer from the sizes of its tensors and the shape of its output."""
    count = 0
    for part, size in sizes.items():
        if part in ("weight", "bias"):
            count += size * (prod((*shape[:1], *shape[2:])) if "Conv" in kind else prod(shape[:1]))
        elif "weight" in part or "bias" in part:
            count += size * prod(shape[:2])
    return count


def _torchinfo_sizes(module: nn.Module) -> dict[str, int]:
    """Return the sizes of the parameters of a module and all in it, by the names that torchinfo gives them.

    It knows the masks of torch.nn.utils.prune, counts every other parameter as it is registered, and one that two
    modules share in both.
    """
    sizes: dict[str, int] = {}
    for name, parameter in module.named_parameters():
        plain = name.removesuffix("_orig")
        owner, _, part = f"{plain}_mask".rpartition(".")
        mask = getattr(module.get_submodule(owner), part, None)
        if name != plain and isinstance(mask, Tensor):
            sizes[plain] = int(mask.sum())
        else:
            sizes[name] = parameter.numel()
    return sizes


@dataclass
class _Call:
    """One call of a module."""

    module: nn.Module
    depth: int
    is_repeated: bool


def _torchinfo_parameters(calls: list[_Call]) -> int:
    """Return the total of parameters that torchinfo prints: of every module that ran, what its children do not hold."""
    left = [0] * len(calls)
    for number in reversed(range(len(calls))):
        call = calls[number]
        left[number] = sum(_torchinfo_sizes(call.module).values())
        for child in range(number + 1, len(calls)):
            if calls[child].depth <= call.depth:
                break
            if not calls[child].is_repeated:
                left[number] -= left[child]
    return sum(max(amount, 0) for amount, call in zip(left, calls, strict=True) if not call.is_repeated)
