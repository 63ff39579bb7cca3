"""PyTorch's side of the benchmark. Speaks the protocol of scripts/bench/peer.ts on standard input and output:
`prepare WORKLOAD…` sets a workload up and answers with values to compare, `run SAMPLES REPEATS` times it.
Usage: torch_peer.py THREADS contiguous|channels-last [cuda]"""
import json
import sys
import time

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F

CHANNELS_LAST = sys.argv[2] == "channels-last"
DEVICE = sys.argv[3] if len(sys.argv) > 3 else "cpu"
if DEVICE != "cpu":
    torch.set_default_device(DEVICE)  # PyTorch 2; it fails here where there is no such device
    torch.zeros(1)
FORMAT = torch.channels_last if CHANNELS_LAST else torch.contiguous_format


def fill(shape, seed, offset=0.0, scale=1.0):
    """The numbers of fill.ts, in row-major order."""
    x = np.arange(int(np.prod(shape)), dtype=np.uint32) * np.uint32(2654435761) + np.uint32(seed * 374761393 % 2**32)
    x = (x ^ (x >> np.uint32(15))) * np.uint32(0x2C1B3C6D)
    x ^= x >> np.uint32(12)
    values = (x / 2**32 - 0.5).astype(np.float32)
    return torch.from_numpy((values * np.float32(scale) + np.float32(offset)).reshape(shape)).to(DEVICE)


def checksum(y):
    y = y.detach().contiguous().cpu().numpy().ravel().astype(np.float64)
    return [float(np.abs(y).mean()), float((y * fill(y.shape, 99).cpu().numpy()).mean())]


def images(n, h, w, c, seed):
    """Images filled in the order N, H, W, C, in this process's memory format."""
    return fill((n, h, w, c), seed).permute(0, 3, 1, 2).contiguous(memory_format=FORMAT)


def matmul(batch, m, n, k, ta, tb):
    lead = (batch,) if batch > 1 else ()
    a = fill((*lead, k, m), 1).transpose(-2, -1) if ta else fill((*lead, m, k), 1)
    b = fill((*lead, n, k), 2).transpose(-2, -1) if tb else fill((*lead, k, n), 2)
    return lambda: a @ b, lambda: checksum(a @ b)


def conv(name, n, h, w, c, f, k, stride, padding):
    x = images(n, h, w, c, 1)
    weight = fill((k, k, c, f), 2).permute(3, 2, 0, 1).contiguous(memory_format=FORMAT)
    oh, ow = (h + 2 * padding - k) // stride + 1, (w + 2 * padding - k) // stride + 1
    dy = images(n, oh, ow, f, 3)
    backward = torch.ops.aten.convolution_backward
    geometry = ([stride, stride], [padding, padding], [1, 1], False, [0, 0], 1)
    if name == "forward":
        run = lambda: F.conv2d(x, weight, stride=stride, padding=padding)
        return run, lambda: checksum(run().permute(0, 2, 3, 1))
    if name == "data":
        run = lambda: backward(dy, x, weight, None, *geometry, [True, False, False])
        return run, lambda: checksum(run()[0].permute(0, 2, 3, 1))
    run = lambda: backward(dy, x, weight, None, *geometry, [False, True, False])
    return run, lambda: checksum(run()[1].permute(2, 3, 1, 0))


UNARY = {"exp": torch.exp, "log": torch.log, "sqrt": torch.sqrt, "tanh": torch.tanh, "sigmoid": torch.sigmoid,
         "relu": torch.relu, "neg": torch.neg, "abs": torch.abs, "addScalar": lambda x: x + 0.5}
BINARY = {"add": torch.add, "sub": torch.sub, "mul": torch.mul, "div": torch.div, "maximum": torch.maximum}
REDUCE = {"sum": torch.sum, "mean": torch.mean, "max": torch.amax, "logSumExp": torch.logsumexp, "argMax": torch.argmax}


def laid_out(layout, rows, cols, seed):
    if layout == "transposed":
        return fill((cols, rows), seed, 0.75).t()
    if layout == "strided":
        return fill((rows, 2 * cols), seed, 0.75)[:, ::2]
    return fill((rows, cols), seed, 0.75)


def elementwise(op, layout, rows, cols):
    x = laid_out(layout, rows, cols, 1)
    if op in UNARY:
        run = lambda: UNARY[op](x)
    else:
        shapes = {"row": (1, cols), "column": (rows, 1)}
        y = fill(shapes.get(layout, (rows, cols)), 2, 0.75)
        run = lambda: BINARY[op](x, y)
    return run, lambda: checksum(run())


def reduce(op, axes, layout, rows, cols):
    x = laid_out(layout, rows, cols, 1)
    dim = {"rows": [0], "cols": [1], "all": [0, 1]}[axes]
    if op == "argMax":
        run = lambda: torch.argmax(x, None if axes == "all" else dim[0])
    else:
        run = lambda: REDUCE[op](x, dim)
    return run, lambda: checksum(run().float().reshape(-1))


def loss(rows, cols):
    x = fill((rows, cols), 1, 0, 8).requires_grad_()
    labels = torch.arange(rows) * 7 % cols

    def run():
        x.grad = None
        y = F.cross_entropy(x, labels)
        y.backward()
        return y
    return run, lambda: [run().item(), *[v * rows * cols for v in checksum(x.grad)]]


