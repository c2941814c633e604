"""Every setting of MirrorGAN once, with its unit and source; presets and checks.

`base_config(preset)` holds every key; files in `configs/` change a few of them;
`validate` is called before anything slow starts. A preset decides the keys in
which the paper and the authors' released code differ: "paper" is Eq. 3-11,
"reference" is what the released code computes.
"""

import ml_collections

from mirrorgan_jax.settings import checks

PRESETS = ("paper", "reference")
STAGES = ("stem", "stream", "gan")

# The keys in which the presets differ: key, paper, reference.
_PRESET_KEYS = (
    ("gan.sentence_conv", False, True),
    ("gan.adversarial_scale", 0.5, 1.0),
    ("gan.discriminator_weighting", "half", "mean"),
    ("gan.wrong_pairs", False, True),
    ("gan.lambda_stream", 20.0, 10.0),
    ("gan.ema_batch_stats", True, False),
    ("stem.reset_adam_every_epoch", False, True),
    ("stem.align_corners", False, True),
    ("stream.input_norm", "imagenet", "raw"),
    ("stream.align_corners", False, True),
)


def _data():
    c = ml_collections.ConfigDict()
    c.name = "toybirds"  # toybirds | cub | folder
    c.root = ""  # folder of prepared data sets; "" is ~/.cache/mirrorgan_jax/data
    c.source = ""  # folder of the raw data (cub), folder or zip (folder)
    c.image_size = 64  # pixels of a drawn bird, toybirds only
    c.train_images_per_species = 18  # toybirds only
    c.test_images_per_species = 12  # toybirds only
    # MiB of memory for the pictures of a split that are kept resized; larger splits
    # are decoded every epoch; 0: always.
    c.cache_mib = 512
    return c


def _text():
    c = ml_collections.ConfigDict()
    c.num_words = 18  # words of a caption in training; paper 4.1.3
    c.eval_words = 25  # words of a caption in evaluation; released eval settings
    return c


def _common(c, log, save):
    """Keys that every stage has, after its own.

    The cadences are in steps; the last step always does all of them.
    """
    c.accumulate = 1  # parts into which a batch is cut to save memory
    # How learning rates follow the batch size: none | sqrt | linear, as multiples of
    # what they are at lr_rule_batch.
    c.lr_rule = "none"
    c.lr_rule_batch = c.batch_size
    c.log_every_steps = log
    c.checkpoint_every_steps = save
    c.eval_every_steps = save
    return c


def _stem():
    c = ml_collections.ConfigDict()
    c.image_size = 299  # pixels of the crops that DAMSM sees; AttnGAN
    c.cell = "lstm"  # lstm | gru
    c.embed_dim = 300  # of a word's table entry; AttnGAN
    c.word_dim = 256  # D; paper 4.1.3
    c.dropout = 0.5  # of embedded words in training; AttnGAN
    c.encoder = "inception_v3"  # image tower: inception_v3 | small
    c.encoder_width = 16  # channels of the small tower's first stage
    c.region_size = 8  # side of the small tower's map of regions
    c.train_trunk = False  # the small tower needs True
    c.align_corners = False  # preset; of the resize to 299
    c.gamma1, c.gamma2, c.gamma3 = 4.0, 5.0, 10.0  # AttnGAN section 4
    c.batch_size = 48  # AttnGAN, birds
    c.num_steps = 110_000  # 600 epochs of CUB at batch 48; AttnGAN
    c.learning_rate = 2e-3  # AttnGAN, birds
    c.schedule = "epoch_decay"  # constant | epoch_decay | one_cycle
    c.decay_per_epoch = 0.98  # of epoch_decay, down to a tenth; AttnGAN
    c.adam_b1, c.adam_b2 = 0.5, 0.999  # AttnGAN
    c.reset_adam_every_epoch = False  # preset
    c.clip_norm = 0.25  # of the text encoder's gradient only; AttnGAN
    # Of the image tower, in GAN training too: none | convolutions | blocks.
    c.remat = "none"
    return _common(c, 50, 2000)


