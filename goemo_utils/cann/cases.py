"""Small cases that both rehearsals are put through: a title, and Python whose last line is the
answer. ``torch``, ``F`` (torch.nn.functional) and ``x`` (a 3 by 4 tensor on the device) are there.
"""

from __future__ import annotations

CASES: dict[str, str] = {
    # ---- devices ----
    "how many devices": "torch.npu.device_count()",
    "is it available": "torch.npu.is_available()",
    "the current device": "torch.npu.current_device()",
    "the device of a result": "(x + x).device",
    "npu without a number": 'torch.ones(2, device="npu").device',
    "moving by .npu()": "torch.ones(2).npu().device",
    "a device that is absent": 'torch.ones(1, device="npu:7")',
    "set_device beyond the last": "torch.npu.set_device(9)",
    "is_npu": "(x.is_npu, torch.ones(1).is_npu)",
    "the accelerator": "str(torch.accelerator.current_accelerator())",
    "total memory": "torch.npu.get_device_properties(0).total_memory",
    # ---- where tensors meet ----
    "a product of two devices": "torch.mm(x, torch.ones(4, 3))",
    "a sum of two devices": "x + torch.ones(3, 4)",
    "a scalar of the CPU": "x[:1, :2] + torch.tensor(1.0)",
    "an index of the CPU": "x[torch.tensor([0, 1])][:, :1]",
    "a mask of the CPU": "x[torch.tensor([True, False, True])][:, :1]",
    "a model on the device, ids on the CPU": (
        "layer = torch.nn.Embedding(5, 2).npu()\nlayer(torch.tensor([1]))"
    ),
    "numpy of a tensor on the device": "x.numpy()",
    "an out= of the CPU": "torch.add(x, x, out=torch.empty(3, 4))",
    # ---- dtypes ----
    "a cast to double": "x.double().dtype",
    "a tensor made as double": 'torch.ones(2, dtype=torch.float64, device="npu:0").dtype',
    "a double moved to the device": "torch.ones(2, dtype=torch.float64).npu().dtype",
    "half a sum": "(x.half() + 1).dtype",
    "integers divided": "(torch.arange(4).npu() / 2)",
    "a float and an integer": "(x[:1, :2] + torch.ones(2, dtype=torch.int64).npu())",
    "the mean of integers": "torch.arange(4).npu().mean()",
    "a boolean sum": "(x > 0).sum()",
    "complex numbers": "torch.ones(2, dtype=torch.complex64).npu().dtype",
    "a Fourier transform": "torch.fft.rfft(x[0]).dtype",
    # ---- arithmetic ----
    "gelu, erf form asked for": "F.gelu(x[0])",
    "gelu, tanh form asked for": 'F.gelu(x[0], approximate="tanh")',
    "softmax of half": "F.softmax(x.half(), -1)[0].float()",
    "layer norm": "F.layer_norm(x, (4,))[0]",
    "a row that attends to nothing": (
        "q = torch.ones(1, 1, 2, 4).npu()\n"
        "mask = torch.tensor([[True, True], [False, False]]).npu()\n"
        "F.scaled_dot_product_attention(q, q, q, attn_mask=mask)[0, 0, :, 0]"
    ),
    "the logarithm of a negative number": "torch.log(torch.tensor([-1.0]).npu())",
    "a division by zero": "torch.tensor([1.0, -1.0, 0.0]).npu() / 0",
    "half beyond its range": "torch.tensor([60000.0]).half().npu() * 2",
    "the order of equal values": (
        "torch.sort(torch.tensor([1.0, 0.0, 1.0, 0.0]).npu(), stable=True)[1]"
    ),
    "the k largest": "torch.topk(torch.tensor([1.0, 3.0, 2.0]).npu(), 2)[1]",
    "a cumulative sum": "torch.cumsum(x, 1)[0]",
    "indices that are not zero": "torch.nonzero(x > 1)",
    "an empty tensor": "torch.empty(0, 4).npu().sum()",
    "an index that is too large": (
        "layer = torch.nn.Embedding(5, 2).npu()\nlayer(torch.tensor([9]).npu()).shape"
    ),
    "shapes that do not fit": "torch.mm(x, x)",
    "matmul.allow_hf32 as it comes": "torch.npu.matmul.allow_hf32",
    "conv.allow_hf32 as it comes": "torch.npu.conv.allow_hf32",
    # ---- random numbers ----
    "one seed, the same numbers": (
        "torch.manual_seed(3)\na = torch.rand(4).npu() * 0 + torch.rand(4, device='npu:0')\n"
        "torch.manual_seed(3)\nb = torch.rand(4).npu() * 0 + torch.rand(4, device='npu:0')\n"
        "bool(torch.equal(a, b))"
    ),
    "the numbers of the CPU": (
        "torch.manual_seed(3)\na = torch.rand(4)\ntorch.manual_seed(3)\n"
        "bool(torch.equal(a, torch.rand(4, device='npu:0').cpu()))"
    ),
    "a generator of the device": 'torch.Generator("npu:0").device',
    # ---- memory and time ----
    "memory returns": (
        "before = torch.npu.memory_allocated()\ny = torch.ones(1000, 1000).npu()\ndel y\n"
        "torch.npu.memory_allocated() - before"
    ),
    "too much memory": "torch.empty(2**42, device='npu:0')",
    "an event": (
        "a, b = (torch.npu.Event(enable_timing=True) for _ in range(2))\n"
        "a.record()\nx + x\nb.record()\ntorch.npu.synchronize()\na.elapsed_time(b) >= 0"
    ),
    "another stream": (
        "with torch.npu.stream(torch.npu.Stream()):\n    y = x + x\n"
        "torch.npu.synchronize()\nbool(torch.equal(y, x * 2))"
    ),
    "pinned memory": "torch.ones(4).pin_memory().is_pinned()",
    # ---- storage ----
    "a view shares its memory": "y = x.clone()\ny[0].zero_()\ny.sum(1)[0]",
    "saved and loaded": (
        "import io\nbuffer = io.BytesIO()\ntorch.save(x, buffer)\nbuffer.seek(0)\n"
        "torch.load(buffer).device"
    ),
    "copied deeply": "import copy\ncopy.deepcopy(x).device",
    "printed": "str(x[0, :2])",
    # ---- training ----
    "the dtype of autocast": ('with torch.autocast("npu"):\n    y = x @ x.T\ny.dtype'),
    "a gradient": "w = x.clone().requires_grad_()\n(w * w).sum().backward()\nw.grad[0]",
    "a scaled loss": (
        'scaler = torch.amp.GradScaler("npu")\n'
        "w = x.clone().requires_grad_()\nscaler.scale((w * w).sum()).backward()\n"
        "(w.grad / w / 2)[0, 1:]"
    ),
    # ---- what an NPU lacks, or has of its own ----
    "an operator that falls back to the CPU": "torch.linalg.eigvals(torch.eye(2).npu()).device",
    "a pooling": "F.max_pool2d(x[None, None], 2).shape",
    "a recurrent layer": "torch.nn.LSTM(4, 2).npu()(x[:, None])[0].shape",
    "a sparse tensor": "x.to_sparse().layout",
    "the fused attention of torch_npu": (
        "import torch_npu\nq = torch.ones(1, 1, 2, 4).npu()\n"
        'torch_npu.npu_fusion_attention(q, q, q, 1, "BNSD")[0].shape'
    ),
}

