"""Every key once: its default, what it may be, its unit and its source.

A key stands with what it may be (`one_of`, `zero_or_more`, `below_one`; a plain number
is above zero); `settings.base` makes the configuration of them.
"""

from typing import Any

from mirrorgan_jax.settings.rules import (
    below_one,
    devices,
    one_of,
    some_of,
    zero_or_more,
)

PRESETS = ("paper", "reference")

_REMAT = ("none", "convolutions", "blocks")


def _common(log: int, save: int) -> dict[str, Any]:
    """Keys that every stage has, after its own.

    The cadences are in steps; the last step always does all of them.
    """
    return {
        "accumulate": 1,  # parts into which a batch is cut to save memory
        # How learning rates follow the batch size, as multiples of what they are at
        # lr_rule_batch.
        "lr_rule": one_of("none", "sqrt", "linear"),
        # Batch size that the rates were found at; 0: the configuration file's own.
        "lr_rule_batch": zero_or_more(0),
        "log_every_steps": log,
        "checkpoint_every_steps": save,
        "eval_every_steps": save,
    }


_DATA = {
    "name": "toybirds",  # one of `data.SOURCES`
    # Folder of prepared data sets on a disk of the host, no address; "" is
    # ~/.cache/mirrorgan_jax/data.
    "root": "",
    # The raw data: a folder, zip or tar, as the data set needs it; a path or an address
    # (gs://bucket/raw).
    "source": "",
    "ground": one_of("white", "black"),  # what transparent pictures are put on
    "subset": False,  # go on where listed pictures or shards are missing, coco only
    # Key that captions stand at, folder only; "": text, captions, caption or comment.
    "caption_column": "",
    # Keys that are not read, with commas between, folder only: "label,bbox".
    "ignore_columns": "",
    "image_size": 64,  # pixels of a drawn bird, toybirds only
    "train_images_per_species": 18,  # toybirds only
    "test_images_per_species": 12,  # toybirds only
    # What words are: ascii, the paper's rule, for English; unicode, for every language
    # (`text.tokenize`).
    "words": one_of("ascii", "unicode"),
    # MiB of disk for the pictures of a split that are kept resized; larger splits
    # are decoded every epoch; 0: always.
    "cache_mib": zero_or_more(8192),
    # Hashes of what the prepared data hold; a run sets it, and compares it when it goes
    # on or is evaluated.
    "contents": "",
    # Share of the training pictures held out to choose by: whole classes, or pictures
    # where test pictures are of training classes. 0: the test split chooses, as in the
    # papers, which train on all.
    "validation": below_one(0.0, zero=True),
    # Share of a split's pictures, rounded up, that may be damaged on disk: training
    # takes the next good one and says so; more are an error.
    "bad_pictures": below_one(0.001, zero=True),
}

_TEXT = {
    "num_words": 18,  # words of a caption in training; paper 4.1.3
    "eval_words": 25,  # words of a caption in evaluation; released eval settings
}

_STEM = {
    "image_size": 299,  # pixels of the crops that DAMSM sees; AttnGAN
    "cell": one_of("lstm", "gru"),
    "embed_dim": 300,  # of a word's table entry; AttnGAN
    "word_dim": 256,  # D; paper 4.1.3
    "dropout": below_one(0.5, zero=True),  # of embedded words in training; AttnGAN
    "encoder": one_of("inception_v3", "small"),  # image tower
    "encoder_width": 16,  # channels of the small tower's first stage
    "region_size": 8,  # side of the small tower's map of regions
    "train_trunk": False,  # the small tower needs True
    "align_corners": False,  # preset; of the resize to 299
    "gamma1": 4.0,  # AttnGAN section 4
    "gamma2": 5.0,  # AttnGAN section 4
    "gamma3": 10.0,  # AttnGAN section 4
    "batch_size": 48,  # AttnGAN, birds
    "num_steps": zero_or_more(110_000),  # 600 epochs of CUB at batch 48; AttnGAN
    "learning_rate": 2e-3,  # AttnGAN, birds
    "schedule": one_of("epoch_decay", "constant", "one_cycle"),
    "decay_per_epoch": 0.98,  # of epoch_decay, down to a tenth; AttnGAN
    "adam_b1": below_one(0.5, zero=True),  # AttnGAN
    "adam_b2": below_one(0.999),  # AttnGAN
    "reset_adam_every_epoch": False,  # preset
    "clip_norm": 0.25,  # of the text encoder's gradient only; AttnGAN
    "remat": one_of(*_REMAT),  # of the image tower, in GAN training too
    **_common(log=50, save=2000),
}

