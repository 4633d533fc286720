"""A network and its front end as C99 without dependencies: generated tables, plain loops, one static block of memory.

Knows ONNX graphs and definitions of front ends; nothing of runs and data.
"""

from asc_mrkd.exports.c_code.frontend_code import (
    require_frontend,
    require_pictures,
    write_frontend,
    write_picture_reader,
)
from asc_mrkd.exports.c_code.network_code import write_network
from asc_mrkd.exports.c_code.text import CodeSize

__all__ = [
    "CodeSize",
    "require_frontend",
    "require_pictures",
    "write_frontend",
    "write_network",
    "write_picture_reader",
]
