"""asc-mrkd doctor: versions, hardware, missing libraries and optional extras."""

from asc_mrkd.cli.options import Json, print_json
from asc_mrkd.cli.terminal import make_console
from asc_mrkd.files import format_bytes


def doctor(as_json: Json = False) -> None:
    """Show versions, processor, GPU, missing libraries and the optional extras.

    Example: asc-mrkd doctor
    """
    from asc_mrkd.doctor import examine_installation

    report = examine_installation()
    if as_json:
        print_json(report)
        return
    from rich.table import Table

    table = Table("item", "found")
    extras = report.pop("extras")
    free = report.pop("free_disk_bytes")
    for name, found in report.items():
        table.add_row(name, str(found))
    table.add_row("free disk", format_bytes(free))
    for extra, libraries in extras.items():
        table.add_row(f"extra {extra}", _extra_text(extra, libraries))
    make_console().print(table)


def _extra_text(extra: str, libraries: dict[str, str | None]) -> str:
    missing = [name for name, version in libraries.items() if version is None]
    if missing:
        return f"without {', '.join(missing)}: pip install 'asc-mrkd[{extra}]'"
    return ", ".join(f"{name} {version}" for name, version in libraries.items())
