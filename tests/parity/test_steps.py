"""Training steps against the authors' code (fixtures 07b and 08a).

08a in float64 is the proof that the whole GAN step (one generator forward, three
discriminator updates, one backward through the updated ones and STREAM, Adam,
moving average, running statistics) is the reference's to 1e-6.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn
from support import parity

from mirrorgan_jax.losses import augmentation, objective
from mirrorgan_jax.models import build, discriminators, glam, stem, stream
from mirrorgan_jax.training import gan_step, stem_step
from mirrorgan_jax.training import state as states
from mirrorgan_jax.weights import names

pytestmark = pytest.mark.full

SIZES = (64, 128, 256)
# In float32 rounding, and so the compiler's flags, would decide what passes.
DTYPE = np.float64


def mean_pool(images, size):
    b, h, w, c = images.shape
    return images.reshape(b, h // size, size, w // size, size, c).mean((2, 4))


class CaptionStub(nn.Module):
    """What stands in the captioning CNN's place in 08 (fixtures' README)."""

    features: int
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, images, *, train):
        del train
        x = mean_pool(images, 8)
        for i, width in enumerate((8, 16)):
            x = nn.Conv(
                width, (3, 3), 2, padding=1, name=f"conv{i + 1}",
                param_dtype=self.param_dtype,
            )(x)  # fmt: skip
            x = jnp.tanh(x)
        linear = nn.Dense(self.features, name="linear", param_dtype=self.param_dtype)
        return stream.Seen(linear(x.mean((1, 2))))


STUB = {name: (name,) for name in ("conv1", "conv2", "linear")}


def _networks():
    return build.Networks(
        text_encoder=stem.TextEncoder(23, word_dim=16, param_dtype=DTYPE),
        captioner=stream.Captioner(
            CaptionStub(16, param_dtype=DTYPE),
            stream.CaptionDecoder(23, embed_dim=16, hidden_dim=32, param_dtype=DTYPE),
        ),
        generator=glam.Generator(ngf=4, sentence_conv=True, param_dtype=DTYPE),
        discriminators={
            f"D{size}": discriminators.Discriminator(
                image_size=size, ndf=4, param_dtype=DTYPE
            )
            for size in SIZES
        },
    )


WEIGHTS = objective.Weights(
    adversarial_scale=1.0,
    discriminator_weighting="mean",
    wrong_pairs=True,
    lambda_stream=10.0,
    caption_reduction="mean",
    lambda_damsm=0.0,
    gammas=(),
    kl_weight=1.0,
)


def _initial_state(fixture, optimizer):
    def network(prefix, modules):
        tree = names.to_tree(fixture.state(prefix, dtype=DTYPE), modules)
        return states.NetworkState.create(jax.tree.map(jnp.asarray, tree), optimizer)

    generator = network("G.", names.generator(3))
    return gan_step.GanState(
        step=jnp.zeros((), jnp.int32),
        generator=generator,
        discriminators={
            f"D{size}": network(f"D{i}.", names.discriminator(size))
            for i, size in enumerate(SIZES)
        },
        ema=states.weights(generator),
    )


def _stream(fixture):
    encoder = names.to_tree(fixture.state("stub.", dtype=DTYPE), STUB)
    decoder = names.to_tree(
        fixture.state("crnn.", dtype=DTYPE), names.caption_decoder()
    )
    return {"params": {"encoder": encoder["params"], "decoder": decoder["params"]}}


def _run(fixture):
    """Three updates; yields (state, metrics) after each."""
    networks = _networks()
    adam = optax.adam(2e-4, b1=0.5, b2=0.999)
    optimizers = {"G": adam, "D": adam}
    update = jax.jit(
        gan_step.make_update(
            networks,
            optimizers,
            WEIGHTS,
            ema_decay=0.999,
            ema_batch_stats=False,
            rate=optax.constant_schedule(1.0),
            warmth=optax.constant_schedule(1.0),
        )
    )
    unchanged = {kind: {} for kind in augmentation.KINDS}
    state = _initial_state(fixture, adam)
    text = names.to_tree(fixture.state("text.", dtype=DTYPE), names.text_encoder())
    frozen = {"stream": _stream(fixture)}
    length = jnp.asarray(fixture["in/cap_lens"], jnp.int32)
    for step in (1, 2, 3):
        tokens = jnp.asarray(fixture[f"in/captions_step{step}"], jnp.int32)
        captions = stem.encode_captions(networks.text_encoder, text, tokens, length)
        real = tuple(
            jnp.asarray(parity.nhwc(fixture[f"in/real{i}_step{step}"]).astype(DTYPE))
            for i in range(3)
        )
        noise = (fixture[f"in/{n}_step{step}"].astype(DTYPE) for n in ("z", "eps"))
        state, metrics = update(state, frozen, real, captions, *noise, unchanged)
        yield state, metrics


def _losses(metrics):
    adversarial = sum(float(metrics[f"G/adversarial_D{s}"]) for s in SIZES)
    caption = float(metrics["G/caption"])
    return {
        **{f"errD{i}": float(metrics[f"D{s}/loss"]) for i, s in enumerate(SIZES)},
        "errG_without_kl": adversarial + 10.0 * caption,
        "caption_loss_unscaled": caption,
        "kl": float(metrics["G/kl"]),
    }


def _tensors(state):
    """The state under the fixture's names."""
    networks = {"G": (state.generator, names.generator(3))}
    for i, size in enumerate(SIZES):
        networks[f"D{i}"] = state.discriminators[f"D{size}"], names.discriminator(size)
    tensors = {}
    for name, (network, modules) in networks.items():
        tensors |= names.to_state_dict(
            states.weights(network), modules, prefix=f"{name}."
        )
    average = {"params": state.ema["params"]}
    return tensors | names.to_state_dict(average, names.generator(3), prefix="EMA.")


