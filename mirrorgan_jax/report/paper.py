"""Numbers of the paper: Tables 1 to 3, as printed.

An Inception Score is (mean, deviation over its splits); an R-precision is in %.
"""

DATASETS = ("cub", "coco")

# Table 1: {model: {data set: (mean, deviation)}}; the paper leaves out the others.
INCEPTION_SCORE = {
    "GAN-INT-CLS": {"cub": (2.88, 0.04), "coco": (7.88, 0.07)},
    "GAWWN": {"cub": (3.62, 0.07)},
    "StackGAN": {"cub": (3.70, 0.04), "coco": (8.45, 0.03)},
    "StackGAN++": {"cub": (3.82, 0.06)},
    "PPGN": {"coco": (9.58, 0.21)},
    "AttnGAN": {"cub": (4.36, 0.03), "coco": (25.89, 0.47)},
    # On CUB 4.56 here and 4.54 +- 0.17 for the same model in Table 3.
    "MirrorGAN": {"cub": (4.56, 0.05), "coco": (26.47, 0.41)},
}

# Table 2: {model: {data set: R-precision at 1, 2 and 3}}.
R_PRECISION = {
    "AttnGAN": {"cub": (53.31, 54.11, 54.36), "coco": (72.13, 73.21, 76.53)},
    "MirrorGAN": {"cub": (57.67, 58.52, 60.42), "coco": (74.52, 76.87, 80.21)},
}

# Table 3: {(global attention, lambda): {data set: (Inception Score, top-1)}}. The row
# of lambda 5 is odd: on CUB its R-precision, 32.07 %, is below that of the model with
# neither STREAM nor global attention, 39.09 %.
ABLATION = {
    (False, 0): {
        "cub": ((3.91, 0.09), 39.09),
        "coco": ((19.01, 0.42), 50.69),
    },
    (False, 20): {
        "cub": ((4.47, 0.07), 55.67),
        "coco": ((25.99, 0.41), 73.28),
    },
    (True, 5): {
        "cub": ((4.01, 0.06), 32.07),
        "coco": ((21.85, 0.43), 52.55),
    },
    (True, 10): {
        "cub": ((4.30, 0.07), 43.21),
        "coco": ((24.11, 0.31), 63.40),
    },
    # The text of section 4.3 says 26.21 for the Inception Score on COCO.
    (True, 20): {
        "cub": ((4.54, 0.17), 57.67),
        "coco": ((26.47, 0.41), 74.52),
    },
}

# The proposed model: {data set: {measure: values}}.
MIRRORGAN = {
    dataset: {
        "inception_score": INCEPTION_SCORE["MirrorGAN"][dataset],
        "r_precision": R_PRECISION["MirrorGAN"][dataset],
    }
    for dataset in DATASETS
}
