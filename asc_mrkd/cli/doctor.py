"""asc-mrkd doctor: what is installed, what is missing and why."""

from typing import Any

from asc_mrkd.cli.options import Json, print_json


def doctor(as_json: Json = False) -> None:
    """Show versions, processor, GPU and what is missing.

    Example: asc-mrkd doctor
    """
    report = examine()
    if as_json:
        return print_json(report)
    from rich.console import Console
    from rich.table import Table

    table = Table("what", "found")
    for name, found in report.items():
        table.add_row(name, str(found))
    return Console().print(table)


def examine() -> dict[str, Any]:
    """Return what was found, by name."""
    import shutil
    from importlib.metadata import PackageNotFoundError, requires, version

    from asc_mrkd.engine.device import choose_device, has_fast_bfloat16
    from asc_mrkd.features.filterbank import torchaudio_problem
    from asc_mrkd.runs.folder import environment

    report = {key: value for key, value in environment().items() if key != "command"}
    report["gpu"] = report["gpu"] or "none: training runs on the processor"
    problem = torchaudio_problem()
    report["torchaudio"] = f"{problem}; librosa's filterbank takes over" if problem else "works"
    report["bfloat16"] = "in hardware" if has_fast_bfloat16(choose_device("auto")) else "emulated: `auto` takes float32"
    report["free disk"] = f"{shutil.disk_usage('.').free / 2**30:.1f} GiB"
    for requirement in requires("asc-mrkd") or []:
        name = requirement.split(";")[0].split(">")[0].strip()
        if "extra" not in requirement and name not in ("torch", "torchaudio"):
            try:
                report[name] = version(name)
            except PackageNotFoundError:
                report[name] = f"missing: pip install {name}"
    return report
