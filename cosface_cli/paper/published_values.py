"""Values that Wang 2018 (arXiv 1801.09414) reports. Accuracies and rates in 0..1."""

from __future__ import annotations

from collections.abc import Mapping

# training on CASIA-WebFace, section 4.1
IDENTITIES, IMAGES = 10_575, 490_000
BACKBONE = "sphere64"
STEPS, BATCH = 30_000, 512
S, M = 64.0, 0.35
PAIRS, FOLDS = 6_000, 10  # of LFW
FLIP = "concat"

COLUMNS = ("paper_lfw", "paper_ytf", "paper_mf1_rank1", "paper_mf1_verification")


def _row(lfw: float, ytf: float, rank1: float, verification: float) -> Mapping[str, float]:
    return dict(zip(COLUMNS, (lfw, ytf, rank1, verification), strict=True))


NOTHING: Mapping[str, None] = dict.fromkeys(COLUMNS)

# Table 1, by whether features are normalised
TABLE1 = {
    False: _row(0.9910, 0.931, 0.7510, 0.8865),
    True: _row(0.9933, 0.961, 0.7711, 0.8988),
}

# Table 2, by the table's name of the loss
TABLE2 = {
    "Softmax": _row(0.9788, 0.931, 0.5485, 0.6592),
    "Softmax+Contrastive": _row(0.9878, 0.935, 0.6521, 0.7886),
    "Triplet": _row(0.9870, 0.934, 0.6479, 0.7832),
    "L-Softmax": _row(0.9910, 0.940, 0.6712, 0.8042),
    "Softmax+Center": _row(0.9905, 0.944, 0.6549, 0.8014),
    "A-Softmax": _row(0.9942, 0.950, 0.7272, 0.8556),
    "A-Softmax-NormFea": _row(0.9932, 0.954, 0.7542, 0.8882),
    "LMCL": _row(0.9933, 0.961, 0.7711, 0.8988),
}

# Figure 5: the paper gives numbers only for m = 0.35; Table 2 repeats them
FIG5 = {M: TABLE2["LMCL"]}
FIG5_WORDS = "m = 0 is the worst, accuracy rises with m up to 0.35, above 0.45 the training does not converge"

# Eq. 6: lower bound of s for 10,575 identities, by the posterior probability of the class centre
SCALES = {0.9: 11.46, 0.99: 13.86, 0.999: 16.17}
# Eq. 7: upper bound of m for 8 identities in 2 dimensions, "about 0.29"
MARGIN_OF_8 = 0.293
