"""The operators of ONNX and of onnxruntime: those with weights, those that multiply, those that only move values."""

from typing import Literal, NamedTuple

BATCH_NORM = "BatchNormalization"
"""Operator of batch normalisation."""

STATISTICS = (3, 4)
"""Inputs of `BATCH_NORM` that are its running mean and variance, which are not parameters."""


class Operator(NamedTuple):
    """Operator with weights."""

    times: Literal["positions", "once", "steps"]
    """Number of multiplications of a weight: one per output position, one in all, or one per step."""
    weights: tuple[int, ...]
    """Inputs that may be weights."""
    bias: int | None = None
    """Input that is the bias."""


OPERATORS: dict[str, Operator] = {
    "Conv": Operator("positions", (1,), 2),
    "ConvTranspose": Operator("positions", (1,), 2),
    "FusedConv": Operator("positions", (1,), 2),
    "ConvInteger": Operator("positions", (1,)),
    "QLinearConv": Operator("positions", (3,), 8),
    "Gemm": Operator("once", (0, 1), 2),
    "FusedGemm": Operator("once", (0, 1), 2),
    "QGemm": Operator("once", (0, 3), 6),
    "MatMul": Operator("once", (0, 1)),
    "FusedMatMul": Operator("once", (0, 1)),
    "MatMulInteger": Operator("once", (0, 1)),
    "MatMulIntegerToFloat": Operator("once", (0, 1), 6),
    "DynamicQuantizeMatMul": Operator("once", (0, 1), 4),
    "QLinearMatMul": Operator("once", (0, 3)),
    BATCH_NORM: Operator("once", (1,), 2),
    **{name: Operator("steps", (1, 2), 3) for name in ("LSTM", "GRU", "RNN")},
}
"""Operators with weights, by name."""

PLAIN = {
    *("Add", "Sub", "Mul", "Div", "Pow", "PRelu", "Where", "Max", "Min", "Sum", "Mean", "Mod", "And", "Or", "Xor"),
    *("Equal", "Less", "LessOrEqual", "Greater", "GreaterOrEqual", "Not", "IsNaN", "IsInf"),
    *("Concat", "Gather", "GatherElements", "GatherND", "Slice", "Split", "Reshape", "Transpose", "Squeeze"),
    *("Unsqueeze", "Flatten", "Expand", "Tile", "Pad", "Resize", "Upsample", "ScatterND", "ScatterElements"),
    *("Identity", "Cast", "CastLike", "QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear", "Clip"),
    *("LayerNormalization", "InstanceNormalization", "GroupNormalization", "RMSNormalization", "Dropout"),
    *("SimplifiedLayerNormalization", "SkipLayerNormalization", "SkipSimplifiedLayerNormalization"),
    *("NhwcMaxPool", "QLinearSoftmax", "QLinearReduceMean", "QLinearWhere"),
}
"""Operators that may take a constant of several dimensions and work on each value by itself."""

MOVING = {"Expand", "Slice", "Reshape", "Transpose", "Unsqueeze", "Squeeze", "Concat", "Tile", "Identity", "Cast"}
"""Operators that hand on the values of their first input."""

RENAMING = {
    *("Identity", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Dropout", "Cast", "CastLike"),
    *("QuantizeLinear", "DequantizeLinear"),
}
"""Operators that give an activation another name, shape or type, which a device does not store a second time."""

CASTS = {"Cast", "CastLike"}
"""Those that give it another type, which takes more memory where the new type is wider."""

ONE_BY_ONE = {
    *("Relu", "LeakyRelu", "PRelu", "Elu", "Selu", "Celu", "Gelu", "Sigmoid", "HardSigmoid", "HardSwish", "Swish"),
    *("Mish", "Softplus", "Softsign", "Tanh", "ThresholdedRelu", "Clip", "Abs", "Neg", "Exp", "Log", "Sqrt", "Erf"),
    *("Reciprocal", "Floor", "Ceil", "Round", "Sign", "Not", "Add", "Sub", "Mul", "Div", "Pow", "Max", "Min"),
    *("QLinearLeakyRelu", "QLinearSigmoid", "BatchNormalization"),
}
"""Operators on each value by itself, which may work in place where only one activation goes in."""

MULTIPLYING = {
    *("Einsum", "Attention", "DeformConv", "DFT", "STFT", "Det", "AffineGrid"),
    *("LinearAttention", "CausalConvWithState"),
}
"""Operators of ONNX that multiply many values and are not counted."""

MICROSOFT = "com.microsoft"
"""Domain of the operators of onnxruntime; the tables here name them without it."""

STATES = (5, 6)
"""Inputs of a recurrent operator that are its initial state."""

POOLS = {"MaxPool", "AveragePool", "LpPool", "QLinearAveragePool"}
"""Operators over a window, which NeSsi counts."""

MEANS = {"GlobalAveragePool", "GlobalMaxPool", "ReduceMean", "QLinearGlobalAveragePool"}
"""Operators over a plane, which NeSsi counts."""

SUMS = {"Add", "Sum", "QLinearAdd"}
"""Operators that add activations, which NeSsi counts."""

FLATTENING = {"Flatten", "Reshape", "Squeeze"}
"""Operators that make one axis of several."""

KEEPING = ("QuantizeLinear", "DequantizeLinear", "Relu", "Cast", "Identity", "Dropout")
"""Operators between the flattening and a dense layer that keep the shape."""

SETTINGS: dict[str, tuple[int, ...]] = {
    **dict.fromkeys(("QuantizeLinear", "DequantizeLinear", "Clip", "Dropout", "OneHot"), (1, 2)),
    **dict.fromkeys(("QLinearConv", "QLinearMatMul", "QLinearAdd", "QLinearMul"), (1, 2, 4, 5, 6, 7)),
    **dict.fromkeys(("ConvInteger", "MatMulInteger"), (2, 3)),
    **dict.fromkeys(("QLinearGlobalAveragePool", "QLinearAveragePool", "QLinearLeakyRelu"), (1, 2, 3, 4)),
    **dict.fromkeys(("Pad", "Resize"), (1, 2, 3)),
    "QGemm": (1, 2, 4, 5, 7, 8),
    "MatMulIntegerToFloat": (2, 3, 4, 5),
    "DynamicQuantizeMatMul": (2, 3),
    "Upsample": (1,),
}
"""Inputs that are settings, by operator: scales and zero points, bounds, fill values, factors."""

STANDARD: dict[str, tuple[str, slice]] = {
    **{f"QLinear{op}": (op, slice(0, 4, 3)) for op in ("Add", "Mul")},
    **{f"QLinear{op}": (op, slice(1)) for op in ("GlobalAveragePool", "AveragePool", "LeakyRelu", "Sigmoid")},
    "QLinearConcat": ("Concat", slice(2, None, 3)),
    "QGemm": ("Gemm", slice(0, 7, 3)),
    "FusedConv": ("Conv", slice(3)),
    "FusedGemm": ("Gemm", slice(3)),
    **{op: ("MatMul", slice(2)) for op in ("FusedMatMul", "MatMulIntegerToFloat", "DynamicQuantizeMatMul")},
    **{op: ("Relu", slice(1)) for op in ("Gelu", "FastGelu", "QuickGelu", "BiasGelu", "BiasSoftmax", "BiasDropout")},
}
"""Operators that only onnxruntime has: the ONNX operator with the same output shape, and the inputs it takes."""
