"""What a process decides before jax computes."""

import os

import ml_collections
from etils import epath


def set_up(config: ml_collections.ConfigDict) -> None:
    """Sets compile cache and precision as a configuration says."""
    import jax

    # TensorFlow only reads data here and has nothing to say.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
    cache = config.compilation_cache or "~/.cache/mirrorgan_jax/xla"
    jax.config.update("jax_compilation_cache_dir", str(epath.Path(cache).expanduser()))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
    if config.matmul_precision != "default":
        jax.config.update("jax_default_matmul_precision", config.matmul_precision)
