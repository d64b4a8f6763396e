"""A GPT on characters: a run of a sweep, with snn_norm.BaseRun."""

from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F

from snn_norm import BaseRun

TEXT = Path(F.__file__).read_text()[:60_000]
LETTERS = sorted(set(TEXT))
TOKENS = torch.tensor([LETTERS.index(letter) for letter in TEXT])
CONTEXT = 32


class GPT(nn.Module):
    def __init__(self, width, layers, norm_first):
        super().__init__()
        self.letter = nn.Embedding(len(LETTERS), width)
        self.place = nn.Embedding(CONTEXT, width)
        block = nn.TransformerEncoderLayer(
            width, 4, 4 * width, 0.0, "gelu", batch_first=True, norm_first=norm_first
        )
        self.blocks = nn.TransformerEncoder(block, layers, enable_nested_tensor=False)
        self.head = nn.Linear(width, len(LETTERS))

    def forward(self, x):
        future = nn.Transformer.generate_square_subsequent_mask(x.shape[1], x.device)
        y = self.letter(x) + self.place.weight[: x.shape[1]]
        return self.head(self.blocks(y, mask=future, is_causal=True))


class Run(BaseRun):
    def __init__(self, config, device):
        super().__init__(config, device)
        self.model = GPT(config["width"], config["layers"], config["norm_first"]).to(device)
        self.optimizer = torch.optim.AdamW(self.model.parameters(), config["rate"])
        tokens = TOKENS.to(self.device)
        self.train, self.held_out = tokens[:50_000], tokens[50_000:]

    def batches(self):
        for _ in range(self.config["steps"]):
            yield self.windows(self.train, 16)

    def windows(self, tokens, count):
        starts = torch.randint(len(tokens) - CONTEXT, (count, 1), device=self.device)
        return tokens[starts + torch.arange(CONTEXT + 1, device=self.device)]

    def step(self, batch):
        logits = self.model(batch[:, :-1])
        return F.cross_entropy(logits.flatten(0, 1), batch[:, 1:].flatten())

    def evaluate(self):
        loss = self.step(self.held_out.unfold(0, CONTEXT + 1, CONTEXT))
        return {"val_loss": loss, "val_perplexity": loss.exp()}
