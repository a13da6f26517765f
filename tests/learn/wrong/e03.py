from tests.learn.wrong import Wrong

WRONG = [
    Wrong(
        "the exact total is made on the device",
        {
            "03-error": """
exact = running_total
relative_error = float(abs(running_total - exact) / exact)
"""
        },
        "an error of nothing",
    ),
    Wrong(
        "the difference is not divided",
        {
            "03-error": """
exact = losses.cpu().double().sum()
relative_error = float(abs(running_total.cpu().double() - exact))
"""
        },
        "that is the difference itself",
    ),
    Wrong(
        "the error is in per cent",
        {
            "03-error": """
exact = losses.cpu().double().sum()
relative_error = float(abs(running_total.cpu().double() - exact) / exact) * 100
"""
        },
        "in per cent",
    ),
    Wrong(
        "widened first, copied afterwards",
        {"03-widened": "def widened(tensor): return tensor.double().cpu()"},
        "On this device .double() gives float32",
    ),
    Wrong(
        "widened on the device, and once more",
        {"03-widened": "def widened(tensor): return tensor.double().cpu().double()"},
        "16777217",
    ),
    Wrong(
        "the model leaves the device",
        {
            "03-gold": """
def gold_of(model, inputs):
    return model.cpu().double().eval()(inputs.cpu().double())
"""
        },
        "has left the device",
    ),
    Wrong(
        "computed in float32, then widened",
        {
            "03-gold": """
def gold_of(model, inputs):
    import copy
    return copy.deepcopy(model).eval()(inputs).cpu().double()
"""
        },
        "widened afterwards",
    ),
    Wrong(
        "dropout is left on",
        {
            "03-gold": """
def gold_of(model, inputs):
    import copy
    return copy.deepcopy(model).cpu().double()(inputs.cpu().double())
"""
        },
        "has no dropout in it",
    ),
    Wrong(
        "the model is put into evaluation",
        {
            "03-gold": """
def gold_of(model, inputs):
    import copy
    return copy.deepcopy(model.eval()).cpu().double()(inputs.cpu().double())
"""
        },
        ".eval() and .train() of a module work in place",
    ),
    Wrong(
        "the model is taken apart and put back",
        {
            "03-gold": """
def gold_of(model, inputs):
    modes = [(module, module.training) for module in model.modules()]
    device = inputs.device
    inputs = inputs.cpu()
    inputs = inputs.double() if inputs.is_floating_point() else inputs
    out = model.cpu().double().eval()(inputs)
    model.float().to(device)
    for module, mode in modes:
        module.training = mode
    return out
"""
        },
        "was taken apart and put back",
    ),
    Wrong(
        "whole numbers stay whole",
        {
            "03-widened": """
def widened(tensor):
    tensor = tensor.cpu()
    return tensor.double() if tensor.is_floating_point() else tensor
"""
        },
        "float64 was asked for these too",
    ),
    Wrong(
        "token ids are widened too",
        {
            "03-gold": """
def gold_of(model, inputs):
    import copy
    return copy.deepcopy(model).cpu().double().eval()(inputs.cpu().double())
"""
        },
        "raised RuntimeError on a hidden case",
    ),
]
