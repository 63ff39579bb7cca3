"""PyTorch's side of the ResNet-9 benchmark: for each line on standard input, runs that many training steps of 128 images
and prints their times in milliseconds as one JSON list. The caller alternates it with thimble in one run."""
import json
import sys
import time

import torch
import torch.nn as nn


def conv_bn(a, b, k, s):
    return nn.Sequential(nn.Conv2d(a, b, k, stride=s, padding=k // 2), nn.BatchNorm2d(b), nn.ReLU())


class Residual(nn.Module):
    def __init__(self, *layers):
        super().__init__()
        self.layers = nn.Sequential(*layers)

    def forward(self, x):
        return self.layers(x) + x


batch, channels_last = int(sys.argv[1]), sys.argv[2] == "channels-last"
torch.manual_seed(0)
torch.set_num_threads(int(sys.argv[3]))
model = nn.Sequential(
    conv_bn(3, 16, 7, 4), conv_bn(16, 32, 3, 2), Residual(conv_bn(32, 32, 3, 1), conv_bn(32, 32, 3, 1)),
    conv_bn(32, 64, 3, 2), conv_bn(64, 128, 3, 2), Residual(conv_bn(128, 128, 3, 1), conv_bn(128, 128, 3, 1)),
    nn.Flatten(), nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, 10))
x, y = torch.randn(batch, 3, 32, 32), torch.randint(0, 10, (batch,))
if channels_last:
    model, x = model.to(memory_format=torch.channels_last), x.contiguous(memory_format=torch.channels_last)
optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, weight_decay=1e-3)
loss_function = nn.CrossEntropyLoss()


def step():
    optimizer.zero_grad()
    loss = loss_function(model(x), y)
    loss.backward()
    optimizer.step()
    return loss.item()


for _ in range(10):
    step()
print(json.dumps({"name": "PyTorch " + torch.__version__}), flush=True)
for line in sys.stdin:
    times = []
    for _ in range(int(line)):
        start = time.perf_counter()
        step()
        times.append((time.perf_counter() - start) * 1e3)
    print(json.dumps(times), flush=True)