@pytest.fixture
def float64():
    with jax.enable_x64(True):
        yield


def test_three_gan_steps_match_reference(float64):
    fixture = parity.load("08a_train_steps")
    steps = list(_run(fixture))
    for step, (_, metrics) in enumerate(steps, 1):
        for name, value in _losses(metrics).items():
            expected = float(fixture[f"out64/step{step}_{name}"])
            np.testing.assert_allclose(value, expected, rtol=1e-6, atol=1e-6)
    # The gradients that lie in the fixture are in float32: as far off as they are.
    for name, gradient in _first_gradients(steps[0][0]).items():
        fixture.assert_close(gradient, f"out/grad_step1/{name}", np.float64)
    tensors = _tensors(steps[-1][0])
    expected = fixture.state(group="out64/step3")
    assert set(expected) == set(tensors)
    worst = 0.0
    for name, value in expected.items():
        scale = max(1.0, float(np.abs(value).max()))
        worst = max(worst, float(np.abs(tensors[name] - value).max()) / scale)
    print(f"08a float64: {len(expected)} arrays, worst {worst:.2g}")
    assert worst <= 1e-6


def _first_gradients(state):
    """Adam's first moment after one step is (1 - b1) times the gradient."""
    gradients = {}
    networks = {"G": (state.generator, names.generator(3))}
    for i, size in enumerate(SIZES):
        networks[f"D{i}"] = state.discriminators[f"D{size}"], names.discriminator(size)
    for name, (network, modules) in networks.items():
        moments = jax.tree.map(lambda m: 2 * np.asarray(m), network.opt_state[0].mu)
        gradients |= names.to_state_dict(
            {"params": moments}, modules, prefix=f"{name}."
        )
    return gradients


class ImageStub(nn.Module):
    """What stands in the image tower's place in 07b (fixtures' README)."""

    features: int

    @nn.compact
    def __call__(self, images, *, train):
        del train
        # 256 is no multiple of 15: the pool takes 17 whole windows.
        x = mean_pool(images[:, :255, :255], 15)
        regions = jnp.tanh(nn.Conv(self.features, (1, 1), name="conv")(x))
        code = nn.Dense(self.features, name="code")(regions.mean((1, 2)))
        return regions.reshape(len(images), -1, self.features), code


def test_three_stem_steps_match_reference():
    fixture = parity.load("07b_damsm_pretrain_steps")
    text_module = stem.TextEncoder(23, word_dim=16, dropout=0.0)
    image_module = ImageStub(16)
    image_names = {
        module: (module,)
        for module in sorted({k.rsplit(".", 1)[0] for k in fixture.state("cnn.")})
    }
    text = names.to_tree(fixture.state("rnn."), names.text_encoder())
    image = names.to_tree(fixture.state("cnn."), image_names)
    optimizer = stem_step.make_optimizer(
        adam_b1=0.5, adam_b2=0.999, clip_norm=0.25, train_trunk=True
    )
    encode = stem_step.make_encode(text_module, image_module)
    loss = stem_step.make_loss(gamma1=4, gamma2=5, gamma3=10)
    update = jax.jit(
        stem_step.make_update(encode, loss, optimizer, optax.constant_schedule(2e-4))
    )
    params = {"text": text["params"], "image": image["params"]}
    state = stem_step.StemState(
        step=jnp.zeros((), jnp.int32),
        text=states.NetworkState.create(text),
        image=states.NetworkState.create(image),
        opt_state=optimizer.init(params),
    )
    for step in range(3):
        images = jnp.asarray(parity.nhwc(fixture[f"in/img_step{step}"]))
        tokens = jnp.asarray(fixture[f"in/captions_step{step}"], jnp.int32)
        length = jnp.asarray(fixture["in/cap_lens"], jnp.int32)
        class_id = jnp.asarray(fixture["in/class_ids"], jnp.int32)
        state, metrics = update(
            state, images, tokens, length, class_id, jax.random.key(0)
        )
        ours = [
            metrics[f"STEM/{name}"]
            for name in ("word0", "word1", "sentence0", "sentence1")
        ]
        fixture.assert_close(np.array(ours), f"out/loss_step{step + 1}")
        fixture.assert_close(
            metrics["STEM/text_grad_norm"],
            f"out/rnn_grad_norm_before_clip_step{step + 1}",
        )
        tensors = names.to_state_dict(
            {"params": state.text.params}, names.text_encoder(), prefix="rnn."
        ) | names.to_state_dict(
            {"params": state.image.params}, image_names, prefix="cnn."
        )
        expected = fixture.state(group=f"out/step{step + 1}")
        assert set(expected) == set(tensors)
        for name, value in expected.items():
            off = np.abs(tensors[name] - value)
            # Adam's first steps are the gradient's sign: near zero it may differ.
            assert np.quantile(off, 0.999) <= 2e-5, (step, name)
            assert off.max() <= 4.5e-4 * (step + 1), (step, name)