def adam(sizes):
    def make(foreach):
        parameters = [fill((int(n),), i).requires_grad_() for i, n in enumerate(sizes.split(","))]
        for i, p in enumerate(parameters):
            p.grad = fill(p.shape, 100 + i)
        return parameters, torch.optim.Adam(parameters, lr=1e-3, weight_decay=1e-3, foreach=foreach)
    choices = [make(foreach) for foreach in (False, True)]
    values = []
    for parameters, optimizer in choices:
        optimizer.step()
        values = checksum(torch.cat([p.detach() for p in parameters]))

    def seconds(optimizer):
        start = time.perf_counter()
        for _ in range(50):
            optimizer.step()
        return time.perf_counter() - start
    best = min((optimizer for _, optimizer in choices), key=seconds)
    return best.step, lambda: values


def norm(name, n, h, w, c):
    x = images(n, h, w, c, 1).requires_grad_(name == "both")
    weight, bias = fill((c,), 2, 1).requires_grad_(), fill((c,), 3).requires_grad_()
    mean, var = torch.zeros(c), torch.ones(c)
    dy = images(n, h, w, c, 4)

    def forward():
        return F.relu(F.batch_norm(x, mean, var, weight, bias, training=True))

    def both():
        x.grad = weight.grad = bias.grad = None
        forward().backward(dy)
        return x.grad
    run = forward if name == "forward" else both
    return run, lambda: checksum(run().permute(0, 2, 3, 1))


def pool(op, n, h, w, c, k, stride, padding):
    x = images(n, h, w, c, 1).requires_grad_()
    function = {"maxPool": F.max_pool2d, "avgPool": F.avg_pool2d}[op]
    forward = lambda: function(x, k, stride, padding)
    oh, ow = forward().shape[2:]
    dy = images(n, oh, ow, c, 4)

    def run():
        x.grad = None
        forward().backward(dy)
        return x.grad
    return run, lambda: checksum(forward().permute(0, 2, 3, 1)) + checksum(run().permute(0, 2, 3, 1))


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


def small(name):
    a, b, g = fill((4,), 1).requires_grad_(), fill((4,), 2).requires_grad_(), torch.ones(4)

    def both():
        a.grad = b.grad = None
        y = a + b
        y.backward(g)
        return y
    run = both if name == "backward" else lambda: a + b
    return run, lambda: checksum(run())


def set_parameters(parameters):
    """The numbers of parameters.ts: weights there are (k, k, in, out) and (in, out)."""
    with torch.no_grad():
        for i, p in enumerate(parameters):
            if p.ndim == 4:
                o, c, kh, kw = p.shape
                p.copy_(fill((kh, kw, c, o), i, 0, 2 / (c * kh * kw) ** 0.5).permute(3, 2, 0, 1))
            elif p.ndim == 2:
                p.copy_(fill((p.shape[1], p.shape[0]), i, 0, 2 / p.shape[1] ** 0.5).t())
            else:
                p.copy_(fill(p.shape, i, 0, 0.2))


def conv_bn(a, b, k, s):
    return nn.Sequential(nn.Conv2d(a, b, k, stride=s, padding=k // 2), nn.BatchNorm2d(b), nn.ReLU())


class Residual(nn.Module):
    def __init__(self, *layers):
        super().__init__()
        self.layers = nn.Sequential(*layers)

    def forward(self, x):
        return self.layers(x) + x


def resnet9_model():
    model = nn.Sequential(
        conv_bn(3, 16, 7, 4), conv_bn(16, 32, 3, 2), Residual(conv_bn(32, 32, 3, 1), conv_bn(32, 32, 3, 1)),
        conv_bn(32, 64, 3, 2), conv_bn(64, 128, 3, 2), Residual(conv_bn(128, 128, 3, 1), conv_bn(128, 128, 3, 1)),
        nn.Flatten(), nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, 10))
    assert sum(p.numel() for p in model.parameters()) == 431946
    set_parameters(model.parameters())
    return model.to(memory_format=FORMAT)


def resnet9(name, batch):
    model, x = resnet9_model(), images(batch, 32, 32, 3, 1000)
    if name == "infer":
        model.eval()

        def infer():
            with torch.inference_mode():
                return model(x)
        return infer, lambda: checksum(infer())
    labels = torch.arange(batch) % 10
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, weight_decay=1e-3)
    loss_function = nn.CrossEntropyLoss()

    def train():
        optimizer.zero_grad()
        y = loss_function(model(x), labels)
        y.backward()
        optimizer.step()
        return y.item()
    return train, lambda: [train()]


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


WORKLOADS = {f.__name__: f for f in (matmul, conv, elementwise, reduce, loss, adam, norm, pool, attention,
                                      recurrent, small, resnet9, lm)}


def main():
    torch.manual_seed(0)
    torch.set_num_threads(int(sys.argv[1]))
    print(json.dumps({"name": "PyTorch " + torch.__version__}), flush=True)
    step = None
    for line in sys.stdin:
        command, *words = line.split()
        if command == "prepare":
            name, *arguments = words
            step, values = WORKLOADS[name](*(int(a) if a.isdigit() else a for a in arguments))
            print(json.dumps({"values": values()}), flush=True)
            continue
        if command == "memory":
            peak = next(int(row.split()[1]) for row in open("/proc/self/status") if row.startswith("VmHWM"))
            print(json.dumps({"peakKilobytes": peak}), flush=True)
            continue
        samples, repeats = int(words[0]), range(int(words[1]))
        times = []
        for _ in range(samples):
            start = time.perf_counter()
            for _ in repeats:
                step()
            if DEVICE == "cuda":
                torch.cuda.synchronize()
            times.append((time.perf_counter() - start) * 1e3 / len(repeats))
        print(json.dumps({"ms": times}), flush=True)


main()
