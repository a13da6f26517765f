"""The source of the layers that torch's interpreter computes, each kind's own and what lies around
them, over products and attention of any kind.

Of a layer are given: its products, a list of tensors each (none of one that is not there); its
norms, weight and bias each (none where there is no norm, one where it has no bias); its
attention's tables.
"""

ASKED = """
def normed(states: Tensor, norm: List[Tensor], eps: float) -> Tensor:
    if len(norm) == 0:
        return states
    bias: Optional[Tensor] = None
    if len(norm) > 1:
        bias = norm[1]
    return torch.layer_norm(states, [states.size(1)], norm[0], bias, eps)

def asked_and_given(
    hidden: Tensor, asking: Tensor, whole: bool, tokens: int, rows: int, last: bool, few: int,
    products: List[List[Tensor]], room: List[Tensor]
) -> Tuple[Tensor, Tensor]:
    given = ready(hidden, tokens, last, room)
    if len(products[1]) == 0:
        joined = product(given, products[0], few, "none", "")
        third = joined.size(1) // 3
        return joined.narrow(1, 0, third), joined.narrow(1, third, 2 * third)
    key_value = product(given, products[1], few, "none", "")
    if not whole:
        given = ready(asking, rows, last, room)
    return product(given, products[0], few, "none", ""), key_value
"""
SIGNATURE = """
def layer(
    hidden: Tensor, asking: Tensor, whole: bool, tokens: int, rows: int, lengths: List[int],
    texts: List[int], heads: int, scale: float, eps: float, few: int, activation: str, form: str,
    products: List[List[Tensor]], norms: List[List[Tensor]], tables: List[Tensor], reach: int,
    unprojected: List[Tensor], room: List[Tensor]
) -> Tensor:
"""
BEHIND = (
    SIGNATURE
    + """
    if whole or len(unprojected) == 0:
        query, key_value = asked_and_given(
            hidden, asking, whole, tokens, rows, False, few, products, room
        )
        seen = attended(heads, scale, query, key_value, whole, lengths, texts, tables, reach)
    else:
        query = product(ready(asking, rows, False, room), products[0], few, "none", "")
        seen = firsts_attended(heads, scale, query, hidden, lengths, texts, unprojected)
    projected = added(ready(seen, rows, True, room), products[2], few, asking)
    states = normed(projected, norms[0], eps)
    inner = product(ready(states, rows, False, room), products[3], few, activation, form)
    outcome = added(ready(inner, rows, True, room), products[4], few, states)
    return normed(outcome, norms[1], eps)
"""
)
BEFORE = (
    SIGNATURE
    + """
    given = normed(hidden, norms[0], eps)
    asked = given
    if not whole:
        asked = normed(asking, norms[0], eps)
    # without a norm they are the states themselves, which are read again
    last = len(norms[0]) > 0
    query, key_value = asked_and_given(
        given, asked, whole, tokens, rows, last, few, products, room
    )
    seen = attended(heads, scale, query, key_value, whole, lengths, texts, tables, reach)
    states = added(ready(seen, rows, True, room), products[2], few, asking)
    inside = ready(normed(states, norms[1], eps), rows, True, room)
    opened = product(inside, products[3], few, activation, form)
    inner = product(inside, products[4], few, "none", "").mul_(opened)
    return added(ready(inner, rows, True, room), products[5], few, states)
"""
)
AROUND = """
def embedded(
    ids: Tensor, tables: List[Tensor], eps: float, lengths: List[int], texts: List[int]
) -> Tensor:
    words, types, places = tables[:3]
    states = torch.embedding(words, ids).add_(types)
    start = 0
    for length, count in zip(lengths, texts):
        part = states.narrow(0, start, length * count).view(count, length, -1)
        part.add_(places.narrow(0, 0, length))
        start += length * count
    return normed(states, tables[3:], eps)

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
    whole: bool, heads: int, scale: float, eps: float, few: int, activation: str, form: str,
    products: List[List[List[Tensor]]], norms: List[List[List[Tensor]]],
    tables: List[List[Tensor]], reaches: List[int], unprojected: List[Tensor],
    head: List[Tensor], between: str
) -> Tensor:
    tokens, count, last = 0, 0, len(norms) - 1
    for length, number in zip(lengths, texts):
        tokens += length * number
        count += number
    for i in range(last + int(whole)):
        hidden = layer(
            hidden, hidden, True, tokens, tokens, lengths, texts, heads, scale, eps, few,
            activation, form, products[i], norms[i], tables[i], reaches[i], unprojected, room
        )
    if whole:
        return hidden.narrow(0, 0, tokens)
    outcome = layer(
        hidden, firsts(hidden, asked, lengths, texts), False, tokens, count, lengths, texts,
        heads, scale, eps, few, activation, form, products[last], norms[last], tables[last],
        reaches[last], unprojected, room
    )
    return headed(outcome.narrow(0, 0, count), head, between)

def of_ids(
    ids: Tensor, embedding: List[Tensor], embedding_eps: float, lengths: List[int],
    texts: List[int], asked: int, room: List[Tensor], whole: bool, heads: int, scale: float,
    eps: float, few: int, activation: str, form: str, products: List[List[List[Tensor]]],
    norms: List[List[List[Tensor]]], tables: List[List[Tensor]], reaches: List[int],
    unprojected: List[Tensor], head: List[Tensor], between: str
) -> Tensor:
    hidden = embedded(ids, embedding, embedding_eps, lengths, texts)
    return of_states(
        hidden, lengths, texts, asked, room, whole, heads, scale, eps, few, activation, form,
        products, norms, tables, reaches, unprojected, head, between
    )
"""
