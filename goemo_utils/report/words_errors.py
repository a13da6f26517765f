"""Words of the distribution of errors and of the grades."""

WORDS: dict[str, tuple[str, str]] = {
    "mn_grade": ("Grade of R", "R 的等级"),
    "mn_grade_p": (
        "CANN’s tiers for operators, applied to a model: L2 is the strictest.",
        "CANN 算子精度等级，用于整个模型：L2 最严。",
    ),
    "tier_L2": ("L2", "L2"),
    "tier_L1": ("L1", "L1"),
    "tier_L0": ("L0", "L0"),
    "tier_none": ("none", "无"),
    "aws_excellent": ("excellent", "优"),
    "aws_good": ("good", "良"),
    "aws_marginal": ("marginal", "勉强"),
    "aws_none": ("none", "无"),
    "p_tail": ("How the errors are spread", "误差分布"),
    "p_tail_same": (
        (
            "The errors keep the reference’s shape: {first} times its own at the median, {last} at"
            " the largest."
        ),
        "误差的形状与参考端一致：中位数处为其 {first} 倍，最大处为 {last} 倍。",
    ),
    "p_tail_heavier": (
        (
            "A few values are wrong by far more than the rest: {first} times the reference’s error"
            " at the median, {last} at the largest."
        ),
        "少数数值的误差远大于其余：中位数处为参考端误差的 {first} 倍，最大处为 {last} 倍。",
    ),
    "p_tail_cap": (
        (
            "Error of {n} values against float64 in order of size, log scale; ○ the reference, ◆"
            " the device. A ratio that grows to the right end of the order is of few values, which"
            " R averages away."
        ),
        (
            "{n} 个数值相对 float64 的误差，由小到大（对数轴）；○ 参考端，◆ 设备。"
            "若比值只在末端增大，则只有少数数值有误，而 R 会将其平均掉。"
        ),
    ),
    "p_tail_error": ("error at …", "误差"),
    "p_tail_at": ("Of the errors in order", "误差的分位"),
    "p_tail_device": ("Device", "设备"),
    "p_tail_reference": ("Reference", "参考端"),
    "p_tail_ratio": ("device / reference", "设备 / 参考端"),
    "q_median": ("the median", "中位数"),
    "q_largest": ("the largest", "最大"),
    "not_finite_tail": ("not every output is finite", "并非所有输出都有限"),
    "p_grades": ("Grades that reviewers know", "常用精度等级"),
    "gr_tier": ("CANN’s operator standard", "CANN 算子精度标准"),
    "gr_tier_p": (
        "RMSE is {ratio} × the reference’s; L2 ≤ 1.2, L1 ≤ 1.5, L0 ≤ 2.",
        "均方根误差为参考端的 {ratio} 倍；L2 ≤ 1.2，L1 ≤ 1.5，L0 ≤ 2。",
    ),
    "gr_aws": ("AWS Neuron’s equivalence", "AWS Neuron 等价性"),
    "gr_aws_p": (
        "RMSE is {ratio} × the reference’s; excellent ≤ 1.1, good ≤ 1.2, marginal ≤ 2.",
        "均方根误差为参考端的 {ratio} 倍；优 ≤ 1.1，良 ≤ 1.2，勉强 ≤ 2。",
    ),
    "gr_mixed": ("CANN’s mixed tolerance", "CANN 混合容差"),
    "gr_mixed_p": (
        "{share} of the values keep it, 99 % must; the largest error is {largest}.",
        "{share} 的数值满足，须达 99%；最大误差为 {largest}。",
    ),
    "gr_kept": ("kept", "满足"),
    "gr_not_kept": ("not kept", "不满足"),
}