_STREAM = {
    "image_size": 256,  # pixels of the crops
    "encoder": one_of("resnet152", "small"),
    "encoder_width": 16,  # channels of the small trunk's first stage
    "train_trunk": False,  # the small trunk needs True
    "trunk_from_stem": False,  # start the small trunk from STEM's image tower
    "input_size": zero_or_more(224),  # pixels that the trunk sees; 0: the image's own
    "input_norm": one_of("imagenet", "raw"),  # preset
    "align_corners": False,  # preset; of the resize to input_size
    # lstm sees one feature of the image, Eq. 6; attention looks at the trunk's regions
    # at each word, the paper's outlook (4.4), as Show, Attend and Tell; so does
    # transformer, which has no recurrence.
    "decoder": one_of("lstm", "attention", "transformer"),
    "region_size": 8,  # side of the small trunk's map of regions
    "feature_dim": 256,  # of the image feature and the word table; released code
    "hidden_dim": 512,  # of the decoder's layers; released code
    "num_layers": 1,  # released code
    # Id 0 is one more word after a caption's last: redescriptions end by themselves.
    # The paper does not say; off is Eq. 8 as printed and the released code.
    "end_token": False,
    # Of (1 - a region's share of all words)^2, attention only; Show, Attend and Tell.
    "attention_regularisation": zero_or_more(1.0),
    "batch_size": 128,
    "num_steps": zero_or_more(20_000),
    "learning_rate": 1e-3,  # the captioning code that the authors name
    "schedule": one_of("constant", "one_cycle"),
    "adam_b1": below_one(0.9, zero=True),
    "adam_b2": below_one(0.999),
    "caption_reduction": one_of("mean", "sum"),  # over words, Eq. 8
    "remat": one_of(*_REMAT),  # of the trunk, in GAN training too
    # Nats a word by which captions must fit their own image better than a
    # shuffled one before GAN training starts; below it STREAM ignores the image.
    # 0 switches this gate off.
    "gate_margin": zero_or_more(0.05),
    **_common(log=50, save=2000),
}

_GAN = {
    "stages": one_of(1, 2, 3, default=3),  # m; paper 4.1.3
    "base_size": one_of(8, 16, 32, 64, default=64),  # pixels of stage 0, then doubled
    "ngf": 32,  # M_i, generator channels; paper 4.1.3
    "ndf": 64,  # discriminator channels; released code
    "z_dim": 100,  # noise; released code
    "condition_dim": 100,  # D', augmented sentence; paper 4.1.3
    "num_residual": 2,  # residual blocks of a later stage; released code
    "word_attention": True,  # Eq. 4
    "sentence_attention": True,  # Eq. 5
    # Augmented sentence joined to every pixel of later stages; StackGAN++.
    "condition_context": False,
    # 1x1 convolution behind the attentions; released code. AttnGAN has none.
    "context_reduction": True,
    "sentence_softmax_axis": one_of("channel", "spatial"),  # Eq. 5 prints none
    "sentence_conv": False,  # preset; 1x1 conv before Eq. 5's softmax
    "d_norm": one_of("batch", "spectral", "none"),
    # Sentence projected to this in D; 0: joined as it is.
    "d_sentence_dim": zero_or_more(0),
    "batch_size": 12,  # released code, birds
    "num_steps": zero_or_more(480_000),  # 650 epochs of CUB at 12; released code
    "g_learning_rate": 2e-4,  # released code
    "d_learning_rate": 2e-4,  # released code
    "adam_b1": below_one(0.5, zero=True),  # released code
    "adam_b2": below_one(0.999),  # released code
    # Of both rates: linear_decay is CycleGAN's, to zero over the last share of steps.
    "schedule": one_of("constant", "linear_decay"),
    "decay_share": below_one(0.5),  # of the steps; CycleGAN
    "adversarial_loss": one_of("bce", "hinge"),  # Eq. 7 and 10; hinge: SAGAN
    "adversarial_scale": 0.5,  # preset; factor of each term of Eq. 7
    "discriminator_weighting": one_of("half", "mean"),  # preset; half is Eq. 10
    "wrong_pairs": False,  # preset; image i with sentence i + 1 as a fake
    # Of D at real images with their sentences: R1 (Mescheder et al. 2018) or MA-GP
    # (DF-GAN); not with d_norm = batch.
    "gradient_penalty": one_of("none", "r1", "ma_gp"),
    "penalty_weight": 2.0,  # gamma of R1, k of MA-GP; DF-GAN's
    "penalty_every": 16,  # steps; the weight counts as many times; StyleGAN2
    # How images are changed before D sees them; DiffAugment.
    "diff_augment": some_of("color", "translation", "cutout"),
    "lambda_stream": zero_or_more(20.0),  # preset; lambda of Eq. 9
    "lambda_warmup": zero_or_more(0),  # steps over which it rises from 0; our own
    "caption_reduction": one_of("mean", "sum"),  # over words, Eq. 8
    # Of DAMSM in L_G; AttnGAN: 5 on CUB, 50 on COCO.
    "lambda_damsm": zero_or_more(0.0),
    "kl_weight": zero_or_more(1.0),  # of the conditioning augmentation; StackGAN
    # Images in which the generator's moving average forgets half; released code: a
    # decay of 0.999 a step at batch 12.
    "ema_half_life": 8314.0,
    "ema_batch_stats": True,  # preset; average the statistics too
    # What the backward pass computes again instead of keeping: convolutions (their
    # results are kept, not what follows them), blocks (only their inputs).
    "generator_remat": one_of(*_REMAT),
    "discriminator_remat": one_of(*_REMAT),
    "sample_every_steps": 5000,
    **_common(log=50, save=5000),
}

