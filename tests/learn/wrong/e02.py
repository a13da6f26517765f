from tests.learn.wrong import Wrong

WRONG = [
    Wrong(
        "every mixture is thought to raise",
        {"02-raising": "raising = {k for k, (text, _) in lines.items() if '.to(' not in text}"},
        "Remember:",
    ),
    Wrong(
        "the positions are made on the CPU",
        {
            "02-mean": """
def mean_of_real(hidden, lengths):
    real = torch.arange(hidden.shape[1])[None, :] < torch.tensor(lengths)[:, None]
    return (hidden * real[:, :, None]).sum(1) / real.sum(1, keepdim=True)
""",
            "02-mean-try": "",
        },
        "Expected all tensors to be on the same device",
    ),
    Wrong(
        "everything is brought to the CPU",
        {
            "02-mean": """
def mean_of_real(hidden, lengths):
    return torch.stack([row[:n].mean(0) for row, n in zip(hidden.cpu(), lengths)])
"""
        },
        "what a port is there to avoid",
    ),
    Wrong(
        "a round trip to the CPU",
        {
            "02-mean": """
def mean_of_real(hidden, lengths):
    host = hidden.cpu()
    means = [row[:n].mean(0) for row, n in zip(host, lengths)]
    return torch.stack(means).to(hidden.device)
"""
        },
        "the device waits, and the CPU does its work",
    ),
    Wrong(
        "the padding is averaged",
        {"02-mean": "def mean_of_real(hidden, lengths): return hidden.mean(1)"},
        "the padding was averaged too",
    ),
    Wrong(
        "only .cpu() is thought of",
        {"02-numpy": "def to_numpy(tensor): return tensor.cpu().numpy()"},
        "with a gradient",
    ),
    Wrong(
        "bfloat16 is forgotten",
        {"02-numpy": "def to_numpy(tensor): return tensor.detach().cpu().numpy()"},
        "which numpy has not",
    ),
    Wrong(
        "everything is widened",
        {"02-numpy": "def to_numpy(tensor): return tensor.detach().cpu().float().numpy()"},
        "16777217",
    ),
    Wrong(
        "padding is multiplied away",
        {
            "02-mean": """
def mean_of_real(hidden, lengths):
    lengths = torch.tensor(lengths, device=hidden.device)
    real = torch.arange(hidden.shape[1], device=hidden.device)[None] < lengths[:, None]
    return (hidden * real[:, :, None]).sum(1) / real.sum(1, keepdim=True)
"""
        },
        "NaN times 0 is NaN",
    ),
    Wrong(
        "every NaN is made a zero",
        {
            "02-mean": """
def mean_of_real(hidden, lengths):
    lengths = torch.tensor(lengths, device=hidden.device)
    real = torch.arange(hidden.shape[1], device=hidden.device)[None] < lengths[:, None]
    return (hidden.nan_to_num() * real[:, :, None]).sum(1) / real.sum(1, keepdim=True)
"""
        },
        "a device that is broken was hidden",
    ),
    Wrong(
        "the padding is cleared in the caller's tensor",
        {
            "02-mean": """
def mean_of_real(hidden, lengths):
    lengths = torch.tensor(lengths, device=hidden.device)
    real = torch.arange(hidden.shape[1], device=hidden.device)[None] < lengths[:, None]
    hidden.masked_fill_(~real[:, :, None], 0)
    return hidden.sum(1) / real.sum(1, keepdim=True)
"""
        },
        "hidden itself was changed",
    ),
    Wrong(
        "the array is made of Python's numbers",
        {
            "02-numpy": """
def to_numpy(tensor):
    import numpy as np

    return np.array(tensor.tolist())
"""
        },
        "widen only what numpy does not know",
    ),
    Wrong(
        "a number is one on any device",
        {
            "02-rule": """
def raises(what, one, other):
    if one.device == other.device:
        return False
    if what == "index":
        return other.device != "cpu"
    return what == "cat" or (one.axes > 0 and other.axes > 0)
"""
        },
        "was judged wrongly",
    ),
    Wrong(
        "an index may come from anywhere",
        {
            "02-rule": """
def raises(what, one, other):
    if one.device == other.device or what == "index":
        return False
    numbers = [part for part in (one, other) if part.device == "cpu" and part.axes == 0]
    return what == "cat" or not numbers
"""
        },
        "was judged wrongly",
    ),
    Wrong(
        "numbers are read one by one",
        {
            "02-mean": """
def mean_of_real(hidden, lengths):
    means = [
        [sum(row[t, w].item() for t in range(n)) / n for w in range(hidden.shape[2])]
        for row, n in zip(hidden, lengths)
    ]
    return torch.tensor(means, device=hidden.device)
"""
        },
        "values were brought to the CPU",
    ),
]
