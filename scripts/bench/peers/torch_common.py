"""What the workloads of torch_peer.py share: where they run, and the numbers that every contestant computes with."""
import sys

import numpy as np
import torch

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
