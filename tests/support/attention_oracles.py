"""The equations of attention in NumPy, float64, as slow and as plain as they are written."""

import numpy as np


def softmax(scores):
    e = np.exp(scores - scores.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def attention(q, k, v, visible=None):
    """softmax(Q K^T / sqrt(d_k)) V (document 001), and the weights; q [t, D], k [S, D], v [S, D'].

    Document 003 writes (Q K^T / sqrt(d_k)) W_V: without softmax, and with a weight matrix in the place of the values.
    """
    scores = q @ k.T / np.sqrt(q.shape[-1])
    weights = softmax(np.where(True if visible is None else visible, scores, -np.inf))
    return weights @ v, weights


def multi_head(x, memory, query, key, value, out, num_heads, visible=None):
    """Concat(head_1, ..., head_h) W_O, head_i = Attention(x W_Q^i, m W_K^i, m W_V^i), m the memory (Vaswani 2017)."""
    q, k, v = (np.split(a @ w, num_heads, axis=-1) for a, w in ((x, query), (memory, key), (memory, value)))
    heads, weights = zip(*(attention(*qkv, visible) for qkv in zip(q, k, v, strict=True)), strict=True)
    return np.concatenate(heads, -1) @ out, np.stack(weights)


def additive(h, memory, w, u, v):
    """v · tanh(W h_t + U h_s), score [t, S] (Bahdanau et al. 2015, appendix A.1.2)."""
    return np.array([[v @ np.tanh(h_t @ w + h_s @ u) for h_s in memory] for h_t in h])


def multiplicative(h, memory, w):
    """h_t^T W h_s, score [t, S] (Luong et al. 2015, equation 8); w as a Dense layer keeps it, from h_s to the key."""
    return np.array([[h_t @ w.T @ h_s for h_s in memory] for h_t in h])


def layer_norm(x, gamma, beta, epsilon=1e-5):
    mean, variance = x.mean(-1, keepdims=True), x.var(-1, keepdims=True)
    return gamma * (x - mean) / np.sqrt(variance + epsilon) + beta


def sinusoids(positions, dim):
    """PE(p, 2i) = sin(p / 10000^(2i/dim)), PE(p, 2i + 1) = cos(the same) (Vaswani et al. 2017, section 3.5)."""
    waves = np.zeros((len(positions), dim))
    for row, p in zip(waves, positions, strict=True):
        for i in range(dim // 2):
            row[2 * i], row[2 * i + 1] = np.sin(p / 10000 ** (2 * i / dim)), np.cos(p / 10000 ** (2 * i / dim))
    return waves


def causal(length):
    return np.tril(np.ones((length, length), bool))


def lstm(x, w, name, h, c):
    """All states and the last (h, c); gates in Keras' order i, f, g, o."""
    kernel, recurrent, bias = (w[f"{name}/lstm_cell/{part}"] for part in ("kernel", "recurrent_kernel", "bias"))
    states = []
    for x_t in x:
        i, f, g, o = np.split(x_t @ kernel + h @ recurrent + bias, 4)
        i, f, o = (1 / (1 + np.exp(-gate)) for gate in (i, f, o))
        c = f * c + i * np.tanh(g)
        h = o * np.tanh(c)
        states.append(h)
    return np.array(states), h, c