REASONS: dict[str, str] = {
    "complex numbers": "PyTorch alone has no place for them on its device, and says so",
    "a Fourier transform": (
        "torch_npu has no transform without CANN's FFT and multiplies by a matrix, with torch's"
        " warning about a resized output"
    ),
    "gelu, erf form asked for": (
        "torch_npu computes the tanh form, whatever is asked; PyTorch alone does so with"
        " `rehearsal_numerics: tanh_gelu`"
    ),
    "an index that is too large": (
        "both refuse; a card reads beyond the table, and may say so much later or never"
    ),
    "conv.allow_hf32 as it comes": (
        "torch_npu starts with it on; PyTorch alone says what it computes, and is exact unless"
        " another arithmetic is asked for"
    ),
    "the numbers of the CPU": (
        "a device draws its own numbers; PyTorch alone repeats the CPU's, so that losses can be"
        " compared"
    ),
    "a generator of the device": "PyTorch alone cannot make one; seed with torch.manual_seed",
    "copied deeply": "torch_npu warns about torch's own TypedStorage",
    "an operator that falls back to the CPU": (
        "torch_npu has no kernel and warns; PyTorch alone has every kernel of the CPU, so it cannot"
        " show what falls back: docs/torch_npu.md lists it"
    ),
    "a pooling": "the stand-ins have no kernel for it (cann-operators.md)",
    "a recurrent layer": "neither has a kernel for it",
    "a sparse tensor": "PyTorch alone holds dense tensors only, and says so",
    "the fused attention of torch_npu": (
        "PyTorch alone has no kernel of torch_npu's own, and says so"
    ),
}
"""By case: why the two rehearsals answer differently."""
