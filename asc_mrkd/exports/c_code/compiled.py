"""Generated C, compiled and run on this machine, to compare it with the network."""

import ctypes
import os
import shlex
import shutil
import subprocess
from pathlib import Path

import numpy as np

from asc_mrkd.errors import ConfigError, ModelError

DRIVER = """#include "model.h"

void run_one(const float *input, float *logits);

void run_one(const float *input, float *logits)
{
    int channel, row, column;
    for (channel = 0; channel < MODEL_CHANNELS; channel++)
        for (row = 0; row < MODEL_ROWS; row++)
            for (column = 0; column < MODEL_COLUMNS; column++)
                model_set_value(channel, row, column, *input++);
    model_run(logits);
}
"""

FLAGS = ("-std=c99", "-O2", "-shared", "-fPIC")


def find_compiler() -> list[str] | None:
    """Return the C compiler of this machine: CC, with its options, cc, gcc or clang; None if there is none.

    Raises:
        ConfigError: CC has a quote that is not closed.
    """
    for text in (os.environ.get("CC", ""), "cc", "gcc", "clang"):
        try:
            name, *options = shlex.split(text) or [""]
        except ValueError as error:
            raise ConfigError(f"the variable CC, {text}, is not a command: {error}", "close the quote") from None
        found = shutil.which(name) if name else None
        if found:
            return [found, *options]
    return None


class CompiledNetwork:
    """A network in model.c, compiled as a library.

    Args:
        folder: folder with model.c and model.h.
        place: existing folder for the library, which stays open until this process ends.
        compiler: see `find_compiler`.
        classes: number of classes.

    Raises:
        ModelError: the compiler refuses the code.
    """

    def __init__(self, folder: Path, place: Path, compiler: list[str], classes: int) -> None:
        driver = place / "driver.c"
        library = place / "model.so"
        driver.write_text(DRIVER)
        command = [*compiler, *FLAGS, f"-I{folder}", "-o", str(library), str(driver), str(folder / "model.c"), "-lm"]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            fault = done.stderr.strip()
            raise ModelError(f"{compiler[0]} does not compile the C code: {fault}", "set CC to another compiler")
        self._run = ctypes.CDLL(str(library)).run_one
        self._classes = classes

    def run(self, x: np.ndarray) -> np.ndarray:
        """Map normalised inputs (batch, channel, row, column) to logits (batch, class), float32."""
        logits = np.empty((len(x), self._classes), np.float32)
        for one, answer in zip(np.ascontiguousarray(x, np.float32), logits, strict=True):
            self._run(one.ctypes.data_as(ctypes.c_void_p), answer.ctypes.data_as(ctypes.c_void_p))
        return logits
