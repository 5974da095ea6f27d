"""What masked rows hold, and what they were before."""

import numpy as np


def arrays(data):
    """The batches of one iteration as one of each array."""
    batches = [[{k: v.numpy() for k, v in part.items()} for part in batch] for batch in data]
    return [{k: np.concatenate([b[i][k] for b in batches]) for k in batches[0][i]} for i in range(3)]


def restored(x, y, w):
    """The rows as they were before masking."""
    rows, used = x["token_ids"].copy(), w["masked_lm"] > 0
    rows[np.nonzero(used)[0], x["masked_positions"][used]] = y["masked_lm"][used]
    return rows


def special_ids(tokenizer):
    return [tokenizer.pad_id, tokenizer.unk_id, tokenizer.cls_id, tokenizer.sep_id, tokenizer.mask_id]
