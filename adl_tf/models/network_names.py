"""Names of the networks that come with the package; `registry` builds them."""

DECODED = "decoded"
BASELINES = (
    "deeplab_v3_plus_resnet101",
    "deeplab_v3_plus_resnet50",
    "deeplab_v3_plus_resnet26",
    "deeplab_v3_plus_mobilenet_v3_small",
)
NETWORK_NAMES = (DECODED, *BASELINES)