def _stream():
    c = ml_collections.ConfigDict()
    c.image_size = 256  # pixels of the crops
    c.encoder = "resnet152"  # resnet152 | small
    c.encoder_width = 16  # channels of the small trunk's first stage
    c.train_trunk = False  # the small trunk needs True
    c.trunk_from_stem = False  # start the small trunk from STEM's image tower
    c.input_size = 224  # pixels that the trunk sees; 0 keeps the image's own
    c.input_norm = "imagenet"  # preset; imagenet | raw
    c.align_corners = False  # preset; of the resize to input_size
    c.feature_dim = 256  # of the image feature and the word table; released code
    c.hidden_dim = 512  # of the decoder LSTM; released code
    c.num_layers = 1  # released code
    c.batch_size = 128
    c.num_steps = 20_000
    c.learning_rate = 1e-3  # the captioning code that the authors name
    c.schedule = "constant"  # constant | one_cycle
    c.adam_b1, c.adam_b2 = 0.9, 0.999
    c.caption_reduction = "mean"  # mean | sum over words, Eq. 8
    c.remat = "none"  # of the trunk, in GAN training too: none | convolutions | blocks
    # Nats a word by which captions must fit their own image better than a
    # shuffled one before GAN training starts; below it STREAM ignores the image.
    # 0 switches this gate off.
    c.gate_margin = 0.05
    return _common(c, 50, 2000)


def _gan():
    c = ml_collections.ConfigDict()
    c.stages = 3  # m, 1 to 3; paper 4.1.3
    c.base_size = 64  # pixels of stage 0: 8 | 16 | 32 | 64; later stages double
    c.ngf = 32  # M_i, generator channels; paper 4.1.3
    c.ndf = 64  # discriminator channels; released code
    c.z_dim = 100  # noise; released code
    c.condition_dim = 100  # D', augmented sentence; paper 4.1.3
    c.num_residual = 2  # residual blocks of a later stage; released code
    c.word_attention = True  # Eq. 4
    c.sentence_attention = True  # Eq. 5
    # Augmented sentence joined to every pixel of later stages; StackGAN++.
    c.condition_context = False
    c.sentence_softmax_axis = "channel"  # channel | spatial, Eq. 5 prints none
    c.sentence_conv = False  # preset; 1x1 conv before Eq. 5's softmax
    c.d_norm = "batch"  # batch | spectral | none
    c.d_sentence_dim = 0  # sentence projected to this in D; 0: joined as it is
    c.batch_size = 12  # released code, birds
    c.num_steps = 480_000  # 650 epochs of CUB at batch 12; released code
    c.g_learning_rate = 2e-4  # released code
    c.d_learning_rate = 2e-4  # released code
    c.adam_b1, c.adam_b2 = 0.5, 0.999  # released code
    c.adversarial_scale = 0.5  # preset; factor of each term of Eq. 7
    c.discriminator_weighting = "half"  # preset; half (Eq. 10) | mean
    c.wrong_pairs = False  # preset; image i with sentence i + 1 as a fake
    c.lambda_stream = 20.0  # preset; lambda of Eq. 9
    c.caption_reduction = "mean"  # mean | sum over words, Eq. 8
    c.lambda_damsm = 0.0  # of DAMSM in L_G; AttnGAN: 5 on CUB, 50 on COCO
    c.kl_weight = 1.0  # of the conditioning augmentation; StackGAN
    # Images in which the generator's moving average forgets half; released code: a
    # decay of 0.999 a step at batch 12.
    c.ema_half_life = 8314.0
    c.ema_batch_stats = True  # preset; average the statistics too
    # What the backward pass computes again instead of keeping: none | convolutions
    # (their results are kept, not what follows them) | blocks (only their inputs).
    c.generator_remat = "none"
    c.discriminator_remat = "none"
    c.sample_every_steps = 5000
    return _common(c, 50, 5000)


