import tempfile
from pathlib import Path

import lightning
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset


class Line(lightning.LightningModule):
    def __init__(self, rate):
        super().__init__()
        self.rate, self.layer = rate, nn.Linear(3, 1)

    def training_step(self, batch, _):
        return F.mse_loss(self.layer(batch[0]), batch[0].sum(1, keepdim=True))

    def validation_step(self, batch, _):
        self.log("val_loss", self.training_step(batch, _))

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), self.rate)


class Run:
    def __init__(self, config, device):
        self.epochs, self.device = config["epochs"], device
        self.model = Line(config["rate"])
        points = torch.randn(64, 3, generator=torch.Generator().manual_seed(0))
        self.data = DataLoader(TensorDataset(points), batch_size=16)
        self.epoch, self.checkpoint = 0, None

    @property
    def done(self):
        return self.epoch >= self.epochs

    def run_epoch(self):
        trainer = lightning.Trainer(
            accelerator="gpu" if self.device.type == "cuda" else "cpu",
            devices=1,
            max_epochs=self.epoch + 1,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "epoch.ckpt"
            if self.checkpoint is not None:
                path.write_bytes(self.checkpoint)
            before = path if self.checkpoint is not None else None
            trainer.fit(self.model, self.data, self.data, ckpt_path=before)
            trainer.save_checkpoint(path)
            self.checkpoint = path.read_bytes()
        self.epoch += 1
        return {name: float(value) for name, value in trainer.callback_metrics.items()}

    def state_dict(self):
        return self.epoch, self.checkpoint

    def load_state_dict(self, state):
        self.epoch, self.checkpoint = state
