"""PyTorch's side of the workloads over sequences: attention, recurrent layers, language models."""
import torch
import torch.nn as nn
import torch.nn.functional as F

from torch_common import checksum, fill, set_parameters


def attention(n, length, heads, features, causal):
    q, k, v = (fill((n, length, heads, features), seed).requires_grad_() for seed in (1, 2, 3))
    dy = fill((n, length, heads, features), 4).transpose(1, 2)
    future = torch.full((length, length), -torch.inf).triu(1)

    def composed(q, k, v):  # before PyTorch 2
        scores = q * features**-0.5 @ k.transpose(-2, -1)
        return torch.softmax(scores + future if causal else scores, -1) @ v

    fused = getattr(F, "scaled_dot_product_attention", None)
    function = (lambda *qkv: fused(*qkv, is_causal=bool(causal))) if fused else composed
    forward = lambda: function(q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2))

    def run():
        q.grad = k.grad = v.grad = None
        forward().backward(dy)

    def values():
        run()
        return [mean for x in (forward().transpose(1, 2), q.grad, k.grad, v.grad) for mean in checksum(x)]
    return run, values


def recurrent(kind, length, batch, hidden):
    layer = {"rnn": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}[kind](hidden, hidden)
    set_parameters(layer.parameters())
    x, dy = fill((length, batch, hidden), 100).requires_grad_(), fill((length, batch, hidden), 101)

    def run():
        layer.zero_grad()
        x.grad = None
        layer(x)[0].backward(dy)
        return x.grad
    return run, lambda: checksum(layer(x)[0]) + checksum(run())


class LanguageModel(nn.Module):
    def __init__(self, kind, vocabulary, embed, hidden):
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, embed)
        self.recurrent = (nn.LSTM if kind == "lstm" else nn.RNN)(embed, hidden, 2)
        self.output = nn.Linear(hidden, vocabulary)

    def forward(self, x, state):
        y, state = self.recurrent(self.embedding(x), state)
        return self.output(y.reshape(-1, y.shape[-1])), state


def lm(kind, embed, hidden, bptt, batch, vocabulary):
    model = LanguageModel(kind, vocabulary, embed, hidden)
    set_parameters(list(model.parameters())[1:])
    with torch.no_grad():
        model.embedding.weight.copy_(fill((vocabulary, embed), 500))
    optimizer, loss_function = torch.optim.SGD(model.parameters(), lr=1.0), nn.CrossEntropyLoss()
    ids = torch.arange(bptt * batch)
    x, labels = (ids * 7919 % vocabulary).reshape(bptt, batch), (ids * 104729 + 1) % vocabulary
    state = None

    def train():
        nonlocal state
        optimizer.zero_grad()
        logits, state = model(x, state)
        state = tuple(h.detach() for h in state) if kind == "lstm" else state.detach()
        y = loss_function(logits, labels)
        y.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 0.25)
        optimizer.step()
        return y.item()
    return train, lambda: [train()]
