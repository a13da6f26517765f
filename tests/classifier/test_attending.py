"""What an attention that knows places keeps of them."""

import pytest
import torch
from torch import nn

from goemo_utils.classifier.attending import Disentangled, paired
from goemo_utils.classifier.unpadded import Unpadded
from tests.classifier.test_unpadded import DEBERTA_V3, classifier

pytestmark = pytest.mark.skipif(
    not torch.backends.mkldnn.is_available(), reason="this torch has no oneDNN"
)


def attention_of(model: nn.Module) -> Disentangled:
    return Unpadded(model).layers[0].attention


@pytest.mark.parametrize("buckets", [-1, 4, 8, 32])
def test_rows_of_positions_follow_each_other_just_as_far_as_they_are_said_to(buckets: int) -> None:
    attention = attention_of(classifier("deberta-v2", **DEBERTA_V3 | {"position_buckets": buckets}))
    for rows in attention.tables[1::2]:
        steps = rows.diff()
        middle = len(steps) // 2
        within = attention.reach - 1
        assert (steps[middle - within : middle + within] == 1).all()
        beyond = steps[max(0, middle - within - 1) : middle + within + 1]
        assert buckets == -1 or not (beyond == 1).all()
    assert attention.reach > buckets // 2


def test_numbers_that_turn_together_lie_side_by_side() -> None:
    assert paired(8, 2).tolist() == [0, 2, 1, 3, 4, 6, 5, 7]
