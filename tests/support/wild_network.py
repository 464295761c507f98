"""A network of which every third one says NaN from the start."""

import torch


class Wild(torch.nn.Module):
    """Set `made` to 0 for the second that is made to be the first of these."""

    made = 0

    def __init__(self, inputs, outputs):
        super().__init__()
        self.line = torch.nn.Linear(inputs, outputs)
        if Wild.made % 3 == 1:
            torch.nn.init.constant_(self.line.weight, float("nan"))
        Wild.made += 1

    def forward(self, x):
        return self.line(x)
