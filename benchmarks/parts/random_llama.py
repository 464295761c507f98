"""Llamas with random weights: enough to see that a benchmark of decoding runs."""

from ensemble_lab.models.language import LanguageModel
from tests.support.tiny_llama import CHAT_TEMPLATE, make_tokenizer


def random_llama(seed, layers=12, template=CHAT_TEMPLATE):
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    tokenizer = make_tokenizer(template)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=layers,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=4096,
        initializer_range=0.5,
        eos_token_id=tokenizer.eos_token_id,
        bos_token_id=tokenizer.bos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = LlamaForCausalLM(config).to(torch.bfloat16)
    return LanguageModel(model, tokenizer, f"a Llama of {layers} layers with random weights")
