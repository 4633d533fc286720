"""The shell function `stage_that_may_fail`: a failed check goes on, any other failure stops the recipe."""

import pytest
from helpers.recipes import RECIPES, run_script


@pytest.mark.parametrize(("code", "ends_with", "goes_on"), [(0, 0, True), (1, 0, True), (2, 2, False), (3, 3, False)])
def test_only_a_failed_check_goes_on(tmp_path, code, ends_with, goes_on):
    script = tmp_path / "run.sh"
    script.write_text(
        f"source '{RECIPES / 'common' / 'recipe.sh'}'\n"
        'parse_options "" "$@"\n'
        f'stage_that_may_fail 1 "check" bash -c "exit {code}"\n'
        'stage 2 "report" echo reported\n'
    )
    done = run_script(script, folder=tmp_path)
    assert done.returncode == ends_with
    assert ("\nreported\n" in done.stdout) == goes_on
