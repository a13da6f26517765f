"""Chinese for the fixed sentences of a record: titles of findings by their id, and what verdicts
and checks left out may say.

The English of a title stands in the tables of ``goemo_utils.environment``, with the same names in
braces.
"""

TITLES: dict[str, str] = {
    # checks.json
    "probe-failed": "{what}：无法读取",
    "not-checked": "{what}：未检查，原因：{why}",
    "clean": "未发现问题",
    "python-version": "goemo 支持 Python {wanted}，当前为 Python {found}",
    "architecture": "昇腾软件仅发布于 x86_64 与 aarch64，本机为 {found}",
    "torch-missing": "当前 Python 未安装 torch",
    "torch-version": "torch {found} 不适用于 {purposes}：需要 torch {wanted}",
    "torch-import": "import torch 失败",
    "package-missing": "当前 Python 缺少 goemo 所需的软件包：{names}",
    "package-version": "已安装 {name} {found}，而 goemo 需要 {wanted}",
    "package-newer": "{name} {found} 比 goemo 试过的最新版本 {tried} 更新",
    "notebook-package": "笔记本所需的软件包缺失或版本过旧：{names}",
    "torch-npu-missing": "当前 Python 未安装 torch_npu",
    "torch-cuda-build": "torch {found} 是 {build} 版本，而 torch_npu 需要 CPU 版本",
    "pair-ended": "torch_npu {wheel} 已停止维护（{since}）",
    "driver-cann": "CANN {cann} 不接受驱动 {driver}",
    "torch-npu-shadow": "工作目录中的 torch_npu 文件夹遮蔽了已安装的软件包",
    "torch-npu-import": "import torch_npu 失败，报错信息不在已知列表中",
    "transformers-import": "按运行时的方式 import transformers 失败",
    "autoload-breaks-torch": "此处直接 import torch 会失败，因为 torch 会自动加载 torch_npu",
    "operator-failed": "npu:0 上的加法失败，报错信息不在已知列表中",
    "operator-wrong": "npu:0 上的加法结果错误",
    "cann-missing": "CANN 不在任何常用安装位置",
    "cann-not-sourced": "已安装 CANN {toolkit}，但当前进程未加载其环境变量",
    "cann-stale": "{name} 指向 {value}，该路径不存在",
    "cann-simulated": (
        "此处的 CANN 为模拟（SIMULATED）：真正的 torch_npu 运行在 goemo 的替身之上，"
        "没有昇腾设备参与"
    ),
    "cann-variable": "已设置 ASCEND_HOME_PATH，但未设置 ASCEND_OPP_PATH",
    "cann-library-path": "LD_LIBRARY_PATH 的各目录中都没有 {names}",
    "cann-ops-missing": "CANN {toolkit} 没有 ops 软件包",
    "cann-ops-chip": "此 CANN 的 ops 软件包没有适用于 {name} 的内核",
    "cann-several": "共有 {count} 个 CANN 安装，当前进程将使用 {toolkit}",
    "cann-numpy": "numpy {found} 与 CANN {cann} 并存，后者需要 numpy {wanted}",
    "cann-protobuf": "protobuf {found} 与 CANN {cann} 并存，后者要求 {wanted}",
    "cann-python": "CANN 编译器所需的 Python 软件包缺失或版本过旧：{names}",
    "driver-missing": "此处看不到昇腾驱动",
    "smi-failed": "npu-smi info 执行失败",
    "card-unhealthy": "NPU {npu} 芯片 {chip}（{name}）的健康状态为 {health}",
    "card-busy": "NPU {npu} 芯片 {chip} 已占用 {used} / {total} MB",
    "card-precision": "在 {name} 上，float32 矩阵乘法可能以 float16 计算",
    "nodes-missing": "缺少设备节点：{names}",
    "nodes-permission": "当前用户无权打开 {names}",
    "no-card": "本机看不到昇腾卡",
    "devices-syntax": "ASCEND_RT_VISIBLE_DEVICES 含有数字与逗号以外的内容",
    "devices-order": "ASCEND_RT_VISIBLE_DEVICES 不是升序",
    "devices-range": "ASCEND_RT_VISIBLE_DEVICES 指定了设备 {index}，而本机共有 {count} 个设备",
    "devices-empty": "ASCEND_RT_VISIBLE_DEVICES 已设置但为空：所有设备都被隐藏",
    "alloc-conf-both": "同时设置了 PYTORCH_NPU_ALLOC_CONF 与 PYTORCH_ALLOC_CONF",
    "lazy-fusion": "TORCH_NPU_LAZY_FUSION={value} 会融合算子，改变其数值",
    "fast-gelu": "TORCHINDUCTOR_ENABLE_FAST_GELU={value} 使编译后的模型以 tanh 形式计算 GELU",
    "fallback-allowed": "TORCH_NPU_FALLBACK_CPU_DISABLE=0 允许算子在 CPU 上执行",
    "fallbacks-hidden": "TORCH_NPU_WARNING_DISABLE 隐藏了算子回退到 CPU 的警告",
    "fallbacks-hidden-old": "TORCH_NPU_DISABLED_WARNING 隐藏了算子回退到 CPU 的警告",
    "launch-blocking": "ASCEND_LAUNCH_BLOCKING=1 会逐个算子等待",
    "task-queue": "TASK_QUEUE_ENABLE={value} 关闭了任务队列，或不是有效级别",
    "autoload-off": "TORCH_DEVICE_BACKEND_AUTOLOAD=0：导入 torch_npu 之前，torch 没有 npu 设备",
    "transfer-value": "TORCH_TRANSFER_TO_NPU={value} 既不是 0 也不是 1",
    "transfer-on": "TORCH_TRANSFER_TO_NPU=1 会暗中改写 torch.cuda 调用",
    "compact-errors": "TORCH_NPU_COMPACT_ERROR_OUTPUT=1 使日志中不含 CANN 错误码",
    "saturation": "INF_NAN_MODE_ENABLE=0：溢出时取饱和值，而非 inf 或 NaN",
    "debug-log": "ASCEND_GLOBAL_LOG_LEVEL=0 会写调试日志",
    "cuda-build": "torch {found} 编译时未包含 CUDA",
    "cuda-driver": "没有 NVIDIA 驱动响应",
    "cuda-unavailable": "torch 按 CUDA {cuda} 编译，但无法使用该显卡",
    "cuda-capability": "torch 没有适用于 {name}（计算能力 {capability}）的内核",
    "memory-low": "可用内存 {available} GiB，运行可能需要 {needed} GiB",
    "disk-low": "可用磁盘 {free} GiB，运行可能需要 {needed} GiB",
    "hub-unreachable": "模型库没有响应：{why}",
    "hub-offline": "模型库已被 {why} 关闭",
    "model-missing": "{name} 的权重不在本地文件夹或缓存中，模型库状态：{state}",
    "model-empty": "文件夹 {path} 中没有权重",
    # diagnosis.json
    "A1": "无法加载 CANN 通信库 libhccl.so",
    "A2": "无法加载 CANN 运行时库 libascendcl.so",
    "A3": "无法加载驱动库 libascend_hal.so",
    "A4": "无法加载加速库 libatb.so",
    "A5": "import torch 在加载 torch_npu 时失败",
    "A6": "torch_npu 或 CANN 的某个库缺少另一个库所需的符号",
    "A7": "torch 是 CUDA 版本，而 NPU 需要 CPU 版本",
    "A8": "另一个名为 torch_npu 的文件夹遮蔽了已安装的软件包，或其安装不完整",
    "A9": "torch 不认识 npu 设备：torch_npu 未安装或未导入",
    "A10": "某个 CANN 环境变量指向不存在的位置，或缺少某个 CANN 软件包",
    "A11": "程序在不含 CUDA 的 torch 上请求了 CUDA",
    "A12": "某个库在静态 TLS 块中没有空间",
    "A13": "加速库 NNAL/ATB 缺失，或属于另一个 CANN",
    "A14": "首次导入失败后，在同一进程中再次导入了 torch",
    "A15": "程序使用了当前 torch_npu 所没有的功能",
    "A16": "是某个库（而非你的程序）在不含 CUDA 的 torch 上请求了 CUDA",
    "A17": "某个库在导入 torch_npu 之前就需要 libtorch_npu.so",
    "A18": "torch_npu 被加载两次：一次由 torch，一次由另一个扩展",
    "B1": "本机有 NPU，但 torch 看不到",
    "B2": "驱动未返回设备数量",
    "B3": "设备编号超出可见设备的范围",
    "B4": "某个线程或进程在没有上下文的情况下使用 NPU",
    "B5": "某个流被用于另一设备的上下文",
    "B6": "驱动、固件或卡本身发生故障",
    "B7": "驱动过旧，或驱动与固件版本不配套",
    "B8": "torch_npu 不认识该芯片",
    "B9": "设备不存在或异常",
    "B10": "程序不支持该芯片：{chip}",
    "B11": "无法读取芯片型号：驱动不响应当前进程",
    "B12": "npu-smi 无法访问驱动：{meaning}（{code}）",
    "B13": "设备被另一个容器或进程占用",
    "B14": "容器无法启动：昇腾驱动的某个文件无法挂载",
    "B15": "没有设备或某个 CANN 文件的权限",
    "C1": "CANN 算子编译器无法启动",
    "C2": "numpy 2 与要求 numpy 低于 2 的 CANN 并存",
    "C3": "该芯片上没有此算子的已编译内核",
    "C4": "某个算子因 NPU 没有对应内核而在 CPU 上执行",
    "C5": "回退到 CPU 的算子无法写入其 out= 结果",
    "C6": "NPU 拒绝执行某个算子，且不回退",
    "C7": "不同设备的张量在同一算子中相遇",
    "C8": "在 NPU 上转换为 float64 得到的是 float32",
    "C9": "设备上的内核执行失败",
    "C10": "torch_npu 在任何未捕获异常之后的结束行",
    "C11": "torch_npu 错误码：{decoded}",
    "C12": "算子编译器无法写入工作目录",
    "C13": "无法读取 CANN 的 platform_config：toolkit 不完整或挂载异常",
    "C14": "无法导入 CANN 自带的 Python 包（tbe、te）",
    "C15": "某个算子对该形状或数据类型的切分（tiling）失败",
    "C16": "算子的某个参数不受支持：{sentence}",
    "C17": "已禁止回退到 CPU，而某个算子在 NPU 上没有内核",
    "D1": "NPU 内存不足",
    "D2": "CANN 无法在设备上分配内存",
    "D3": "启用可扩展内存段时，任务调度器在拷贝时失败",
    "D4": "派生的子进程使用了父进程的 NPU",
    "D5": "npu-smi 显示的内存占用多于 torch",
    "D6": "请求了大小不可能的张量：其形状已损坏",
    "D7": "集合通信无法启动：上一个任务可能仍在运行",
    "D8": "CANN 的编译进程报告其父进程已退出",
    "D9": "派生的进程结束时没有 torch_npu 的线程",
    "D10": "两个环境变量同时设置了内存分配器",
    "D11": "内存分配器拒绝其设置",
    "E1": "torch_npu 检测到交互式 Python 而降低了自身速度",
    "E2": "首次调用远慢于后续调用",
    "E3": "transfer_to_npu 停用了 torch.jit.script",
    "E4": "溢出时取饱和值，而非 inf 或 NaN",
    "E5": "关于文件属主的警告：无害",
    "E6": "torch_npu 的某个环境变量取值未知",
    "E7": "该芯片不允许 INF_NAN_MODE_ENABLE 为 0",
}
# Their titles are sentences of the table of versions: quoted.
QUOTED = (
    "pair-torch",
    "pair-python",
    "pair-cann",
    "pair-unlisted",
    "pair-compatible",
    "pair-newer",
)

