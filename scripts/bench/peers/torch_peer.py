"""PyTorch's side of the benchmark. Speaks the protocol of scripts/bench/peer.ts on standard input and output:
`prepare WORKLOAD…` sets a workload up and answers with values to compare, `run SAMPLES REPEATS` times it.
Usage: torch_peer.py THREADS contiguous|channels-last [cuda]"""
import json
import sys
import time

import torch
import torch.nn as nn
import torch.nn.functional as F

from torch_common import DEVICE, FORMAT, checksum, fill, images, set_parameters
from torch_sequence import attention, lm, recurrent


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


def small(name):
    a, b, g = fill((4,), 1).requires_grad_(), fill((4,), 2).requires_grad_(), torch.ones(4)

    def both():
        a.grad = b.grad = None
        y = a + b
        y.backward(g)
        return y
    run = both if name == "backward" else lambda: a + b
    return run, lambda: checksum(run())


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
