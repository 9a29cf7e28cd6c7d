"""The backends that read what an encoder or acoustic features give, not samples."""

from torch import nn

from unipool.backends.combined import (
    Combined,
    LapAstp,
    WeightedSumEcapa,
    WeightedSumXVector,
)
from unipool.backends.ltdnn import LTDNND3Net, LTDNNEcapa
from unipool.backends.mhfa import MHFA, ContextAwareMHFA
from unipool.backends.scratch import ScratchEcapa, ScratchXVector
from unipool.backends.unipool import UniPool

OF_LAYERS: dict[str, type[nn.Module]] = {
    "unipool": UniPool,
    "ltdnn-ecapa": LTDNNEcapa,
    "ltdnn-d3net": LTDNND3Net,
    "lap-astp": LapAstp,
    "weighted-sum-ecapa": WeightedSumEcapa,
    "weighted-sum-xvector": WeightedSumXVector,
    "mhfa": MHFA,
    "ca-mhfa": ContextAwareMHFA,
    "combined": Combined,
    "xvector": ScratchXVector,
    "ecapa-tdnn": ScratchEcapa,
}
