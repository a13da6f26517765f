"""The source of the functions that torch's interpreter computes: products in float32 and bfloat16,
products in int8, and the layers over either.
"""

from goemo_utils.classifier.int8 import AT_ONCE, SMALLEST

# A product's tensors are a list: in float32 and bfloat16 its weight, bias and, of small weights,
# the weight as it is; in int8 its weight, bias, scales and zero points. States that are read for
# the last time are quantised where they lie.
#
# The last layer needs no keys and no values. A score is query . (W x + b) = (query W) . x plus what
# is the same for all tokens, which softmax does not see; and weights that sum to 1 mix V x + c to
# V (mixed x) + c. So the first tokens' queries are brought to the states' own features, a head a
# row, and the states themselves are attended to: two small products a text for two a token.
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
LAYERS = """
def embedded(
    ids: Tensor, tables: List[Tensor], eps: float, lengths: List[int], texts: List[int]
) -> Tensor:
    words, types, places, weight, bias = tables
    states = torch.embedding(words, ids).add_(types)
    start = 0
    for length, count in zip(lengths, texts):
        part = states.narrow(0, start, length * count).view(count, length, -1)
        part.add_(places.narrow(0, 0, length))
        start += length * count
    return torch.layer_norm(states, [states.size(1)], weight, bias, eps)

def attended(
    heads: int, query: Tensor, key_value: Tensor, lengths: List[int], texts: List[int]
) -> Tensor:
    parts: List[Tensor] = []
    start = 0
    for length, count in zip(lengths, texts):
        tokens = length * count
        # [tokens, 2 * heads * width] -> key and value, each [texts, heads, length, width]
        halves = key_value.narrow(0, start, tokens).view(count, length, 2, heads, -1)
        key, value = halves.permute(2, 0, 3, 1, 4).unbind(0)
        asking = query.narrow(0, start, tokens).view(count, length, heads, -1).transpose(1, 2)
        mixed = torch.nn.functional.scaled_dot_product_attention(asking, key, value)
        # [texts, heads, length, width] -> [tokens, heads * width]
        parts.append(mixed.transpose(1, 2).reshape(tokens, -1))
        start += tokens
    if start < query.size(0):
        parts.append(query.new_zeros([query.size(0) - start, query.size(1)]))
    if len(parts) == 1:
        return parts[0]
    return torch.cat(parts)

def firsts_attended(
    heads: int, query: Tensor, hidden: Tensor, lengths: List[int], texts: List[int],
    of: List[Tensor]
) -> Tensor:
    key, value, bias = of
    rows, width = query.size(0), query.size(1) // heads
    # [rows, heads * width] -> [heads, rows, width] -> [heads, rows, features] -> its rows first
    asking = query.view(rows, heads, width).transpose(0, 1)
    asking = torch.bmm(asking, key.view(heads, width, -1)).transpose(0, 1)
    parts: List[Tensor] = []
    asked, given = 0, 0
    for length, count in zip(lengths, texts):
        states = hidden.narrow(0, given, length * count).view(count, 1, length, -1)
        part = asking.narrow(0, asked, count).unsqueeze(1)
        mixed = torch.nn.functional.scaled_dot_product_attention(
            part, states, states, scale=float(width) ** -0.5
        )
        parts.append(mixed.squeeze(1))
        asked += count
        given += length * count
    if asked < rows:
        parts.append(hidden.new_zeros([rows - asked, heads, hidden.size(1)]))
    # [rows, heads, features] -> [heads, rows, width] -> [rows, heads * width]
    mixed = parts[0] if len(parts) == 1 else torch.cat(parts)
    values = torch.bmm(mixed.transpose(0, 1), value.view(heads, width, -1).transpose(1, 2))
    return values.transpose(0, 1).reshape(rows, -1).add_(bias)

def layer(
    hidden: Tensor, asking: Tensor, whole: bool, tokens: int, rows: int, lengths: List[int],
    texts: List[int], heads: int, eps: float, few: int, activation: str, form: str,
    products: List[List[Tensor]], norms: List[Tensor], unprojected: List[Tensor],
    room: List[Tensor]
) -> Tensor:
    if whole:
        given = ready(hidden, tokens, False, room)
        if len(products[1]) == 0:
            joined = product(given, products[0], few, "none", "")
            third = joined.size(1) // 3
            query, key_value = joined.narrow(1, 0, third), joined.narrow(1, third, 2 * third)
        else:
            query = product(given, products[0], few, "none", "")
            key_value = product(given, products[1], few, "none", "")
        mixed = attended(heads, query, key_value, lengths, texts)
    else:
        query = product(ready(asking, rows, False, room), products[0], few, "none", "")
        mixed = firsts_attended(heads, query, hidden, lengths, texts, unprojected)
    projected = added(ready(mixed, rows, True, room), products[2], few, asking)
    states = torch.layer_norm(projected, [projected.size(1)], norms[0], norms[1], eps)
    inner = product(ready(states, rows, False, room), products[3], few, activation, form)
    outcome = added(ready(inner, rows, True, room), products[4], few, states)
    return torch.layer_norm(outcome, [outcome.size(1)], norms[2], norms[3], eps)

def firsts(hidden: Tensor, rows: int, lengths: List[int], texts: List[int]) -> Tensor:
    parts: List[Tensor] = []
    start, count = 0, 0
    for length, number in zip(lengths, texts):
        states = hidden.narrow(0, start, length * number).view(number, length, -1)
        parts.append(states.select(1, 0))
        start += length * number
        count += number
    if count < rows:
        parts.append(hidden.new_zeros([rows - count, hidden.size(1)]))
    return parts[0].contiguous() if len(parts) == 1 else torch.cat(parts)

def headed(states: Tensor, of: List[Tensor], between: str) -> Tensor:
    if len(of) == 0:
        return states
    inner = torch.nn.functional.linear(states, of[0], of[1])
    if between == "tanh":
        inner = torch.tanh(inner)
    elif between == "relu":
        inner = torch.relu(inner)
    else:
        inner = torch.nn.functional.gelu(inner)
    return torch.nn.functional.linear(inner, of[2], of[3])

def of_states(
    hidden: Tensor, lengths: List[int], texts: List[int], asked: int, room: List[Tensor],
    heads: int, eps: float, few: int, activation: str, form: str, products: List[List[Tensor]],
    norms: List[Tensor], unprojected: List[Tensor], head: List[Tensor], between: str
) -> Tensor:
    tokens, count, last = 0, 0, len(norms) // 4 - 1
    for length, number in zip(lengths, texts):
        tokens += length * number
        count += number
    for i in range(last):
        hidden = layer(
            hidden, hidden, True, tokens, tokens, lengths, texts, heads, eps, few, activation,
            form, products[5 * i : 5 * i + 5], norms[4 * i : 4 * i + 4], unprojected, room
        )
    outcome = layer(
        hidden, firsts(hidden, asked, lengths, texts), False, tokens, count, lengths, texts,
        heads, eps, few, activation, form, products[5 * last :], norms[4 * last :], unprojected,
        room
    )
    return headed(outcome.narrow(0, 0, count), head, between)

def of_ids(
    ids: Tensor, tables: List[Tensor], table_eps: float, lengths: List[int], texts: List[int],
    asked: int, room: List[Tensor], heads: int, eps: float, few: int, activation: str, form: str,
    products: List[List[Tensor]], norms: List[Tensor], unprojected: List[Tensor],
    head: List[Tensor], between: str
) -> Tensor:
    hidden = embedded(ids, tables, table_eps, lengths, texts)
    return of_states(
        hidden, lengths, texts, asked, room, heads, eps, few, activation, form, products, norms,
        unprojected, head, between
    )
"""
