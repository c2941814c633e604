"""Networks of MirrorGAN (paper section 3).

Axes, used in every docstring of the package: `B` global batch, `T` words of a
caption, `D` word and sentence dimension, `V` vocabulary, `H W C` image axes
(NHWC), `Z` noise, `M` visual feature channels, `N = H * W`, `R` image regions,
`K` captions an image. Images are NHWC in [-1, 1]; masks are bool and True marks
a real word; token id 0 is padding.
"""
