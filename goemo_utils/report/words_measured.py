"""Words of the sections on parity and speed, and of the comparison of two runs."""

WORDS: dict[str, tuple[str, str]] = {
    "s_cold": ("First call, s", "首次调用（秒）"),
    "s_remarks": ("What to mind about these rates ({n})", "关于这些数值的说明（{n} 条）"),
    "p_headline": ("The figures to read first", "主要指标"),
    "p_metrics_all": ("All {n} metrics, with their formulas", "全部 {n} 项指标及公式"),
    "mn_R": ("Error ratio R", "误差比 R"),
    "mn_R_p": (
        "The device’s distance from float64, in units of the CPU’s own.",
        "设备与 float64 的距离，以 CPU 自身的误差为单位。",
    ),
    "mn_max_abs_diff": ("Largest difference", "最大绝对误差"),
    "mn_max_abs_diff_p": ("Of one output, device against reference.", "单个输出，设备对参考端。"),
    "mn_top1_match": ("Same highest label", "最高标签一致"),
    "mn_top1_match_p": ("Share of the texts.", "占文本的比例。"),
    "mn_match_within_1_percent": ("Within 1 %", "误差在 1% 以内"),
    "mn_match_within_1_percent_p": ("Share of all outputs.", "占全部输出的比例。"),
    "mn_cosine_similarity": ("Cosine similarity", "余弦相似度"),
    "mn_cosine_similarity_p": (
        "Mean over texts; 0.99 still allows an error of 14 %.",
        "各文本的平均值；0.99 仍可能有 14% 的误差。",
    ),
    # parity
    "p_lead": (
        (
            "{n} texts × {labels} labels, threshold {threshold}; compared with a {reference}"
            " reference and a float64 gold."
        ),
        (
            "{n} 条文本 × {labels} 个标签，阈值 {threshold}，与 {reference} 参考端及 float64"
            " 真值比对。"
        ),
    ),
    "p_lead_encoder": (
        (
            "{n} texts, {tokens} tokens: hidden states compared with a {reference} reference and a"
            " float64 gold."
        ),
        "{n} 条文本、{tokens} 个 token：隐藏状态与 {reference} 参考端及 float64 真值比对。",
    ),
    "p_lead_sim": (
        "The numbers exercise the study; they say nothing about Ascend.",
        "以下数值仅用于演练流程，与昇腾设备无关。",
    ),
    "several": (
        "one a label, {k} of them, {low} to {high}",
        "每个标签各一，共 {k} 个，{low} 至 {high}",
    ),
    "p_metrics": ("Parity metrics", "精度指标"),
    "metric": ("Metric", "指标"),
    "formula": ("Formula", "公式"),
    "unit": ("Unit", "单位"),
    "p_symbols": (
        (
            "z logits, p probabilities, h hidden states; c candidate (the device), r reference, g"
            " gold (CPU float64). Padding is excluded."
        ),
        (
            "z 为 logits，p 为概率，h 为隐藏状态；c 为待比对端，r 为参考端，g 为高精度真值（CPU"
            " float64）。不含填充位。"
        ),
    ),
    "p_why_ratio": ("Why a ratio, and not cosine similarity", "为什么用误差比 R，而不用余弦相似度"),
    "p_why_ratio_p": (
        (
            "Two correct float32 programs do not agree to the last bit. R divides the device’s"
            " distance from the float64 answer by the reference’s own distance from it: near 1 is"
            " rounding, far above 1 has a cause. Cosine similarity cannot show this: 0.99 still"
            " allows a relative error of 14 %."
        ),
        (
            "两个都正确的 float32 程序也不会逐位相同。R 为设备到 float64"
            " 真值的距离与参考端自身到真值的距离之比：接近 1 为舍入误差，远大于 1 则另有原因。"
            "余弦相似度看不出这一点：0.99 仍允许 14% 的相对误差。"
        ),
    ),
    "p_cause": ("Which cause explains the error", "误差归因"),
    "p_cause_some": ("The named cause: {causes}.", "查明的原因：{causes}。"),
    "p_cause_rounding": (
        "No cause is needed: the error is no larger than rounding.",
        "无需归因：误差不超过舍入误差。",
    ),
    "p_cause_unknown": ("No known cause explains the error.", "没有已知原因能解释该误差。"),
    "p_ladder_title": (
        "{rung} is the nearest of {n} CPU runs.",
        "{n} 种 CPU 运行中，最接近的是 {rung}。",
    ),
    "p_ladder_cap": (
        (
            "RMSE between the device and each CPU run, log scale; shorter is closer. Error"
            " explained: share of the squared error that the run accounts for."
        ),
        (
            "设备与各 CPU 运行之间的均方根误差（对数轴，越短越接近）。"
            "可解释的误差：该运行所解释的平方误差占比。"
        ),
    ),
    "p_ladder_rung": ("the device, compared with …", "设备与以下各项比较"),
    "p_ladder_share": ("error explained", "可解释的误差"),
    "p_none": ("none", "无"),
    "p_remedy": ("The remedy", "处理方法"),
    "p_source": ("Source: {source}.", "来源：{source}。"),
    "p_remedy_before": ("The remedy, before and after", "处理前后对比"),
    "p_before": ("As run", "处理前"),
    "p_after": ("With the remedy", "处理后"),
    "p_heat": ("Where the error enters", "误差定位：层 × 模块"),
    "p_heat_lead": (
        (
            "Each operator call was repeated alone on the reference’s own inputs, so an error shows"
            " where it is made and not where it has spread."
        ),
        "每次算子调用都以参考端的输入单独重做，因此误差显示在产生处，而不是传播处。",
    ),
    "p_heat_clean": ("No module is above the limit.", "没有模块超出门限。"),
    "p_heat_fault": ("The error enters at {place}.", "误差产生于 {place}。"),
    "p_heat_cap": ("Error ratio R per layer and module.", "各层、各模块的误差比 R。"),
    "p_heat_limit": ("A call above {limit} is at fault.", "超过 {limit} 的算子调用视为出错。"),
    "p_heat_absent": ("n/c", "未测"),
    "p_heat_uncovered": (
        "n/c: the call could not be repeated; –: there is none.",
        "未测：该调用无法重做；–：没有该调用。",
    ),
    "p_heat_accumulated": ("layer output, accumulated", "层输出（累积误差）"),
    "p_outside": ("Calls outside the layers", "层以外的算子调用"),
    "p_heat_layer": ("layer", "层"),
    "p_heat_key": ("Error ratio R", "误差比 R"),
    "p_heat_mark": ("error enters here", "误差产生处"),
    "p_module": ("Module", "模块"),
    "p_same_table": ("The same values as a table", "以表格查看相同数值"),
    "p_state": ("State", "状态"),
    "p_grade": ("Grade", "等级"),
    "p_states": ("Every state by every measure", "各状态的全部指标"),
    "p_states_cap": (
        (
            "Candidate against gold, real tokens only. tol: what torch._dynamo.utils.same would"
            " have needed. Grade: CANN’s operator limits L2 (strictest), L1, L0, applied to a"
            " model."
        ),
        (
            "待比对端相对真值，仅计真实 token。tol：torch._dynamo.utils.same 所需的容差。等级：CANN"
            " 算子门限 L2（最严）、L1、L0，用于整个模型。"
        ),
    ),
    "p_layers": ("How the error grows", "误差的增长"),
    "p_layers_title": (
        "The error ratio is {first} after the first state and {last} after the last.",
        "误差比在首个状态为 {first}，在最后一个状态为 {last}。",
    ),
    "p_layers_cap": (
        (
            "Error ratio R of each state, log scale; errors accumulate from top to bottom. Dashed:"
            " limit {limit}."
        ),
        "各状态的误差比 R（对数轴），误差自上而下累积。虚线：门限 {limit}。",
    ),
    "p_layer": ("State", "状态"),
    "p_faults": ("Calls at fault", "出错的算子调用"),
    "operator": ("Operator", "算子"),
    "p_ratio_rms": ("R (RMS)", "R（均方根）"),
    "p_ratio_max": ("R (max)", "R（最大值）"),
    "p_flips_ties": (
        (
            "At a tie: with the threshold of each of the {labels} labels put on gold’s nearest"
            " answer, {changed} decisions change, {unexplained} of them out of reach of rounding."
        ),
        (
            "恰在阈值处：将 {labels} 个标签的阈值分别置于最近的真值答案上，有 {changed}"
            " 个判定改变，其中 {unexplained} 个超出舍入可及范围。"
        ),
    ),
    "p_flips": ("Decisions near the threshold", "阈值附近的判定"),
    "p_flips_lead": (
        (
            "Decisions changed: {flips} of {n}. Texts with another label set: {texts}. Explained"
            " {explained}, unexplained {unexplained}."
        ),
        (
            "{n} 个判定中有 {flips} 个改变，涉及 {texts} 条文本：{explained} 个已归因，"
            "{unexplained} 个未归因。"
        ),
    ),
    "p_near_none": ("No decision was close enough to change.", "没有判定接近到可能改变。"),
    "p_near_some": (
        "{k} of the {n} decisions nearest the threshold could have changed.",
        "最接近阈值的 {n} 个判定中，有 {k} 个可能改变。",
    ),
    "p_near_flipped": ("Decisions changed: {flips}.", "有 {flips} 个判定改变。"),
    "p_near_cap": (
        (
            "◆ changed, explained. × changed, unexplained. ○ could have changed, did not. Dots: the"
            " other {n} decisions nearest the threshold."
        ),
        (
            "◆ 已改变（已归因）。× 已改变（未归因）。○ 可能改变而未改变。圆点：其余最接近阈值的 {n}"
            " 个判定。"
        ),
    ),
    "p_near_envelope": (
        "Shaded: the margin is within what the accepted arithmetic can move, {bound}.",
        "阴影：裕量不超过所接受的数值方式可造成的偏移 {bound}。",
    ),
    "p_possible": ("▲ a flip is possible: error ≥ margin", "▲ 可能翻转：误差 ≥ 裕量"),
    "p_impossible": ("▼ a flip is impossible: error < margin", "▼ 不可能翻转：误差 < 裕量"),
    "p_x": ("margin |z_g − t|, logits (log scale)", "裕量 |z_g − t|，logits（对数轴）"),
    "p_y": ("error |Δz|, logits", "误差 |Δz|，logits"),
    "p_near_x": ("Margin", "裕量"),
    "p_near_y": ("Error", "误差"),
    "p_worst": ("Texts with the largest error", "误差最大的文本"),
    "p_worst_note": (
        "{k} of {n} texts, each with its worst label",
        "{n} 条文本中的 {k} 条，各列误差最大的标签",
    ),
    "text": ("Text", "文本"),
    "label": ("Label", "标签"),
    "p_ref": ("p ref.", "p 参考端"),
    "p_dev": ("p device", "p 设备"),
    "margin": ("Margin", "裕量"),
    "decision": ("Decision", "判定"),
    "same": ("Same", "一致"),
    "flip_explained": ("Flipped, explained", "翻转，已归因"),
    "flip_unexplained": ("Flipped, unexplained", "翻转，未归因"),
    "flipped": ("Flipped", "翻转"),
    # speed
    "s_sim": (
        (
            "No speed is claimed. The simulated device computes on this machine’s CPU, so a rate or"
            " a speed-up would describe the wrong thing."
        ),
        "不报告速度。模拟设备在本机 CPU 上计算，速率或加速比都没有意义。",
    ),
    "s_lead": (
        "The baseline is {baseline}, on {cores} CPU cores of this machine.",
        "基线为 {baseline}，使用本机 {cores} 个 CPU 核。",
    ),
    "s_title": (
        "{rate} texts per second on {device}, {speedup} times the baseline.",
        "{device} 上每秒 {rate} 条，为基线的 {speedup} 倍。",
    ),
    "s_title_plain": ("Throughput of {n} configurations.", "{n} 种配置的吞吐量。"),
    "s_title_cpu": ("Rates of this machine’s CPU only.", "仅为本机 CPU 的速率。"),
    "s_cap": (
        "Median texts per second with its 95 % interval, n = number of timed blocks.",
        "中位数（条/s）与 95% 区间，n 为计时块数。",
    ),
    "s_config": ("Configuration", "配置"),
    "s_median": ("Median", "中位数"),
    "s_ci": ("95 % interval", "95% 区间"),
    "s_iqr": ("Quartiles", "四分位"),
    "s_batch": ("Batch", "批大小"),
    "cd_title": ("Card by card", "逐卡比较"),
    "cd_card": ("Card", "卡"),
    "cd_name": ("card\u00a0{n}", "卡\u00a0{n}"),
    "cd_apart": ("From the others", "与其他卡相差"),
    "cd_bits": ("Bits", "逐位"),
    "cd_texts": ("Texts changed", "变化的文本"),
    "cd_finding": ("What is wrong", "问题所在"),
    "cd_well": ("Well", "正常"),
    "cd_sick": ("Sick", "异常"),
    "cd_fails": ("Fails as all do", "与各卡同样未通过"),
    "cd_legend": (
        (
            "R: distance from gold over the reference’s own. From the others: distance from the"
            " middle one of the other cards in the same unit, at most {limit}; 0 where the bits are"
            " the same. Cards with one letter gave the same bits."
        ),
        (
            "R：与金标准的距离除以参考端自身的距离。与其他卡相差：以同一单位计，与其余各卡距离的中位数，"
            "至多 {limit}；逐位一致时为 0。字母相同的卡结果逐位一致。"
        ),
    ),
    "cd_rates": ("Throughput by card (texts/s)", "各卡吞吐量（条/s）"),
    "cd_scaling": ("Scaling efficiency", "扩展效率"),
    "cd_scaling_value": (
        "{value}: {together} texts/s by {cards} cards at once, {alone} by each alone in sum",
        "{value}：{cards} 张卡同时为 {together} 条/s，各自单独之和为 {alone} 条/s",
    ),
    "s_rates": ("Throughput (texts/s)", "吞吐量（条/s）"),
    "s_latency": ("Latency, one text at a time (ms)", "单条时延（ms）"),
    "s_speedup": ("Speed-up", "加速比"),
    "s_speedup_value": (
        "{value}× {interval} against {baseline}, {cores} CPU cores",
        "{value}× {interval}，基线 {baseline}，{cores} 个 CPU 核",
    ),
    "s_protocol": ("Timing protocol", "计时方法"),
    "s_worker": ("Settings of the timing process", "计时进程的设置"),
    "s_bar_desc": ("{name}: {value}", "{name}：{value}"),
    "s_cfg": ("configuration", "配置"),
    # comparison of two runs
    "d_kind_page": ("comparison of two runs", "两次运行的对比"),
    "d_changed": ("What changed", "变化项"),
    "d_changed_what": (
        "code, parameters, versions, device, weights, texts",
        "代码、参数、版本、设备、权重、文本",
    ),
    "d_change": ("Change", "变化"),
    "d_kind": ("Kind", "类别"),
    "d_note": ("Note", "说明"),
    "d_before": ("Before", "之前"),
    "d_after": ("After", "之后"),
    "d_nothing": ("nothing", "无"),
    "d_worse": ("Worse", "变差"),
    "d_better": ("Better", "变好"),
    "d_same": ("Same", "不变"),
    "d_not_worse": ("NOT WORSE", "未变差"),
    "d_moved": ("moved", "有变化"),
    "d_still": ("within the intervals", "在区间之内"),
    "d_unknown": ("cannot tell", "无法判定"),
    "d_worse_gates": ("Gates that got worse", "变差的门限"),
    "d_better_gates": ("Gates that got better", "变好的门限"),
    "d_rates_moved": ("Rates that moved", "有变化的速率"),
    "d_intervals": ("their 95 % intervals do not overlap", "95% 区间不重叠"),
    "d_of": ("of {n}", "共 {n} 项"),
    "d_none_worse": ("No gate got worse.", "没有门限变差。"),
    "d_some_worse": ("Got worse: {gates}.", "变差：{gates}。"),
    "g_verdict": ("verdict", "结论"),
    "d_foot": (
        "Made by goemo {version} from the records of both runs.",
        "由 goemo {version} 根据两次运行的记录生成。",
    ),
}
