"""Ask models: `record` every one about every item, or `run` a policy on one item."""
