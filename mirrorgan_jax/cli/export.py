"""Writes a finished run as a model: one folder for friends, hubs and servers.

  mirrorgan export --workdir=runs/toybirds --out=model
  mirrorgan export --workdir=runs/toybirds --out=served --format=stablehlo

pretrained  safetensors, vocabulary, configuration, metrics and a model card, which
            `mirrorgan_jax.from_pretrained` opens; no pickle, no training state
stablehlo   one compiled function of word ids and noise for CPUs, GPUs and TPUs, its
            words and an example that needs jax alone
"""

import dataclasses
import sys

from absl import flags
from etils import epath

from mirrorgan_jax.cli import common

FORMATS = ("pretrained", "stablehlo")


def define(values: flags.FlagValues) -> None:
    """Defines the flags."""
    common.define_model(values)
    flags.DEFINE_string("out", None, "Folder that is written.", flag_values=values)
    flags.DEFINE_enum(
        "format", FORMATS[0], FORMATS, "What is written.", flag_values=values
    )
    flags.DEFINE_list(
        "without", [], "pretrained: networks left out, of captioner and image_encoder.",
        flag_values=values,
    )  # fmt: skip
    flags.DEFINE_string(
        "license", "other", "pretrained: identifier for the card, such as apache-2.0.",
        flag_values=values,
    )  # fmt: skip
    flags.DEFINE_string(
        "license_file", None, "pretrained: text of the licence, which is copied.",
        flag_values=values,
    )  # fmt: skip
    flags.DEFINE_multi_string(
        "made", [], "pretrained: a line for the card on how it was made, such as its"
        " command; may stand several times.",
        flag_values=values,
    )  # fmt: skip


def _made(workdir):
    """Lines on where and how long a run was trained."""
    from mirrorgan_jax.workdir import provenance

    found = provenance.read(workdir)
    lines, hardware = [], found.get("hardware")
    if isinstance(hardware, dict):
        devices = f"{hardware.get('devices')} x {hardware.get('device_kind')}"
        if hardware.get("platform") == "cpu":
            devices = f"{hardware.get('cores')} CPU cores"
        lines.append(f"Hardware: {devices}, {hardware.get('machine')}")
    times = {
        stage: values["seconds"] / 60
        for stage, values in (found.get("stages") or {}).items()
    }
    if times:
        parts = ", ".join(f"{name} {minutes:.1f}" for name, minutes in times.items())
        lines.append(f"Minutes: {sum(times.values()):.1f} ({parts})")
    versions = found.get("versions") or {}
    if versions:
        known = ("mirrorgan_jax", "python", "jax", "flax")
        said = ", ".join(
            f"{name} {versions[name]}" for name in known if name in versions
        )
        lines.append(f"Versions: {said}")
    return lines


def _measured(workdir):
    """The run's evaluation as text, or None."""
    from mirrorgan_jax.evaluation import evaluate
    from mirrorgan_jax.metrics import result

    found = result.read(epath.Path(workdir) / "report" / "evaluation.json")
    if found is None:
        return None
    protocols = [
        f"- {one.title}: {result.protocol_text(one.protocol)}"
        for one in found.metrics.values()
        if isinstance(one, result.Result) and one.protocol
    ]
    table = evaluate.table(dataclasses.replace(found, samples=""))
    return "\n".join(["```text", table, "```", "", *protocols])


def _card(values, model):
    """The model card, with the measures of the run's evaluation."""
    from mirrorgan_jax.inference import card

    made, measured = list(values.made), None
    if values.workdir:
        made += _made(values.workdir)
        measured = _measured(values.workdir)
    held = [name for name in model.networks if name not in values.without]
    return card.text(
        epath.Path(values.out).name, model.config, model.vocab, held,
        step=model.step, licence=values.license, made=made, results=measured,
    )  # fmt: skip


def main(values: flags.FlagValues) -> None:
    """Does what the flags ask for."""
    if not values.out:
        raise ValueError("--out is missing: try --out=model")
    if not (values.workdir or values.model):
        raise ValueError("--workdir is missing: try --workdir=runs/toybirds")
    model = common.open_model(values.workdir, values.model)
    if values.format == "stablehlo":
        from mirrorgan_jax.inference import serving

        for path in serving.write(model, values.out):
            print(f"written: {path}")
        return
    licence = None
    if values.license_file:
        licence = epath.Path(values.license_file).read_text()
    model.save_pretrained(
        values.out,
        model_card=_card(values, model),
        licence=licence,
        without=values.without,
    )
    size = sum(p.stat().length for p in epath.Path(values.out).iterdir())
    print(f"written: {values.out}, {size / 2**20:.1f} MiB")


def cli(argv=None):
    """The command; returns its exit status."""
    return common.run(main, __doc__, define, argv)


if __name__ == "__main__":
    sys.exit(cli())