_EVAL = {
    "batch_size": 50,
    # Test images (and captions) used at the end; 0: all.
    "num_images": zero_or_more(0),
    # Validation images (and captions) used during training, to choose the best step.
    "quick_images": 400,
    "pool_size": 100,  # own caption and 99 others; paper 4.1.2
    "repeats": 1,  # images generated for each test image, from as many captions of it
    "samples": zero_or_more(16),  # examples in a sample grid
    "splits": 10,  # parts of the images over which Inception Score varies; [26]
    "folds": 10,  # parts of the images over which R-precision varies
    "kid_subsets": 100,
    "kid_subset_size": 1000,  # generated and as many real images
    # Feature networks of IS, FID and KID, files as of weights; all that are given look.
    "inception_fid": "",  # the ImageNet graph of 2015 that FID is defined by
    "inception_v3": "",  # torchvision's
    "inception_cub": "",  # StackGAN's for CUB, that of the published scores of birds
    # Reference statistics of FID, .npz; "": made from the test images. Of several
    # networks inception_fid's, or the first one's that is given.
    "reference": "",
    # Share of what captions of real images say that a captioner must say again, or
    # choose, to judge generated ones; ours: below half it measures the captioner.
    "mirror_floor": below_one(0.5, zero=True),
    # Of the held-out captioner, toybirds only; 0: none.
    "heldout_steps": zero_or_more(0),
    # Its decoder, which should be of another family than STREAM's.
    "heldout_decoder": one_of("transformer", "lstm", "attention"),
    "heldout_width": 24,  # channels of its trunk's first stage
    "classifier_images": 2000,  # drawn birds for the attribute classifier, toybirds
    "classifier_steps": 500,
}

_WEIGHTS = {
    # Files of weights, .safetensors or PyTorch's .pth (docs/weights.md).
    "inception_v3": "",  # STEM's trunk, torchvision or timm
    "resnet152": "",  # STREAM's trunk, torchvision or timm
    # What stages start from, of AttnGAN's, DM-GAN's (STEM) or MirrorGAN's code; with
    # num_steps = 0 a stage takes it as it is. Several files stand with commas between.
    "text_encoder": "",
    "image_encoder": "",  # DAMSM's, of STEM
    "captioner": "",  # STREAM's CNN and RNN, or one of them
    "generator": "",  # its moving average starts from it too
    "discriminators": "",  # all, or none
    "random": False,  # go on with random backbones where no file is given
    # Workdir of another run whose finished STEM and STREAM are taken; "": this run's.
    "pretrained": "",
    # Which checkpoint of a finished stage the later stages and evaluation take.
    "checkpoint": one_of("latest", "best"),
}

# Every key with its default and what it may be (`settings/rules.py`).
KEYS = {
    "preset": one_of(*PRESETS),
    "seed": zero_or_more(0),
    "dtype": one_of("float32", "bfloat16"),  # of activations
    "matmul_precision": one_of("default", "high", "highest"),
    "compilation_cache": "",  # folder; "" is ~/.cache/mirrorgan_jax/xla
    "mesh": {
        "data": devices(-1),  # along the batch; -1 takes what spatial leaves
        "spatial": 1,  # devices along image rows
        "shard_optimizer": False,  # moments split over data, instead of a copy each
    },
    "data": _DATA,
    "text": _TEXT,
    "stem": _STEM,
    "stream": _STREAM,
    "gan": _GAN,
    "eval": _EVAL,
    "weights": _WEIGHTS,
}
