"""Far fields of networks whose logits grow as squares do."""

import numpy as np
import torch
from torch import nn

import knowlimits as kl


class Prototypes(nn.Module):
    """Logits of squared distances to places."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.net = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 5))
        self.places = nn.Parameter(torch.randn(3, 5))

    def forward(self, x):
        return -(self.net(x)[:, None] - self.places).square().sum(-1)


class Pair(nn.Module):
    """One logit that is bilinear."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.form = nn.Bilinear(4, 4, 1)

    def forward(self, x):
        return self.form(x, x)


def test_probabilities_are_those_of_forward_passes_far_out():
    x, d = np.random.default_rng(0).normal(size=(2, 30, 4))
    d[::5] = 0
    for model in (Prototypes().double(), Pair().double()):
        far = kl.far_field(model, x, d)
        with torch.no_grad():
            out = model(torch.from_numpy(x + 1e6 * d))
            expected = out.softmax(-1) if out.shape[1] > 1 else torch.cat([1 - out.sigmoid(), out.sigmoid()], 1)
        np.testing.assert_allclose(far.probs[0], expected, atol=1e-12)
        np.testing.assert_array_equal(np.isnan(far.radius[0]), d.any(1))
        # Where nothing moves they are logits as everywhere, else logarithms of limits.
        with np.errstate(divide="ignore"):
            np.testing.assert_array_equal(far.offset[0][d.any(1)], np.log(far.probs[0][d.any(1)]))
        assert not far.rate.any()
        one = kl.far_field(model, x, d, batch_size=1)
        np.testing.assert_array_equal(one.probs, far.probs)
        np.testing.assert_allclose(one.offset, far.offset)
