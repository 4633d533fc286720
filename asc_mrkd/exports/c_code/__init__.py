"""A network and its front end as C99 without dependencies: generated tables, plain loops, one static block of memory.

Knows ONNX graphs and definitions of front ends; nothing of runs and data.
"""

from asc_mrkd.exports.c_code.frontend_code import require_writable_frontend, write_frontend, write_main
from asc_mrkd.exports.c_code.network_code import CodeSize, write_network

__all__ = ["CodeSize", "require_writable_frontend", "write_frontend", "write_main", "write_network"]
