"""A U-Net that finds the pixels of a digit in noise: a run of a sweep, with the four members."""

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn import functional as F


def pictures():
    """Digits somewhere in noise, (N, 1, 32, 32), and which pixels are theirs."""
    digits = torch.tensor(load_digits().images[:180] / 16, dtype=torch.float32)
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(len(digits), 1, 32, 32, generator=generator)
    masks = torch.zeros(len(digits), 32, 32, dtype=torch.long)
    for image, mask, digit in zip(images, masks, digits, strict=True):
        top, left = torch.randint(24, (2,), generator=generator).tolist()
        image[0, top : top + 8, left : left + 8] += digit
        mask[top : top + 8, left : left + 8] = digit > 0.5
    return images, masks


def block(channels_in, channels):
    convolution = nn.Conv2d(channels_in, channels, 3, padding=1)
    return nn.Sequential(convolution, nn.BatchNorm2d(channels), nn.ReLU())


class UNet(nn.Module):
    def __init__(self, width, skip):
        super().__init__()
        self.skip = skip
        self.down = block(1, width)
        self.bottom = block(width, 2 * width)
        self.up = nn.ConvTranspose2d(2 * width, width, 2, stride=2)
        self.out = nn.Sequential(block(2 * width, width), nn.Conv2d(width, 2, 1))

    def forward(self, x):
        fine = self.down(x)
        coarse = self.up(self.bottom(F.max_pool2d(fine, 2)))
        return self.out(torch.cat([fine if self.skip else torch.zeros_like(fine), coarse], 1))


class Run:
    def __init__(self, config, device):
        images, masks = (part.to(device) for part in pictures())
        self.train, self.held_out = (images[:150], masks[:150]), (images[150:], masks[150:])
        self.model = UNet(config["width"], config["skip"]).to(device)
        self.optimizer = torch.optim.Adam(self.model.parameters(), config["rate"])
        self.epoch, self.epochs = 0, config["epochs"]

    @property
    def done(self):
        return self.epoch >= self.epochs

    def run_epoch(self):
        self.model.train()
        images, masks = self.train
        for some in torch.randperm(len(images), device=images.device).split(10):
            self.optimizer.zero_grad()
            F.cross_entropy(self.model(images[some]), masks[some]).backward()
            self.optimizer.step()
        self.epoch += 1
        return self.evaluate()

    @torch.no_grad()
    def evaluate(self):
        self.model.eval()
        images, masks = self.held_out
        found = self.model(images).argmax(1)
        both = [((found == kind) & (masks == kind)).sum() for kind in range(2)]
        either = [((found == kind) | (masks == kind)).sum() for kind in range(2)]
        return {"val_miou": sum(a / b for a, b in zip(both, either, strict=True)) / 2}

    def state_dict(self):
        return [self.model.state_dict(), self.optimizer.state_dict(), self.epoch]

    def load_state_dict(self, state):
        self.model.load_state_dict(state[0])
        self.optimizer.load_state_dict(state[1])
        self.epoch = state[2]

    def model_state(self):  # optional: what is kept of a run that has ended
        return self.model.state_dict()

    def load_model_state(self, state):
        self.model.load_state_dict(state)
