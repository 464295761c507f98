"""Trees of a head beside its chains, in bfloat16 and in four bits."""

from benchmarks.parts.decoders import ours
from benchmarks.parts.paired import by_kind, over_kinds, quickest
from benchmarks.parts.speculating import FEWER, PAIRS, timed

KINDS = ("chat", "question")  # where a lookup finds little
# As many trees as chains. Of more tokens, those that `best_shape` finds for the head's hits.
TREES = ((-1, -1, 0), (-1, -1, -1, 0, 0), (-1, -1, 0, 0, 1), (-1, -1, 0, 1, 2))
CHAINS = {f"a chain of {n}": n for n in (1, 2, 3)} | {"a chain whose length adapts": None}


def tree_vs_chain(bench):
    """The record; a larger number than 1 in four bits would say that trees pay there too."""
    tree, chain = trees_and_chains(bench, bench.target, PAIRS)
    few, few_chain = trees_and_chains(bench, bench.four_bits, 2)
    more = {
        "draft": f"head, a tree with parents {tree[0]}",
        "ratio_in_four_bits": over_kinds(by_kind(few[1], few_chain[1]), "ratio"),
    }
    peer_is = f"the same head, {chain[0]}, the quickest of {len(CHAINS)}"
    return bench.compared("tree-vs-chain", tree[1], chain[1], "at least 1.05", peer_is, **more)


def trees_and_chains(bench, model, pairs):
    """The quickest tree and the quickest chain: the name and the runs of each."""
    from ensemble_lab.tokens import DraftTree, FeatureHead

    draft = bench.draft if bench.quick else FeatureHead.load("smollm2", model)
    trees = {
        str(shape): (ours(model, DraftTree(draft, shape), len(shape)), pairs) for shape in TREES
    }
    chains = {name: (ours(model, draft, gamma), pairs) for name, gamma in CHAINS.items()}
    prompts = {kind: bench.prompts[kind] for kind in KINDS if kind in bench.prompts}
    over = prompts or bench.prompts
    runs = timed(trees | chains, over, 0.0, bench.quick, "trees and chains", FEWER)
    of_both = ({name: runs[name] for name in some} for some in (trees, chains))
    return [(best := quickest(some), some[best]) for some in of_both]