def _eval():
    c = ml_collections.ConfigDict()
    c.batch_size = 50
    c.num_images = 0  # test images (and captions) used at the end; 0: all
    c.quick_images = 400  # the same during training, to choose the best step
    c.pool_size = 100  # own caption and 99 others; paper 4.1.2
    c.repeats = 1  # images generated for each test image, from as many captions of it
    c.samples = 16  # examples in a sample grid
    c.splits = 10  # parts of the images over which Inception Score varies; [26]
    c.folds = 10  # parts of the images over which R-precision varies
    c.kid_subsets = 100
    c.kid_subset_size = 1000  # generated and as many real images
    c.inception = ""  # feature network of IS, FID and KID, .safetensors
    # Which network that is: inception_v3 | inception_fid | inception_cub.
    c.inception_kind = "inception_fid"
    # Reference statistics of FID, .npz; "": made from the test images.
    c.reference = ""
    c.heldout_steps = 0  # of the held-out captioner, toybirds only; 0: none
    c.heldout_width = 24  # channels of its trunk's first stage
    c.classifier_images = 2000  # drawn birds for the attribute classifier, toybirds
    c.classifier_steps = 500
    return c


def _weights():
    c = ml_collections.ConfigDict()
    c.inception_v3 = ""  # STEM's trunk, .safetensors, torchvision or timm names
    c.resnet152 = ""  # STREAM's trunk, .safetensors, torchvision or timm names
    c.random = False  # go on with random backbones where no file is given
    # Workdir of another run whose finished STEM and STREAM are taken; "": this run's.
    c.pretrained = ""
    # Which checkpoint of a finished stage the later stages and evaluation take.
    c.checkpoint = "latest"  # latest | best
    return c


def base_config(preset="paper"):
    """The full configuration.

    Args:
      preset: "paper" (Eq. 3-11) or "reference" (the authors' released code).

    Returns:
      A `ConfigDict` with every key that exists.

    Raises:
      ValueError: an unknown preset.
    """
    if preset not in PRESETS:
        raise ValueError(f"preset = {preset!r}: allowed are {', '.join(PRESETS)}")
    c = ml_collections.ConfigDict()
    c.preset = preset
    c.seed = 0
    c.dtype = "float32"  # of activations: float32 | bfloat16
    c.matmul_precision = "default"  # default | high | highest
    c.compilation_cache = ""  # folder; "" is ~/.cache/mirrorgan_jax/xla
    c.mesh = ml_collections.ConfigDict()
    c.mesh.data = -1  # devices along the batch; -1 takes what spatial leaves
    c.mesh.spatial = 1  # devices along image rows
    c.mesh.shard_optimizer = False  # moments split over data, instead of a copy each
    c.data, c.text = _data(), _text()
    c.stem, c.stream, c.gan = _stem(), _stream(), _gan()
    c.eval, c.weights = _eval(), _weights()
    for key, *values in _PRESET_KEYS:
        group, name = key.split(".")
        c[group][name] = values[PRESETS.index(preset)]
    return c


def stage_sizes(gan):
    """Image sizes of the generator's stages, coarse to fine."""
    return tuple(gan.base_size * 2**i for i in range(gan.stages))


def validate(config, *, num_devices=1, stages=STAGES, reads_data=True):
    """Checks a resolved configuration before anything slow starts.

    Args:
      config: what `base_config` returned, changed at will.
      num_devices: devices that the mesh will hold.
      stages: those that will be trained: their batches must fit the mesh.
      reads_data: whether a data set will be read.

    Raises:
      ValueError: every wrong key with its value and what is allowed, one a line.
    """
    problems = [*checks.value_problems(config, PRESETS, STAGES)]
    if not problems:
        sizes = stage_sizes(config.gan)
        problems = [*checks.relation_problems(config, STAGES, sizes)]
        if reads_data:
            problems += checks.source_problems(config)
    if not problems:
        spatial = config.mesh.spatial
        data = config.mesh.data if config.mesh.data > 0 else num_devices // spatial
        if data * spatial != num_devices:
            problems.append(
                f"config.mesh.data = {config.mesh.data}, mesh.spatial = {spatial}:"
                f" their product must be the number of devices, {num_devices}"
            )
        for stage in stages:
            c = config[stage]
            if data and c.batch_size % (data * c.accumulate):
                problems.append(
                    f"config.{stage}.batch_size = {c.batch_size}: allowed are"
                    f" multiples of the mesh's data axis, {data}, times"
                    f" {stage}.accumulate, {c.accumulate}"
                )
    if problems:
        raise ValueError("the configuration is wrong:\n  " + "\n  ".join(problems))
