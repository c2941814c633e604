"""StackGAN's checkpoint becomes torchvision's tensors."""

import numpy as np
import pytest
from safetensors import numpy as safetensors
from support import weight_rule

from mirrorgan_jax.cli import convert as convert_slim
from mirrorgan_jax.weights import slim

CLASSES = 3


@pytest.fixture(scope="module")
def variables():
    """Variables of a checkpoint with slim's names; every one tells its name."""
    shapes = weight_rule.table("torchvision_inception_v3")
    found = {
        "logits/logits/weights": np.arange(2048 * CLASSES, dtype=np.float32).reshape(
            2048, CLASSES
        ),
        "logits/logits/biases": np.arange(CLASSES, dtype=np.float32),
        "aux_logits/FC/biases": np.zeros(CLASSES, np.float32),
        "global_step": np.int64(5000),
    }
    for number, (ours, scope) in enumerate(slim.scopes().items()):
        out, inner, height, width = shapes[f"{ours}.conv.weight"]
        kernel = np.zeros((height, width, inner, out), np.float16)
        kernel[-1, 0, 0, -1] = number + 1
        found[f"{scope}/weights"] = kernel
        for leaf, value in (
            ("beta", 0.25),
            ("moving_mean", 0.5),
            ("moving_variance", 2),
        ):
            found[f"{scope}/BatchNorm/{leaf}"] = np.full(out, value, np.float32)
    return found


def convert(variables):
    return slim.state_dict(variables.__getitem__, variables)


def test_every_tensor_of_the_trunk_is_there_with_its_shape(variables):
    expected = {
        name: shape
        for name, shape in weight_rule.table("torchvision_inception_v3").items()
        if not name.startswith(("fc.", "AuxLogits."))
    }
    found = convert(variables)
    assert {k: v.shape for k, v in found.items() if k in expected} == expected
    assert found.keys() - expected.keys() == {"fc.weight", "fc.bias"}
    assert found["fc.weight"].shape == (CLASSES, 2048)
    np.testing.assert_array_equal(
        found["fc.weight"][1], 1 + CLASSES * np.arange(2048.0)
    )
    for number, ours in enumerate(slim.scopes()):
        # The last row and first column of the kernel stay where they were.
        assert found[f"{ours}.conv.weight"][-1, 0, -1, 0] == number + 1
    assert (found["Mixed_7c.branch_pool.bn.weight"] == 1).all()
    assert (found["Mixed_7c.branch_pool.bn.running_var"] == 2).all()


@pytest.mark.parametrize(
    ("ours", "scope"),
    [
        ("Conv2d_4a_3x3", "conv4"),
        ("Mixed_5b.branch5x5_2", "mixed_35x35x256a/branch5x5/Conv_1"),
        ("Mixed_6a.branch3x3", "mixed_17x17x768a/branch3x3/Conv"),
        ("Mixed_6e.branch7x7dbl_5", "mixed_17x17x768e/branch7x7dbl/Conv_4"),
        ("Mixed_7a.branch7x7x3_4", "mixed_17x17x1280a/branch7x7x3/Conv_3"),
        ("Mixed_7b.branch3x3_2b", "mixed_8x8x2048a/branch3x3/Conv_2"),
        ("Mixed_7c.branch3x3dbl_3a", "mixed_8x8x2048b/branch3x3dbl/Conv_2"),
        ("Mixed_7c.branch_pool", "mixed_8x8x2048b/branch_pool/Conv"),
    ],
)
def test_scopes_are_those_of_the_library(ours, scope):
    assert slim.scopes()[ours] == scope


def test_moving_averages_come_first(variables):
    name = "conv0/BatchNorm/beta"
    averaged = {**variables, f"{name}/ExponentialMovingAverage": variables[name] + 7}
    assert (convert(averaged)["Conv2d_1a_3x3.bn.bias"] == 7.25).all()


def test_missing_variable_is_named(variables):
    rest = {k: v for k, v in variables.items() if k != "conv3/weights"}
    with pytest.raises(ValueError, match="no variable conv3/weights"):
        convert(rest)


def test_command_reads_a_checkpoint_of_tensorflow(tmp_path, variables, capsys):
    tf = pytest.importorskip("tensorflow")
    path = str(tmp_path / "model.ckpt")
    names = [*variables]
    tf.raw_ops.SaveV2(
        prefix=path, tensor_names=names, shape_and_slices=[""] * len(names),
        tensors=[tf.constant(variables[name]) for name in names],
    )  # fmt: skip
    out = tmp_path / "a.safetensors"
    assert convert_slim.cli(["convert", path, str(out)]) == 0
    found = safetensors.load_file(out)
    for name, value in convert(variables).items():
        np.testing.assert_array_equal(found[name], value)
    assert convert_slim.cli(["convert", str(tmp_path / "none"), str(out)]) == 1
    assert "no TensorFlow checkpoint" in capsys.readouterr().err
    assert convert_slim.cli(["convert", path, str(tmp_path / "a.npz")]) == 1
    assert convert_slim.cli(["convert"]) == 1
