"""Words of the sections on the model, the device, the environment and the provenance, and the
glossary.
"""

WORDS: dict[str, tuple[str, str]] = {
    # next
    "n_npu": ("On an Ascend machine:", "在昇腾机器上："),
    "n_then": ("then", "然后"),
    "n_without": (
        "Without one: change what is imitated and see the study find it, for example",
        "没有昇腾机器时：改变模拟的数值方式，看误差归因能否查明，例如",
    ),
    "n_step": ("Run from the step that is not complete:", "从未完成的步骤起重新运行："),
    "n_log": ("Its log says what happened:", "日志说明了经过："),
    "n_fault": (
        "Look here first: {what}.",
        "首先检查：{what}。",
    ),
    "n_remedy": ("Apply the remedy ({title}{effect}):", "采用补救措施（{title}{effect}）："),
    "n_alone": (
        "Judge again after a change, without loading anything anew:",
        "修改后只重做比对，无需重新加载：",
    ),
    "n_reload": ("Load the model again and compare its hashes:", "重新加载模型并核对哈希值："),
    "n_gate": ("{gate}: {meaning}", "{gate}：{meaning}"),
    # ported
    "f_model": ("Model", "模型"),
    "f_revision": ("Revision", "版本（revision）"),
    "f_weights": ("Weights", "权重"),
    "f_path": ("Weights read from", "权重路径"),
    "f_arch": ("Architecture", "结构"),
    "f_arch_value": (
        "{architecture} ({model_type}), {details}",
        "{architecture}（{model_type}），{details}",
    ),
    "f_layers": ("{n} layers", "{n} 层"),
    "f_hidden": ("{n} hidden units", "隐藏维度 {n}"),
    "f_labels": ("{n} labels", "{n} 个标签"),
    "f_parameters": ("{n} parameters", "参数量 {n}"),
    "f_untrained": ("Untrained parts", "未训练部分"),
    "f_untrained_none": (
        "None: every parameter came from the checkpoint.",
        "无：所有参数均来自检查点。",
    ),
    "f_untrained_some": ("Random, not trained: {names}", "随机初始化，未经训练：{names}"),
    "f_untrained_all": (
        "All of it: random weights from seed {seed}. Its answers mean nothing.",
        "全部：权重由随机种子 {seed} 生成，输出没有意义。",
    ),
    "f_unused": ("Not used", "未使用"),
    "f_unused_some": (
        "In the checkpoint, with no place in this model: {names}",
        "检查点中未被本模型使用的张量：{names}",
    ),
    "f_task": ("Problem type", "任务类型"),
    "t_multi_label": ("Multi-label (sigmoid)", "多标签分类（sigmoid）"),
    "t_single_label": ("Single label (softmax)", "单标签分类（softmax）"),
    "t_encoder": (
        "Encoder: no trained head, so hidden states are compared",
        "编码器：没有已训练的分类头，因此比对隐藏状态",
    ),
    "f_tokenizer": ("Tokenizer", "分词器"),
    "f_tokenizer_same": ("identical token ids on both sides", "两端 token id 一致"),
    "f_dtype": ("Precision", "数据类型"),
    "f_dtype_value": ("{dtype}, attention {attention}", "{dtype}，attention 实现为 {attention}"),
    "f_license": ("License", "许可证"),
    "f_known": ("Known sentences", "已知句子"),
    "f_known_value": (
        "{k} of {n} sentences got the expected label",
        "{n} 个句子中 {k} 个得到预期标签",
    ),
    "files": ("Files and their hashes", "文件与哈希值"),
    "file": ("File", "文件"),
    "bytes": ("Bytes", "字节数"),
    "smoke_answers": ("What it said about the smoke sentences", "对示例句子的回答"),
    "smoke_labels": ("Labels and probabilities", "标签与概率"),
    # where
    "w_lead": (
        (
            "The candidate ran in its own process on the device; the reference ran in another that"
            " saw no device."
        ),
        "待比对端在独立进程中于设备上运行；参考端在另一个看不到该设备的进程中运行。",
    ),
    "w_lead_sim": (
        "There is no device behind this name. What ran is listed so that nobody need guess.",
        "这个名称背后没有设备。以下列出实际运行的内容。",
    ),
    "w_device": ("Device", "设备"),
    "w_requested": ("Requested", "请求的设备"),
    "w_imitated": ("Imitated", "模仿的数值方式"),
    "w_fault": ("Fault", "注入的错误"),
    "w_parameters": ("Parameters", "参数位置"),
    "w_output": ("Outputs", "输出位置"),
    "w_placed": ("on {places}, as requested", "在 {places}，与请求一致"),
    "w_misplaced": ("on {places}, expected {expected}", "在 {places}，应为 {expected}"),
    "w_memory": ("Device memory", "设备内存"),
    "w_memory_value": ("{allocated} in use, {peak} at peak", "占用 {allocated}，峰值 {peak}"),
    "w_memory_of": (
        "{allocated} in use, {peak} at peak, {total} in all",
        "占用 {allocated}，峰值 {peak}，总量 {total}",
    ),
    "w_memory_sim": ("counted by the simulation", "由模拟设备统计"),
    "w_fallbacks": ("Operators on CPU", "回退到 CPU 的算子"),
    "w_no_fallback": ("none fell back", "无回退"),
    "w_fallback_sim": (
        "All of them: the simulated device computes on the CPU",
        "全部：模拟设备在 CPU 上计算",
    ),
    "w_reference": ("Reference", "参考端"),
    "w_gold": ("Gold", "高精度真值"),
    "w_pack": (
        "{device}, {dtype}, threads: {threads}, {capability}",
        "{device}，{dtype}，线程数 {threads}，{capability}",
    ),
    "w_raw": ("Device facts as recorded", "设备信息原始记录"),
    # environment
    "e_level": ("Level", "级别"),
    "e_finding": ("Finding", "发现"),
    "e_evidence": ("Evidence", "依据"),
    "e_remedy": ("Remedy", "处理建议"),
    "e_error": ("Problem", "问题"),
    "e_warning": ("Warning", "警告"),
    "e_note": ("Note", "提示"),
    "e_ok": ("OK", "正常"),
    "e_not checked": ("Not checked", "未检查"),
    "e_none": ("The environment check left no finding.", "环境检查没有发现。"),
    "e_quoted": (
        "Evidence and remedies are quoted from the record.",
        "依据与处理建议按英文记录原样引用；没有译文的发现同样引用英文原文。",
    ),
    "e_no_remedy": ("none needed", "无需处理"),
    "e_no_evidence": ("none recorded", "无记录"),
    "e_verdicts": ("Can this machine run the port?", "本机能否运行移植？"),
    "e_purpose": ("Purpose", "用途"),
    "e_yes": ("Yes", "可以"),
    "e_no": ("No", "不可以"),
    "e_why": ("Why", "原因"),
    # not checked
    "n_what": ("Not checked", "未检查项"),
    "n_why": ("Why", "原因"),
    "n_how": ("What would check it", "如何补充检查"),
    "n_hardware": ("Anything on Ascend hardware", "昇腾硬件上的一切"),
    "n_hardware_why": ("No device took part.", "没有设备参与。"),
    "n_speed": ("Speed", "速度"),
    "n_speed_why": ("A simulated device has none.", "模拟设备没有速度。"),
    "n_real": ("a run on a real device", "在真实设备上运行"),
    "n_model": ("The real model", "真实模型"),
    "n_model_why": ("The embedded model was used.", "使用的是内置模型。"),
    "n_rerun": ("run this step again", "重新运行该步骤"),
    "n_section": ("{section}", "{section}"),
    # provenance
    "pr_run": ("Run", "运行编号"),
    "pr_times": ("Started, updated", "开始与更新时间"),
    "pr_code": ("Code", "代码版本"),
    "pr_dirty": ("local changes", "有本地改动"),
    "pr_clean": ("no local changes", "无本地改动"),
    "pr_params": ("Parameters", "参数"),
    "pr_defaults": ("defaults", "默认值"),
    "pr_digest": ("digest", "摘要"),
    "pr_texts": ("Texts", "文本"),
    "pr_seed": ("Seed", "随机种子"),
    "pr_versions": ("Versions", "版本"),
    "pr_platform": ("Platform", "平台"),
    "pr_resolved": ("Parameters as resolved", "解析后的参数"),
    "pr_name": ("Name", "名称"),
    "pr_notebooks": ("Notebooks", "笔记本目录"),
    "pr_not_shipped": ("not the package’s own", "不是软件包自带的"),
    "pr_proves": (
        "The digests find damage and edits made in passing: goemo run, publish and diff compare"
        " them. They prove nothing against somebody who can write the run’s folder, because"
        " records are not signed.",
        "这些摘要能发现损坏和随手的改动：goemo run、publish 与 diff 都会核对。但记录没有签名，"
        "对能写入该目录的人不构成证明。",
    ),
    "pr_records": ("Step records", "步骤记录"),
    "pr_step": ("Step", "步骤"),
    "pr_status": ("Status", "状态"),
    "pr_took": ("Took", "耗时"),
    "pr_why": ("Why", "原因"),
    "pr_no_record": ("no record", "无记录"),
    "st_ok": ("ok", "完成"),
    "st_sim": ("ok, simulated", "完成（模拟）"),
    "st_failed": ("failed", "失败"),
    "st_timeout": ("out of time", "超时"),
    "st_died": ("killed", "被中止"),
    "st_skipped": ("skipped", "跳过"),
    "st_not-run": ("not run", "未运行"),
    "st_outdated": ("out of date", "已过期"),
    "pr_pages": ("Executed notebooks", "已执行的笔记本"),
    # again
    "a_pass": (
        (
            "On a machine with the same device and versions. Exit code 0 means that every gate"
            " passed or is explained."
        ),
        "在设备与版本相同的机器上执行。退出码为 0 表示所有门限均通过或已归因。",
    ),
    "a_fail": ("Exit code 1: a gate failed.", "退出码 1：有门限未通过。"),
    "a_incomplete": (
        "Exit code 2 means that it could not run, 3 that a step crashed or ran out of time.",
        "退出码 2 表示无法运行，3 表示有步骤崩溃或超时。",
    ),
    "a_sim": (
        "On any machine. Exit code 0 means that the rehearsal completed, not that a port passed.",
        "可在任何机器上执行。退出码为 0 表示演练完成，不代表移植通过。",
    ),
    # glossary
    "gl_open": ("Definitions", "查看定义"),
    "gl_gold": ("Gold", "高精度真值"),
    "gl_gold_p": (
        "CPU, float64: the answer both sides are measured against.",
        "CPU float64 的结果，双方都以它为标杆。",
    ),
    "gl_reference": ("Reference", "参考端"),
    "gl_reference_p": (
        (
            "The same program in the precision of the run, on the CPU or on another machine: what a"
            " correct implementation gives."
        ),
        "同精度下在 CPU 或另一台机器上运行的同一程序：正确实现应有的输出。",
    ),
    "gl_candidate": ("Candidate", "待比对端"),
    "gl_candidate_p": ("The device being judged.", "被验证的设备。"),
    "gl_r": ("Error ratio R", "误差比 R"),
    "gl_r_p": (
        "RMSE(c, g) ÷ RMSE(r, g): the candidate’s distance from gold over the reference’s.",
        "RMSE(c, g) ÷ RMSE(r, g)：待比对端与参考端到真值的距离之比。",
    ),
    "gl_flip": ("Flip", "判定翻转"),
    "gl_flip_p": (
        "A label that is above its threshold on one side and below it on the other.",
        "某标签在一端高于阈值、在另一端低于阈值。",
    ),
    "gl_explained": ("Explained", "已归因"),
    "gl_explained_p": (
        (
            "The flip’s margin is within what the accepted arithmetic can move, measured without"
            " the candidate."
        ),
        "翻转处的裕量不超过所接受的数值方式可造成的偏移，该偏移的测定不涉及待比对端。",
    ),
    "gl_margin": ("Margin", "裕量"),
    "gl_margin_p": (
        "|z_g − t|: distance of the gold logit from the threshold.",
        "|z_g − t|：真值 logit 到阈值的距离。",
    ),
    "gl_interval": ("Interval [a, b]", "区间 [a, b]"),
    "gl_interval_p": ("95 % interval of the median.", "中位数的 95% 置信区间。"),
    "foot": (
        (
            "Rendered by goemo {version} from {n} step records; no figure was typed by hand."
            " Machine-readable copy: summary.json (schema {schema})."
        ),
        (
            "由 goemo {version} 根据 {n} 份步骤记录生成，未手工填写任何数字。"
            "机器可读版本：summary.json（schema {schema}）。"
        ),
    ),
}