SENTENCES: dict[str, str] = {
    # verdicts of the environment check; the longer of two that begin alike comes first
    (
        "torch {version} imports; {capability} kernels, {threads} of {usable} cores as threads;"
        " what runs there is SIMULATED"
    ): (
        "torch {version} 可导入；{capability} 内核，线程数 {threads}，可用核数"
        " {usable}；在该设备上运行的均为模拟（SIMULATED）"
    ),
    "torch {version} imports; {capability} kernels, {threads} of {usable} cores as threads": (
        "torch {version} 可导入；{capability} 内核，线程数 {threads}，可用核数 {usable}"
    ),
    "torch {version} sees {name}, compute capability {capability}": (
        "torch {version} 可见 {name}，计算能力 {capability}"
    ),
    "torch sees no CUDA device": "torch 看不到 CUDA 设备",
    "torch is built without CUDA": "torch 编译时未包含 CUDA",
    "not checked: torch was not imported": "未检查：torch 未导入",
    "not checked: the check was for {purpose}": "未检查：本次只检查 {purpose}",
    "no Ascend card is visible on this machine": "本机看不到昇腾卡",
    "no operator ran on the device": "没有算子在设备上执行",
    "an addition ran on {device}, {name}, and its sum is right": (
        "在 {device}（{name}）上执行了加法，结果正确"
    ),
    # what the check left out
    "NPU and CUDA devices": "NPU 与 CUDA 设备",
    "the check was for {purpose} alone": "本次只检查 {purpose}",
    # what parity and throughput left out, why, and how to check it
    "A rehearsal: no such device took part.": "演练：没有该设备参与。",
    "Run on the device itself: device: npu:0": "在设备上运行：device: npu:0",
    "{n} texts cannot show {limit}: at least {needed} are needed.": (
        "{n} 条文本不足以证明 {limit}，至少需要 {needed} 条。"
    ),
    "{k} of {n} texts changed: too few texts to tell.": (
        "{n} 条文本中有 {k} 条改变：文本太少，无法判定。"
    ),
    "Run with more texts: texts: path/to/file, limit: 3000": (
        "使用更多文本运行：texts: path/to/file, limit: 3000"
    ),
    "The texts have no true labels.": "文本没有真实标签。",
    "Give texts with labels, such as the GoEmotions dev split": (
        "提供带标签的文本，例如 GoEmotions 的 dev 部分"
    ),
    "Make the packs again with this version of goemo": "用当前版本的 goemo 重新生成结果包",
    "Run 03_parity with the explanation on": "开启误差归因后运行 03_parity",
    "Choose a model with a trained classification head": "选择分类头已训练的模型",
    "The residual over all states covers what single calls do not": (
        "所有状态上的残差覆盖了单次调用未覆盖的部分"
    ),
    "this run compared float32": "本次运行比对的是 float32",
    "Speed of the device": "设备速度",
    "A simulated device has none.": "模拟设备没有速度。",
    "Run the same parameters with device: npu:0 on an Ascend machine.": (
        "在昇腾机器上以 device: npu:0 运行相同参数。"
    ),
    "the device's arithmetic": "设备的数值方式",
    "it is none of those known here": "不是此处已知的任何一种",
    "See explanation.probe in the record": "见记录中的 explanation.probe",
}
