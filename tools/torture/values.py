"""Wrong values of an experiment: each is refused with the name of its key, before anything is written."""

from torture.material import Material, train_command
from torture.trials import Tally, fault_of_refusal, fresh, run

NUMBERS = (
    "train.epochs",
    "train.batch_size",
    "train.threads",
    "train.optimizer.lr",
    "train.optimizer.momentum",
    "train.optimizer.weight_decay",
    "train.schedule.hold",
    "train.checkpoint_every",
    "augment.roll_frames",
    "augment.crop_frames",
    "augment.mixup",
    "method.alpha",
    "method.temperature",
    "method.num_backups",
)
"""Keys that take a number."""

NO_NUMBERS = (".nan", ".inf", "-1", "1e21", "many", "[1]", "{a: 1}", "1:30")
"""Values that none of these keys takes."""

OTHERS = (
    "data=5",
    "data=null",
    "data.store=[1]",
    "data.stroe=exp/store",
    "model=5",
    "model.name=cp_resnt",
    "model.options=5",
    "model.options.width=-1",
    "model.options.rho=999",
    "model.options.widht=4",
    "method=mrdk",
    "method=5",
    "method={name: ce, alpha: 0.3}",
    "method.interval=0",
    "method.interval=often",
    "method.interval=-3 epochs",
    "seeds=[0, 0]",
    "seeds=[-1]",
    "seeds=many",
    "seeds=[]",
    "train.optimizer.name=sdg",
    "train.device=gpu9",
    "train.precision=float8",
    "train.epochs=true",
    "augment.spec=1",
    "augment=5",
    "train=[]",
    "base=/dev/zero",
    "train.epochs={a: &a [1], b: *a}",
)
"""Further overrides that are wrong."""


def try_wrong_values(tally: Tally, material: Material) -> None:
    """Try every wrong value in a command that would train."""
    overrides = [f"{key}={value}" for key in NUMBERS for value in NO_NUMBERS] + list(OTHERS)
    out = material.folder / "wrong"
    log = material.folder / "wrong.log"
    for override in tally.choose(overrides):
        fresh(out)
        code, printed = run(*train_command(material.scenes, "mrkd", out), override, log=log)
        fault = fault_of_refusal(code, printed)
        if not fault and out.exists():
            fault = "a folder was left"
        if not fault and len(printed) > 2000:
            fault = f"a message of {len(printed)} characters"
        tally.judge(fault, override)
