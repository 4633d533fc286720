"""asc-mrkd doctor: versions, hardware and missing libraries."""

from asc_mrkd.cli.options import Json, print_json
from asc_mrkd.cli.terminal import make_console


def doctor(as_json: Json = False) -> None:
    """Show versions, processor, GPU and missing libraries.

    Example: asc-mrkd doctor
    """
    from asc_mrkd.doctor import examine_installation

    report = examine_installation()
    if as_json:
        print_json(report)
        return
    from rich.table import Table

    table = Table("item", "found")
    for name, found in report.items():
        table.add_row(name, str(found))
    make_console().print(table)
