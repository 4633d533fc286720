"""Results in notebooks: what a console prints as HTML, and results that show themselves.

A result in a low room may name the function that shows it in a notebook, which lies in a higher room. The function is
imported when a notebook asks for it, and by nothing else.
"""

import io
from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

WIDTH = 100
"""Width of the console in characters."""

PREFORMATTED = (
    "<pre style=\"white-space: pre; overflow-x: auto; line-height: 1.3; font-family: Menlo, 'DejaVu Sans Mono', "
    'Consolas, monospace">{code}</pre>'
)
"""Block around the text of a console."""


def printed_html(show: "Callable[[Console], object]") -> str:
    """Return what a function prints on a console of rich, as HTML.

    >>> printed_html(lambda console: console.print("3 < 4"))[-15:]
    '3 &lt; 4\\n</pre>'
    """
    from rich.console import Console

    console = Console(
        record=True, file=io.StringIO(), width=WIDTH, force_jupyter=False, markup=False, emoji=False, highlight=False
    )
    show(console)
    return console.export_html(inline_styles=True, code_format=PREFORMATTED)


def shown_by(module: str, function: str) -> Callable[[Any], str]:
    """Return a method `_repr_html_`, which calls a function of another module with the result.

    Args:
        module: module with the function; it is imported when the method is called.
        function: name of a function from the result to HTML.
    """

    def _repr_html_(self: Any) -> str:
        html = getattr(import_module(module), function)(self)
        return str(html)

    return _repr_html_
