"""The source of the attention that torch's interpreter computes: what is each kind's own, as the
classes of ``attending`` have it, and what all share.
"""

from goemo_utils.classifier.attending import BLOCK

PLAIN = """
def mixed(
    asking: Tensor, key: Tensor, value: Tensor, tables: List[Tensor], reach: int, scale: float
) -> Tensor:
    return torch.nn.functional.scaled_dot_product_attention(asking, key, value, scale=scale)
"""
BIASED = """
def mixed(
    asking: Tensor, key: Tensor, value: Tensor, tables: List[Tensor], reach: int, scale: float
) -> Tensor:
    rows, length = asking.size(2), key.size(2)
    reached = tables[0].narrow(1, reach - rows + 1, rows + length - 1)
    bias = reached.unfold(1, length, 1).flip([1]).unsqueeze(0)
    return torch.nn.functional.scaled_dot_product_attention(
        asking, key, value, attn_mask=bias, scale=scale
    )
"""
DISENTANGLED = """
def of_distances(table: Tensor, rows: Tensor, length: int, reach: int) -> Tensor:
    rows = rows.narrow(0, (rows.size(0) + 1) // 2 - length, 2 * length - 1)
    if length <= reach:
        return table.narrow(1, int(rows[0]), rows.size(0))
    return table.index_select(1, rows)

def shifted(states: Tensor, positions: Tensor, seen: int) -> Tensor:
    texts, heads, rows = states.size(0), states.size(1), states.size(2)
    columns = positions.size(1)
    # [texts, heads, rows, width] -> [heads, texts * rows, width]: few large products
    flat = states.transpose(0, 1).reshape(heads, texts * rows, -1)
    product = torch.bmm(flat, positions.transpose(1, 2))
    return product.as_strided(
        [texts, heads, rows, seen], [rows * columns, texts * rows * columns, columns - 1, 1],
        (columns - 1) // 2
    )

def mixed(
    asking: Tensor, key: Tensor, value: Tensor, tables: List[Tensor], reach: int, scale: float
) -> Tensor:
    keys, key_rows, queries, query_rows = tables
    rows, length = asking.size(2), key.size(2)
    bias: Optional[Tensor] = None
    if keys.numel() > 0:
        bias = shifted(asking, of_distances(keys, key_rows, length, reach), length)
    if queries.numel() > 0:
        turned = shifted(key, of_distances(queries, query_rows, length, reach), rows)
        turned = turned.transpose(2, 3)
        bias = turned if bias is None else bias + turned
    return torch.nn.functional.scaled_dot_product_attention(
        asking, key, value, attn_mask=bias, scale=scale
    )
"""
ROTARY = f"""
def turned(states: Tensor, turns: Tensor) -> Tensor:
    texts, heads, rows = states.size(0), states.size(1), states.size(2)
    places = turns.narrow(0, 0, rows)
    if states.dtype == torch.float32:
        torch.view_as_complex(states.view(texts, heads, rows, -1, 2)).mul_(places)
        return states
    pairs = torch.view_as_complex(states.to(torch.float32).view(texts, heads, rows, -1, 2))
    return torch.view_as_real(pairs.mul_(places)).flatten(3).to(states.dtype)

def mixed(
    asking: Tensor, key: Tensor, value: Tensor, tables: List[Tensor], reach: int, scale: float
) -> Tensor:
    asking, key = turned(asking, tables[0]), turned(key, tables[0])
    rows, length = asking.size(2), key.size(2)
    if length <= reach + 1:
        return torch.nn.functional.scaled_dot_product_attention(asking, key, value, scale=scale)

    parts: List[Tensor] = []
    for start in range(0, rows, {BLOCK}):
        # a block of rows and what lies within the window of any of them
        end = min(rows, start + {BLOCK})
        first, last = max(0, start - reach), min(length, end + reach)
        places = torch.arange(start, end, dtype=torch.long)
        near = (places.unsqueeze(1) - torch.arange(first, last, dtype=torch.long)).abs() <= reach
        parts.append(
            torch.nn.functional.scaled_dot_product_attention(
                asking.narrow(2, start, end - start), key.narrow(2, first, last - first),
                value.narrow(2, first, last - first), attn_mask=near, scale=scale
            )
        )
    return torch.cat(parts, 2)
"""
KINDS = {"plain": PLAIN, "biased": BIASED, "disentangled": DISENTANGLED, "rotary": ROTARY}

# The last layer of a plain kind needs no keys and no values. A score is query . (W x + b) =
# (query W) . x plus what is the same for all tokens, which softmax does not see; and weights that
# sum to 1 mix V x + c to V (mixed x) + c. So the first tokens' queries are brought to the states'
# own features, a head a row, and the states themselves are attended to: two small products a text
# for two a token.
ATTENTION = """
def attended(
    heads: int, scale: float, query: Tensor, key_value: Tensor, whole: bool, lengths: List[int],
    texts: List[int], tables: List[Tensor], reach: int
) -> Tensor:
    parts: List[Tensor] = []
    asked, given = 0, 0
    for length, count in zip(lengths, texts):
        tokens = length * count
        rows = tokens if whole else count
        # [tokens, 2 * heads * width] -> key and value, each [texts, heads, length, width]
        halves = key_value.narrow(0, given, tokens).view(count, length, 2, heads, -1)
        key, value = halves.permute(2, 0, 3, 1, 4).unbind(0)
        asking = query.narrow(0, asked, rows).view(count, rows // count, heads, -1)
        answers = mixed(asking.transpose(1, 2), key, value, tables, reach, scale)
        # [texts, heads, rows of a text, width] -> [rows, heads * width]
        parts.append(answers.transpose(1, 2).reshape(rows, -1))
        asked += rows
        given += tokens
    if asked < query.size(0):
        parts.append(query.new_zeros([query.size(0) - asked, query.size(1)]))
    if len(parts) == 1:
        return parts[0]
    return torch.cat(parts)

def firsts_attended(
    heads: int, scale: float, query: Tensor, hidden: Tensor, lengths: List[int], texts: List[int],
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
        parts.append(
            torch.nn.functional.scaled_dot_product_attention(
                part, states, states, scale=scale
            ).squeeze(1)
        )
        asked += count
        given += length * count
    if asked < rows:
        parts.append(hidden.new_zeros([rows - asked, heads, hidden.size(1)]))
    # [rows, heads, features] -> [heads, rows, width] -> [rows, heads * width]
    mixed_states = parts[0] if len(parts) == 1 else torch.cat(parts)
    values = torch.bmm(mixed_states.transpose(0, 1), value.view(heads, width, -1).transpose(1, 2))
    return values.transpose(0, 1).reshape(rows, -1).add_(bias)
"""
