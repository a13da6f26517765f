from tests.learn.wrong import Wrong

WRONG = [
    Wrong(
        "the tensor's .to is not assigned",
        {
            "01-moved": """
def moved(batch, device):
    for value in batch.values():
        if isinstance(value, torch.Tensor):
            value.to(device)
    return batch
"""
        },
        "the tensors are where they were",
    ),
    Wrong(
        "a device is written into the function",
        {
            "01-moved": """
def moved(batch, device):
    return {k: v.to("npu:0") if torch.is_tensor(v) else v for k, v in batch.items()}
"""
        },
        "is a device written into the function?",
    ),
    Wrong(
        "lists are forgotten",
        {
            "01-moved": """
def moved(batch, device):
    return {k: v.to(device) if torch.is_tensor(v) else v for k, v in batch.items()}
"""
        },
        "batches nest",
    ),
    Wrong(
        "everything is taken for a tensor",
        {
            "01-moved": """
def moved(batch, device):
    return {key: value.to(device) for key, value in batch.items()}
""",
            "01-moved-try": "",
        },
        "AttributeError",
    ),
    Wrong(
        "the caller's batch is changed",
        {
            "01-moved": """
def moved(batch, device):
    for key in batch:
        if torch.is_tensor(batch[key]):
            batch[key] = batch[key].to(device)
    return batch
"""
        },
        "the caller's own batch was changed",
    ),
    Wrong(
        "only what is saved is asked",
        {
            "01-devices": """
def devices_of(module):
    return {str(tensor.device) for tensor in module.state_dict().values()}
"""
        },
        "state_dict does not list it",
    ),
    Wrong(
        "buffers are forgotten",
        {"01-devices": "def devices_of(m): return {str(p.device) for p in m.parameters()}"},
        "a buffer is no parameter",
    ),
    Wrong(
        "only the first parameter is asked",
        {
            "01-devices": """
def devices_of(module):
    first = next(module.parameters())
    return {str(first.device)} | {str(b.device) for b in module.buffers()}
"""
        },
        "look at every tensor",
    ),
    Wrong(
        "a parameter is named",
        {"01-left": "left_behind = next(iter(model._parameters))"},
        "did move",
    ),
    Wrong(
        "the tensor is moved once",
        {
            "01-mended": """
def mended(module):
    for one in module.modules():
        for name, value in list(vars(one).items()):
            if isinstance(value, torch.Tensor):
                setattr(one, name, value.to("npu:0"))
    return module
"""
        },
        "moving it once is not enough",
    ),
    Wrong(
        "the tensor becomes a parameter",
        {
            "01-mended": """
def mended(module):
    for one in module.modules():
        for name, value in list(vars(one).items()):
            if isinstance(value, torch.Tensor):
                delattr(one, name)
                one.register_parameter(name, torch.nn.Parameter(value))
    return module
"""
        },
        "a parameter is what an optimiser is handed",
    ),
]
