"""Names of the authors' checkpoints, and ours for the same tensors.

Source: the published code of UniPool and L-TDNN (GitHub sadPororo/UniPool-SV and
sadPororo/L-TDNN) and of LAP (sadPororo/LAP).
"""

Names = dict[str, str]
"""From the name of a part there to its name here; ``{}`` is a number, kept in order."""

POOLINGS: Names = {
    "encoder.l_pool.in_projection.0": "layer_pool.norm.norm",
    "encoder.l_pool.in_projection.1": "layer_pool.project",
    "encoder.l_pool.W1": "layer_pool.reduce.squeeze",
    "encoder.l_pool.b1": "layer_pool.reduce.squeeze_bias",
    "encoder.l_pool.W2": "layer_pool.reduce.excite",
    "encoder.l_pool.b2": "layer_pool.reduce.excite_bias",
    "encoder.l_pool.out_projection.0": "layer_pool.mix",
    "encoder.l_pool.out_projection.1": "layer_pool.out_norm.norm",
    "encoder.t_pool.attention.0": "frame_pool.squeeze",
    "encoder.t_pool.attention.2": "frame_pool.norm.norm",
    "encoder.t_pool.attention.3": "frame_pool.excite",
    "encoder.t_pool.attn_norm": "head.0",
    "encoder.t_pool.out_proj": "head.1",
    "encoder.t_pool.out_norm": "head.2",
}

D2_BLOCK, D2_STAGE = "encoder.d3net.densenet.{}.m", "blocks.{}.stages.{}"
UNIPOOL: Names = POOLINGS | {
    "encoder.d3net.projection.0": "project",
    "encoder.d3net.projection.1": "norm.norm",
    "encoder.d3net.vadnet.{}": "blocks.{}.vad",
    f"{D2_BLOCK}.0.projection": "blocks.{}.squeeze",
    f"{D2_BLOCK}.0.dense.{{}}.mdconv.{{}}.0": f"{D2_STAGE}.norms.{{}}.norm",
    f"{D2_BLOCK}.0.dense.{{}}.mdconv.{{}}.2": f"{D2_STAGE}.convs.{{}}",
    f"{D2_BLOCK}.1.avg_se.1": "blocks.{}.attention.of_mean.0",
    f"{D2_BLOCK}.1.avg_se.3": "blocks.{}.attention.of_mean.2",
    f"{D2_BLOCK}.1.avg_se.4": "blocks.{}.attention.of_mean.3",
    f"{D2_BLOCK}.1.max_se.1": "blocks.{}.attention.of_max.0",
    f"{D2_BLOCK}.1.max_se.3": "blocks.{}.attention.of_max.2",
    f"{D2_BLOCK}.1.max_se.4": "blocks.{}.attention.of_max.3",
}

LTDNN: Names = POOLINGS | {
    "encoder.net.in_conv.0": "norm.norm",
    "encoder.net.in_conv.1.conv": "into.conv",
    "encoder.net.in_conv.1.bn": "into.norm.norm",
    "encoder.net.fusion.0": "fuse",
}

D3NET_BLOCK = "encoder.net.se_d2blocks.{}"
LTDNN_D3NET: Names = LTDNN | {
    f"{D3NET_BLOCK}.layers.{{}}.conv": "blocks.{}.layers.{}.conv",
    f"{D3NET_BLOCK}.layers.{{}}.bn": "blocks.{}.layers.{}.norm.norm",
    f"{D3NET_BLOCK}.se.se_attention.1": "blocks.{}.attention.squeeze",
    f"{D3NET_BLOCK}.se.se_attention.3": "blocks.{}.attention.excite",
}

ECAPA_BLOCK = "encoder.net.block{}.se_res2block"
LTDNN_ECAPA: Names = LTDNN | {
    f"{ECAPA_BLOCK}.0.conv": "blocks.{}.into.conv",
    f"{ECAPA_BLOCK}.0.bn": "blocks.{}.into.norm.norm",
    f"{ECAPA_BLOCK}.1.convs.{{}}.conv": "blocks.{}.bands.{}.conv",
    f"{ECAPA_BLOCK}.1.convs.{{}}.bn": "blocks.{}.bands.{}.norm.norm",
    f"{ECAPA_BLOCK}.2.conv": "blocks.{}.out.conv",
    f"{ECAPA_BLOCK}.2.bn": "blocks.{}.out.norm.norm",
    f"{ECAPA_BLOCK}.3.se_attention.1": "blocks.{}.attention.squeeze",
    f"{ECAPA_BLOCK}.3.se_attention.3": "blocks.{}.attention.excite",
}

LAP: Names = {
    "backend.layer_aggregation.in_norm": "layer_pool.norm.norm",
    "backend.layer_aggregation.in_weight": "layer_pool.project",
    "backend.layer_aggregation.sq_weight": "layer_pool.reduce.squeeze",
    "backend.layer_aggregation.sq_bias": "layer_pool.reduce.squeeze_bias",
    "backend.layer_aggregation.ex_weight": "layer_pool.reduce.excite",
    "backend.layer_aggregation.ex_bias": "layer_pool.reduce.excite_bias",
    "backend.layer_aggregation.out_weight": "layer_pool.mix",
    "backend.layer_aggregation.out_norm": "layer_pool.out_norm.norm",
    "backend.speaker_network.t_pool.attention.0": "network.pool.squeeze",
    "backend.speaker_network.t_pool.attention.2": "network.pool.norm.norm",
    "backend.speaker_network.t_pool.attention.3": "network.pool.excite",
    "backend.speaker_network.t_pool.norm": "network.head.0",
    "backend.speaker_network.emb_weight": "network.head.1",
    "backend.speaker_network.emb_norm": "network.head.2",
}
