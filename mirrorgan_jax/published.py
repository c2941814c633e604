"""Numbers of the paper (Tables 1 and 2)."""

# MirrorGAN itself: Inception Score with its deviation, R-precision at 1, 2, 3 in %.
MIRRORGAN = {
    "cub": {
        "inception_score": (4.56, 0.05),
        "r_precision": (57.67, 58.52, 60.42),
    },
    "coco": {
        "inception_score": (26.47, 0.41),
        "r_precision": (74.52, 76.87, 80.21),
    },
}
