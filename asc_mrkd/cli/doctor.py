"""asc-mrkd doctor: versions, hardware and missing libraries."""

from asc_mrkd.cli.options import Json, print_json


def doctor(as_json: Json = False) -> None:
    """Show versions, processor, GPU and missing libraries.

    Example: asc-mrkd doctor
    """
    from asc_mrkd.doctor import examine_installation

    report = examine_installation()
    if as_json:
        print_json(report)
        return
    from rich.console import Console
    from rich.table import Table

    table = Table("item", "found")
    for name, found in report.items():
        table.add_row(name, str(found))
    Console().print(table)
