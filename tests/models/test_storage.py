"""Networks without storage, run for the shapes of their outputs."""

import torch
from torch.nn import functional as F

from asc_mrkd.models import without_storage


def test_batch_norm_takes_its_input_by_position_or_by_name():
    with without_storage():
        x = torch.zeros(2, 3, 4, 5)
        mean = torch.zeros(3)
        outputs = (F.batch_norm(x, mean, mean), F.batch_norm(input=x, running_mean=mean, running_var=mean))
    assert [output.shape for output in outputs] == [x.shape, x.shape]
