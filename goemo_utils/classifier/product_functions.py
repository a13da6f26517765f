"""The source of the products that torch's interpreter computes: in float32 and bfloat16, and in
int8.

A product's tensors are a list: in float32 and bfloat16 its weight, bias and, of small weights, the
weight as it is; in int8 its weight, bias, scales and zero points. States that are read for the last
time are quantised where they lie.
"""

from goemo_utils.classifier.int8 import AT_ONCE, SMALLEST

FLOAT = """
def ready(
    states: Tensor, rows: int, last: bool, room: List[Tensor]
) -> Tuple[Tensor, float, int]:
    return states, 1.0, 0

def product(
    given: Tuple[Tensor, float, int], of: List[Tensor], few: int, activation: str, form: str
) -> Tensor:
    states = given[0]
    if len(of) > 2 and states.size(0) <= few:
        plain = torch.nn.functional.linear(states, of[2], of[1])
        if activation == "gelu":
            return torch.nn.functional.gelu(plain, approximate=form)
        return plain
    none: List[Optional[number]] = []
    return torch.ops.mkldnn._linear_pointwise(states, of[0], of[1], activation, none, form)

def added(
    given: Tuple[Tensor, float, int], of: List[Tensor], few: int, residual: Tensor
) -> Tensor:
    states = given[0]
    if len(of) > 2 and states.size(0) <= few:
        return torch.nn.functional.linear(states, of[2], of[1]).add_(residual)
    return torch.ops.mkldnn._linear_pointwise(states, residual, of[0], of[1], "add")
"""
INT8 = f"""
def ready(
    states: Tensor, rows: int, last: bool, room: List[Tensor]
) -> Tuple[Tensor, float, int]:
    lowest, highest = torch.aminmax(states.narrow(0, 0, rows))
    low, high = float(lowest), float(highest)
    if (high - low) - (high - low) != 0.0:
        return torch.zeros_like(states, dtype=torch.uint8), float("nan"), 0

    low, high = min(low, 0.0), max(high, 0.0)
    scale = (high - low) / 254
    if scale < {SMALLEST}:
        scale = 1.0
    zero_point = -int((low / scale) // 1.0)
    shift = torch.scalar_tensor(float(zero_point - 128))

    signed = room[0].narrow(0, 0, states.numel()).view(states.size(0), -1)
    piece = max(1, {AT_ONCE} // states.size(1))
    for start in range(0, states.size(0), piece):
        count = min(piece, states.size(0) - start)
        part = states.narrow(0, start, count)
        if last:
            torch.add(shift, part, alpha=1 / scale, out=part)
        else:
            part = torch.add(shift, part, alpha=1 / scale)
        signed.narrow(0, start, count).copy_(part.round_())
    values = room[1].narrow(0, 0, states.numel()).view(states.size(0), -1)
    return values.bitwise_xor_(128), scale, zero_point

def product(
    given: Tuple[Tensor, float, int], of: List[Tensor], few: int, activation: str, form: str
) -> Tensor:
    none: List[Optional[number]] = []
    return torch.ops.onednn.qlinear_pointwise(
        given[0], given[1], given[2], of[0], of[2], of[3], of[1],
        1.0, 0, torch.float32, activation, none, form
    )

def added(
    given: Tuple[Tensor, float, int], of: List[Tensor], few: int, residual: Tensor
) -> Tensor:
    none: List[Optional[number]] = []
    return torch.ops.onednn.qlinear_pointwise(
        given[0], given[1], given[2], of[0], of[2], of[3], residual, of[1],
        1.0, 0, torch.float32, 1.0, 0, "add", 1.0, "none", none, ""
    )
"""
