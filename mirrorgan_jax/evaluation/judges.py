"""What judges images beside STEM: captioners, and the truth of drawn birds."""

from mirrorgan_jax import progress
from mirrorgan_jax.metrics import classifier as classifiers
from mirrorgan_jax.models import build
from mirrorgan_jax.parallel import hosts
from mirrorgan_jax.training import stages
from mirrorgan_jax.workdir import layout


def captioners(config, workdir, mesh, size):
    """{name: (module, variables)} of the captioners that a run has.

    Args:
      config: the run's configuration.
      workdir: its folder.
      mesh: device mesh.
      size: V of the data.
    """
    found = {}
    home = layout.home(config, workdir, "stream")
    if layout.is_finished(config, home, "stream"):
        variables = layout.load_stream(config, workdir, mesh)
        found["STREAM"] = build.captioner(config, size), variables
    folder = layout.home(config, workdir, "heldout")
    if layout.is_saved(folder, "stream"):
        own = stages.held_out(config)
        variables = layout.load_stream(own, folder, mesh)
        found["held-out captioner"] = build.captioner(own, size), variables
    return found


def classifier(config, truth):
    """The classifier of the attributes of drawn pictures, trained on the spot.

    Args:
      config: the run's configuration.
      truth: `records.Truth` of its data.
    """
    c = config.eval
    images, attributes = truth.draw(
        c.classifier_images, size=config.data.image_size, seed=config.seed + 1
    )
    columns = [list(truth.values).index(name) for name in truth.parts]
    # Every process trains its own on its own devices: they come out the same.
    with progress.Progress(
        "attribute classifier", c.classifier_steps, enabled=hosts.is_first()
    ) as bar:
        return classifiers.train_classifier(
            images,
            attributes[:, columns],
            {name: len(truth.values[name]) for name in truth.parts},
            steps=c.classifier_steps,
            batch_size=32,
            seed=config.seed,
            progress=lambda _, loss: bar.update(1, loss=loss),
        )
