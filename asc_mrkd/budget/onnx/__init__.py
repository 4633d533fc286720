"""The count of a network in an .onnx file: its graph, the cost of every operator, and the sum.

Knows the rules and the memory of a trace; knows nothing of torch networks.
"""

from asc_mrkd.budget.onnx.count import OnnxCounter, count_onnx

__all__ = ["OnnxCounter", "count_onnx"]
