"""The words of the report in English and Chinese, one table; a word that is not in it cannot be
shown.
"""

from typing import Any

from goemo_utils.report import (
    words_errors,
    words_gates,
    words_measured,
    words_named,
    words_sections,
)
from goemo_utils.report.read import ReportError

LANGUAGES = ("en", "zh")

_WORDS: dict[str, tuple[str, str]] = {
    "lang": ("en", "zh-Hans"),
    "simulated": ("SIMULATED", "模拟运行"),
    "strip": (
        (
            "A rehearsal on this machine’s CPU, pretending to be an NPU. It shows that the chain"
            " works. It is not evidence about any Ascend device."
        ),
        "在本机 CPU 上模拟 NPU 的演练，仅说明流程可运行，不能作为任何昇腾设备的证据。",
    ),
    "draft": ("DRAFT", "草稿 DRAFT"),
    "report": ("port report", "移植报告"),
    "run": ("run", "运行"),
    "contents": ("Contents", "目录"),
    "skip": ("Skip to the summary", "跳至结论"),
    "unknown": ("not recorded", "无记录"),
    # sections
    "s_summary": ("Summary", "结论"),
    "s_next": ("What to do next", "下一步"),
    "s_ported": ("What was ported", "移植对象"),
    "s_where": ("Where it ran, and the proof", "运行位置与证据"),
    "s_parity": ("Is it the same answer?", "精度一致性"),
    "s_speed": ("How fast, against what", "吞吐量与时延"),
    "s_env": ("Environment findings", "环境检查"),
    "s_not": ("What was not checked", "未检查的内容"),
    "s_prov": ("Provenance", "溯源信息"),
    "s_again": ("Run it again", "复现方法"),
    "s_words": ("Words used here", "术语"),
    # verdict
    "v_pass": ("PASSED", "通过"),
    "v_cause": ("PASSED, WITH A NAMED CAUSE", "通过（原因已查明）"),
    "v_fail": ("FAILED", "未通过"),
    "v_incomplete": ("INCOMPLETE", "未完成"),
    "v_sim": ("REHEARSAL COMPLETED", "演练完成"),
    "v_sim_fail": ("REHEARSAL COMPLETED, A GATE FAILED", "演练完成，有门限未通过"),
    "v_sim_incomplete": ("REHEARSAL INCOMPLETE", "演练未完成"),
    "h_pass": (
        "Ported to {device}: the same {labels} on all {n} texts.",
        "已移植到{device}：{n} 条文本的{labels}判定全部一致。",
    ),
    "h_cause": (
        (
            "Ported to {device}: the same {labels} on {a} of {n} texts, and every difference is"
            " explained."
        ),
        "已移植到{device}：{n} 条中 {a} 条的{labels}判定一致，其余差异均已查明原因。",
    ),
    "h_cause_all": (
        (
            "Ported to {device}: the same {labels} on all {n} texts, and the error above rounding"
            " has a known cause."
        ),
        "已移植到{device}：{n} 条文本的{labels}判定全部一致，超出舍入的误差已查明原因。",
    ),
    "h_fail": (
        "Not ported: {k} of {n} texts get different {labels}, and no known cause explains it.",
        "未能移植：{n} 条中 {k} 条的{labels}判定不同，且未找到原因。",
    ),
    "h_fail_gate": (
        "Not ported: {gates} not met on {n} texts.",
        "未能移植：{n} 条文本上有门限未满足：{gates}。",
    ),
    "h_encoder": (
        (
            "Ported to {device}: its hidden states differ from the reference by rounding only, on"
            " all {n} texts."
        ),
        "已移植到{device}：{n} 条文本的隐藏状态与参考端之差仅为舍入误差。",
    ),
    "h_encoder_cause": (
        "Ported to {device}: its hidden states differ from the reference, and the cause is known.",
        "已移植到{device}：隐藏状态与参考端不同，原因已查明。",
    ),
    "h_other": (
        (
            "Checked on {device}: the same {labels} on {a} of {n} texts. It is no port: no Ascend"
            " device took part."
        ),
        "已在{device}上检查：{n} 条中 {a} 条的{labels}判定一致。这不是移植：没有昇腾设备参与。",
    ),
    "h_other_encoder": (
        (
            "Checked on {device}: the hidden states of {n} texts. It is no port: no Ascend device"
            " took part."
        ),
        "已在{device}上检查 {n} 条文本的隐藏状态。这不是移植：没有昇腾设备参与。",
    ),
    "h_not_run": ("Not run: {what}. Nothing was compared.", "未运行：{what}。没有进行任何比对。"),
    "h_not_finished": (
        "Not finished: {what}. The answers were compared; see the gates.",
        "未完成：{what}。精度比对已进行，见验收门限。",
    ),
    "h_fail_fault": ("Not ported: {what}.", "未能移植：{what}。"),
    "h_fail_cards": ("Not ported: {what}", "未能移植：{what}"),
    "h_sim_cards": (
        "Found: {what} Nothing was ported: no Ascend device took part.",
        "已定位：{what}未进行任何移植：没有昇腾设备参与。",
    ),
    "h_sim_fault": (
        "Found: {what}. Nothing was ported: no Ascend device took part.",
        "已定位：{what}。未进行任何移植：没有昇腾设备参与。",
    ),
    "h_sim_cause": (
        (
            "The chain works, and {causes} accounts for the difference. Nothing was ported: no"
            " Ascend device took part."
        ),
        "流程可完整运行，差异由 {causes} 造成。未进行任何移植：没有昇腾设备参与。",
    ),
    "fd_factor": (
        "output is {factor} × what it should be in {place}",
        "{place} 的输出为应有值的 {factor} 倍",
    ),
    "fd_form": (
        "{place} is computed with {form}",
        "{place} 的计算方式有误（computed with {form}）",
    ),
    "fd_only_texts_more": (
        ", only in batches of {n} texts and more",
        "，仅见于 {n} 条及以上的批次",
    ),
    "fd_only_texts_fewer": (
        ", only in batches of {n} texts and fewer",
        "，仅见于 {n} 条及以下的批次",
    ),
    "fd_only_texts_these": (", only in batches of {n} texts", "，仅见于 {n} 条的批次"),
    "fd_only_tokens_more": (
        ", only in batches of {n} tokens and more",
        "，仅见于 {n} 个 token 及以上的批次",
    ),
    "fd_only_tokens_fewer": (
        ", only in batches of {n} tokens and fewer",
        "，仅见于 {n} 个 token 及以下的批次",
    ),
    "fd_only_tokens_these": (
        ", only in batches of {n} tokens",
        "，仅见于 {n} 个 token 的批次",
    ),
    "fd_ratio": (
        "the error of {place} is {ratio} × the CPU’s own",
        "{place} 的误差为 CPU 自身误差的 {ratio} 倍",
    ),
    "fd_output is NaN": ("output is NaN in {place}", "{place} 的输出为 NaN"),
    "fd_output is infinite or has another shape, or a masked score came back": (
        "output is infinite or of another shape in {place}",
        "{place} 的输出为无穷大或形状不符",
    ),
    "fd_effect": ("R {before} → {after} with the remedy", "采用补救措施后 R {before} → {after}"),
    "fd_moved": (", R {before} → {after} here", "，本次 R {before} → {after}"),
    "rt_tanh_gelu": ("Call the erf form of GELU", "调用 GELU 的 erf 形式"),
    "rt_matmul": ("Keep float32 in matrix products", "矩阵乘保持 float32"),
    "rt_conv": ("Keep float32 in convolutions", "卷积保持 float32"),
    "lead_remedy": ("Tried on it: {effect}.", "已试用：{effect}。"),
    "h_sim": (
        "The chain works end to end. Nothing was ported: no Ascend device took part.",
        "流程可完整运行。未进行任何移植：没有昇腾设备参与。",
    ),
    "h_sim_fail": (
        (
            "The chain runs, and a gate caught a difference. Nothing was ported: no Ascend device"
            " took part."
        ),
        "流程可运行，且有门限发现了差异。未进行任何移植：没有昇腾设备参与。",
    ),
    "h_sim_incomplete": (
        "The rehearsal is not complete: {what}. Nothing was ported: no Ascend device took part.",
        "演练未完成：{what}。未进行任何移植：没有昇腾设备参与。",
    ),
    "lead_pass": (
        "The error ratio R is {ratio}, limit {limit}: what differs is rounding.",
        "误差比 R 为 {ratio}，门限 {limit}：差异仅为舍入误差。",
    ),
    "lead_cause": (
        "The difference comes from {causes}. The error ratio R is {ratio}.",
        "差异来自 {causes}。误差比 R 为 {ratio}。",
    ),
    "lead_fault": (
        "The error enters at {place}; calls at fault: {k}.",
        "误差产生于 {place}；出错的调用共 {k} 个。",
    ),
    "lead_fail": ("These gates failed: {gates}.", "未通过的门限：{gates}。"),
    "lead_incomplete": (
        "Everything below is from the steps that finished.",
        "以下内容仅来自已完成的步骤。",
    ),
    "lead_sim": (
        "The simulated device was told to imitate {numerics}{fault}.",
        "模拟设备被设定为模仿{numerics}{fault}。",
    ),
    "lead_genuine": (
        "The genuine torch_npu chose its operators; a SIMULATED CANN computed them exactly{fault}.",
        "真正的 torch_npu 选择了算子，由模拟的 CANN（SIMULATED CANN）精确计算{fault}。",
    ),
    "lead_sim_next": (
        "To port the model, run the chain with params/npu.yaml on a machine with an NPU.",
        "要真正移植，请在配有 NPU 的机器上用 params/npu.yaml 运行。",
    ),
    "lead_changed": (
        "{k} of {n} texts get different {labels}.",
        "{n} 条中 {k} 条的{labels}判定不同。",
    ),
    "lead_sim_fault": (" with the fault {fault}", "，并注入错误 {fault}"),
    "step_failed": ("{step} failed", "{step} 失败"),
    "step_timeout": ("{step} ran out of time", "{step} 超时"),
    "step_died": ("{step} was killed", "{step} 被中止"),
    "step_not-run": ("{step} has not been run", "{step} 尚未运行"),
    "step_skipped": ("{step} was skipped", "{step} 被跳过"),
    "step_outdated": (
        "{step} is older than what it builds on, which was run again with other values",
        "{step} 早于其所依据的步骤：后者已用其他取值重新运行",
    ),
    "step_ok": ("{step} finished", "{step} 已完成"),
    "emotions": ("emotions", "情绪"),
    "labels": ("labels", "标签"),
    "sep": ("; ", "；"),
    "comma": (", ", "、"),
    # key figures
    "k_texts": ("Texts with a different label set", "标签集合不同的文本"),
    "k_of": ("{k} of {n}", "{k} / {n}"),
    "k_unexplained": ("unexplained flips: {k}", "未归因的翻转：{k}"),
    "k_ratio": ("Error ratio R, {quantity}", "误差比 R（{quantity}）"),
    "k_limit": (
        "limit {limit}; 1 is the reference’s own error",
        "门限 {limit}；1 为参考端自身误差",
    ),
    "k_worst": ("worst state: {value} at {where}", "最差状态：{where}，{value}"),
    "k_speed": ("Throughput", "吞吐量"),
    "k_rate": ("texts/s", "条/s"),
    "k_speed_at": ("{interval}; batch {batch}, {dtype}", "{interval}；批大小 {batch}，{dtype}"),
    "k_base": ("Against the named baseline", "相对所列基线"),
    "k_baseline": ("{baseline}, {cores} CPU cores", "{baseline}，{cores} 个 CPU 核"),
    "k_device": ("Device", "设备"),
    "k_none": ("none", "无"),
    "k_simdev": (
        "simulated {device}, computed on this machine’s CPU",
        "模拟的 {device}，由本机 CPU 计算",
    ),
    "k_steps": ("Steps completed", "已完成步骤"),
    "k_took": ("{seconds} in all", "共 {seconds}"),
    "k_cause": ("Cause named", "查明的原因"),
    "k_no_cause": ("none", "无"),
    "k_imitated": ("imitated: {numerics}", "设定：{numerics}"),
    "k_not_claimed": ("not claimed", "不报告"),
    "k_no_speed": ("a simulated device has no speed of its own", "模拟设备没有自身的速度"),
    "k_not_run": ("not run", "未运行"),
    # gates
    "gates": ("Gates", "验收门限"),
    "gate": ("Gate", "门限项"),
    "result": ("Result", "结果"),
    "value": ("Value", "实测值"),
    "limit": ("Limit", "门限"),
    "meaning": ("What it means", "含义"),
    "gates_count": ("{n} defined: {counts}", "共 {n} 项：{counts}"),
    "gates_sim": (
        "exercised on simulated answers; none counts towards a port",
        "在模拟结果上演练；均不计入移植结论",
    ),
    "gates_none": (
        "No gate was judged: the parity step did not finish.",
        "没有判定任何门限：精度步骤未完成。",
    ),
    "r_pass": ("Pass", "通过"),
    "r_fail": ("Fail", "未通过"),
    "r_explained": ("Explained", "已归因"),
    "r_cannot tell": ("Cannot tell", "无法判定"),
    "r_not run": ("Not run", "未运行"),
    "rs_pass": ("Would pass", "将会通过"),
    "rs_fail": ("Would fail", "将不通过"),
    "rs_explained": ("As imitated", "与设定相符"),
    "rs_cannot tell": ("Cannot tell", "无法判定"),
    "rs_not run": ("Not run", "未运行"),
    "c_pass": ("{n} pass", "{n} 项通过"),
    "c_fail": ("{n} fail", "{n} 项未通过"),
    "c_explained": ("{n} explained", "{n} 项已归因"),
    "c_cannot tell": ("{n} cannot tell", "{n} 项无法判定"),
    "c_not run": ("{n} not run", "{n} 项未运行"),
    "nc_line": (
        "{n} things were not checked, among them: {first}.",
        "有 {n} 项内容未检查，其中包括：{first}。",
    ),
    "nc_one": ("One thing was not checked: {first}.", "有 1 项内容未检查：{first}。"),
    "nc_none": (
        "No check was left out by this run’s own account.",
        "本次运行未记录任何遗漏的检查。",
    ),
    "nc_sim": ("Everything about a real device is unchecked.", "与真实设备有关的一切均未检查。"),
    "see": ("See what and why.", "查看具体内容与原因"),
    # absent values
    "absent": ("not reported: {reason}", "不报告：{reason}"),
    "null_sim": ("null: simulated", "空（模拟运行）"),
    "section_absent": ("Not checked, because {reason}.", "未检查，原因：{reason}。"),
    "not_recorded": ("the record of this run does not hold it", "本次运行的记录中没有该内容"),
    "because_step": ("{step}", "{step}"),
}

TABLE = {
    **_WORDS,
    **words_errors.WORDS,
    **words_gates.WORDS,
    **words_measured.WORDS,
    **words_named.WORDS,
    **words_sections.WORDS,
}


class Words:
    """The words of one language. ``words("key", name=value)`` fills the braces; an unknown key is
    an error, never a blank.
    """

    def __init__(self, language: str) -> None:
        if language not in LANGUAGES:
            raise ReportError(f"Language is {language!r}, expected one of {', '.join(LANGUAGES)}.")
        self.language = language
        self._table = TABLE

    def __call__(self, key: str, **values: Any) -> str:
        """Return the words for ``key``."""
        pair = self._table.get(key)
        if pair is None:
            raise ReportError(
                f"There are no words for {key!r}: add them to the report's tables in both"
                " languages."
            )
        text = pair[LANGUAGES.index(self.language)]
        return text.format(**values) if values else text

    def has(self, key: str) -> bool:
        """Whether the table knows ``key``."""
        return key in self._table

    def known(self, prefix: str, name: str) -> str:
        """Return the words for ``prefix`` + ``name``, or the name itself when a newer part of the
        kit invented it.
        """
        return self(prefix + name) if self.has(prefix + name) else name
