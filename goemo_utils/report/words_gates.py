"""Words of the gates. A record says in English what a gate means; the Chinese page has its own
sentences.
"""

WORDS: dict[str, tuple[str, str]] = {
    # gates: name, value, limit, meaning in Chinese (English meanings come with the record)
    "g_finite": ("Finite outputs", "输出有限"),
    "g_same_inputs": ("Same inputs", "输入一致"),
    "g_known_answer": ("Known answer", "已知答案"),
    "g_on_device": ("On the device", "确在设备上"),
    "g_repeatable": ("Repeatable", "可重复"),
    "g_rounding": ("Only rounding", "仅舍入误差"),
    "g_cause": ("Cause found", "原因已查明"),
    "g_place": ("No call at fault", "无出错的算子调用"),
    "g_flips": ("Unexplained flips", "未归因的翻转"),
    "g_flip_bound": ("Flip bound", "翻转率上界"),
    "g_invariance": ("Batch invariance", "批次不变性"),
    "g_task_quality": ("Task quality", "任务指标"),
    "m_finite": ("No output is NaN or infinite.", "输出中没有 NaN 或无穷大。"),
    "m_same_inputs": ("Both sides read identical token ids.", "两端读取的 token id 完全相同。"),
    "m_on_device": (
        "Every operator ran on the device, none on the CPU.",
        "所有算子均在设备上执行，无 CPU 回退。",
    ),
    "m_repeatable": ("Two runs give the same bits.", "两次运行结果逐位一致。"),
    "m_rounding": (
        "R near 1 is the reference’s own rounding.",
        "R 接近 1 即参考端自身的舍入误差。",
    ),
    "m_cause": ("A named cause accounts for the error.", "误差由已知原因造成。"),
    "m_place": (
        "No operator call is wrong on correct inputs.",
        "以正确输入单独执行时，没有算子调用出错。",
    ),
    "m_flips": ("No decision changed without a known reason.", "没有原因不明的判定变化。"),
    "m_flip_bound": (
        "Upper bound of texts that change, 95 % confidence.",
        "95% 置信度下判定会变化的文本比例上界。",
    ),
    "m_invariance": (
        "Batch size and padding do not change the answer.",
        "批大小与填充不改变结果。",
    ),
    "m_task_quality": (
        "Change of micro-F1 against the true labels.",
        "相对真实标签的 micro-F1 变化。",
    ),
    "m_known_answer": ("The published vector of the checkpoint.", "检查点作者公布的向量。"),
    "m_known_answer_fail": (
        "Not the published scores.",
        "未得到公布的分数：权重、分词器、标签或 GELU 有误。",
    ),
    "m_known_answer_not run": (
        "No published answer of this model is known.",
        "该模型没有已知的公布答案。",
    ),
    "m_finite_fail": (
        "Some output is NaN or infinite.",
        "输出中有 NaN 或无穷大，或没有进行任何比对。",
    ),
    "m_same_inputs_fail": (
        "The sides were asked different questions.",
        "两端的输入不同：{value}。",
    ),
    "m_same_inputs_not run": ("Nothing was compared.", "没有进行任何比对。"),
    "m_on_device_cannot tell": ("Placement cannot be proved.", "无法证明运行位置。"),
    "m_on_device_fail": (
        "The candidate did not run where it should.",
        "待比对端未在应有的设备上运行。",
    ),
    "m_repeatable_fail": ("Two runs give different bits.", "两次运行结果不逐位一致。"),
    "m_repeatable_not run": ("It was not repeated.", "没有重复运行。"),
    "m_rounding_explained": (
        "Error is {value} × the reference’s own.",
        "误差为参考端自身的 {value} 倍：不是舍入。",
    ),
    "m_rounding_fail": (
        "Error is {value} × the reference’s own.",
        "误差为参考端自身的 {value} 倍：不是舍入。",
    ),
    "m_cause_fail": (
        "No known arithmetic accounts for the error.",
        "没有已知的数值方式能解释该误差。",
    ),
    "m_cause_not run": ("No cause was looked for.", "未查找原因：误差为舍入，或未运行归因。"),
    "m_place_fail": (
        "Wrong on right inputs: {value} calls.",
        "以正确输入单独执行时有 {value} 个算子调用出错。",
    ),
    "m_place_not run": ("Calls were not replayed one by one.", "未逐个重做算子调用。"),
    "m_flips_fail": (
        "Flips or logits out of reach of rounding: {value}.",
        "超出舍入可及范围的判定或 logits：{value} 个。",
    ),
    "m_flips_not run": ("There are no decisions.", "没有判定可比。"),
    "m_flip_bound_cannot tell": ("Too few texts to tell.", "{n} 条文本太少，无法判定。"),
    "m_flip_bound_explained": (
        "All changed texts are explained by the cause.",
        "变化的文本均由该原因造成。",
    ),
    "m_flip_bound_fail": ("More texts changed than the limit allows.", "变化的文本比例超过门限。"),
    "m_flip_bound_not run": ("There are no decisions.", "没有判定可比。"),
    "m_invariance_fail": ("The answer depends on the batch.", "结果随批次或填充而变。"),
    "m_invariance_not run": ("Other batch sizes were not run.", "未运行其他批大小与填充。"),
    "m_task_quality_fail": ("Micro-F1 changed.", "micro-F1 的变化超过门限。"),
    "m_task_quality_cannot tell": ("Too few texts.", "文本太少，95% 区间超出门限。"),
    "m_task_quality_not run": (
        "The texts have no true labels.",
        "文本没有真实标签，或没有判定可比。",
    ),
    "worst_at": ("Worst at {where}.", "最大处：{where}。"),
    "f_in_package": ("part of goemo {version}", "随 goemo {version} 提供"),
    "cause_unexplained": ("unexplained", "未查明"),
    "numerics_exact": ("exact arithmetic", "精确运算"),
    "p_not_finite": ("not finite", "非有限值"),
    "s_not_reported": ("not reported", "不报告"),
    "x_not_finite": (
        "A value is not finite, so there is nothing to compare.",
        "存在非有限值，无法比对。",
    ),
    "x_few": (
        "{n} texts cannot show {limit}: at least {needed} are needed.",
        "{n} 条文本不足以证明 {limit}，至少需要 {needed} 条。",
    ),
    "value_bit-equal": ("bit-equal", "逐位一致"),
    "value_all": ("all", "全部"),
    "value_simulated": ("simulated", "模拟"),
    "fallbacks": ("{n} fallbacks", "{n} 个回退"),
    "quantity_logits": ("logits", "logits"),
    "quantity_hidden states": ("hidden states", "隐藏状态"),
}
