"""Writes the golden numbers of the trainer: what PyTorch and transformers compute.

    python3 -m venv venv && venv/bin/pip install torch transformers safetensors numpy
    venv/bin/python tests/golden/make.py

Each variant is a tiny Llama trained for 50 steps on drawn tokens. A folder `<variant>/` gets the
weights before the first step, as transformers saves them, the gradients of the first step before
they are clipped, and `golden.json`: the batches, the settings, and the loss and gradient norm of
every step in full precision. One is trained for 200 steps as well, `curve.json`; `golden.rs` beside this reads them. Nothing here knows how the trainer computes: the model is `LlamaForCausalLM` in eager
mode, masks are additive and four-dimensional, the optimizer is `torch.optim.AdamW`.
"""

import json
import math
from pathlib import Path

import torch
from safetensors.torch import save_file
from transformers import LlamaConfig, LlamaForCausalLM

HERE = Path(__file__).parent
STEPS, LONG, ROWS, CONTEXT, VOCABULARY = 50, 200, 4, 24, 72
# The clip lies amid the gradient norms: some steps are scaled and some are not.
PEAK, FLOOR, WARMUP = 3e-3, 0.1, 5
BETAS, EPS, DECAY, CLIP = (0.9, 0.95), 1e-8, 0.1, 1.6

LLAMA3 = {
    "rope_type": "llama3",
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 16,
}
# name, tied head, rotation, documents, weight of the z-loss; width, layers, heads, heads of keys and
# values, head width, feed-forward width
VARIANTS = [
    ("untied", False, {"rope_type": "default"}, False, 0.0, (32, 2, 4, 2, 8, 56)),
    ("tied", True, {"rope_type": "default"}, True, 0.0, (27, 3, 3, 3, 10, 51)),
    ("stretched", False, LLAMA3, True, 1e-2, (42, 1, 6, 2, 12, 36)),
]


# Whose curve is followed for longer.
CURVE = "stretched"


def learning_rate(step: int, steps: int) -> float:
    """Warmup to the peak, then half a cosine that would reach the floor at the last step."""
    if step < WARMUP:
        return PEAK * (step + 1) / (WARMUP + 1)
    done = (step - WARMUP) / (steps - WARMUP)
    return PEAK * (FLOOR + (1 - FLOOR) * 0.5 * (1 + math.cos(math.pi * done)))


def draw_batch(generator: torch.Generator, with_documents: bool) -> dict:
    """Tokens with a pattern that can be learned, some targets ignored, documents of any length."""
    start = torch.randint(0, VOCABULARY, (ROWS, 1), generator=generator)
    stride = torch.randint(1, 4, (ROWS, 1), generator=generator)
    noise = torch.randint(0, 3, (ROWS, CONTEXT + 1), generator=generator)
    text = (start + stride * torch.arange(CONTEXT + 1) + noise) % VOCABULARY
    targets = text[:, 1:].clone()
    targets[torch.rand((ROWS, CONTEXT), generator=generator) < 0.1] = -100
    documents = torch.zeros((ROWS, CONTEXT), dtype=torch.long)
    if with_documents:
        borders = torch.rand((ROWS, CONTEXT), generator=generator) < 0.15
        borders[:, 0] = False
        documents = borders.long().cumsum(1)
    return {"inputs": text[:, :-1], "targets": targets, "documents": documents}


def mask_and_positions(documents: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    same = documents[:, :, None] == documents[:, None, :]
    causal = torch.ones(CONTEXT, CONTEXT, dtype=torch.bool).tril()
    allowed = same & causal
    mask = torch.zeros(ROWS, 1, CONTEXT, CONTEXT)
    mask.masked_fill_(~allowed[:, None], torch.finfo(torch.float32).min)
    # A token's place is the number of tokens before it in its own document.
    return mask, allowed.sum(-1) - 1


def write_variant(name, tied, rope, with_documents, z_loss, dimensions) -> None:
    torch.manual_seed(7)
    width, layers, heads, kv_heads, head_width, ffn = dimensions
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=width,
        intermediate_size=ffn,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=kv_heads,
        head_dim=head_width,
        max_position_embeddings=128,
        rms_norm_eps=1e-5,
        tie_word_embeddings=tied,
        rope_parameters={"rope_theta": 10000.0, **rope},
        initializer_range=0.08,
        attn_implementation="eager",
        bos_token_id=None,
        eos_token_id=None,
    )
    model = LlamaForCausalLM(config).float()
    folder = HERE / name
    model.save_pretrained(folder)
    (folder / "generation_config.json").unlink(missing_ok=True)

    train(model, STEPS, with_documents, z_loss, folder / "golden.json", folder / "grads.safetensors")
    if name == CURVE:
        write_curve(with_documents, z_loss)


def write_curve(with_documents: bool, z_loss: float) -> None:
    folder = HERE / CURVE
    model = LlamaForCausalLM.from_pretrained(folder, attn_implementation="eager").float()
    train(model, LONG, with_documents, z_loss, folder / "curve.json")


def train(model, count: int, with_documents: bool, z_loss: float, golden: Path, grads: Path | None = None) -> None:
    matrices = [p for p in model.parameters() if p.dim() > 1]
    gains = [p for p in model.parameters() if p.dim() == 1]
    groups = [{"params": matrices, "weight_decay": DECAY}, {"params": gains, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=PEAK, betas=BETAS, eps=EPS)

    generator = torch.Generator().manual_seed(11)
    steps = []
    for step in range(count):
        batch = draw_batch(generator, with_documents)
        mask, positions = mask_and_positions(batch["documents"])
        logits = model(batch["inputs"], attention_mask=mask, position_ids=positions).logits
        flat, targets = logits.flatten(0, 1), batch["targets"].flatten()
        loss = torch.nn.functional.cross_entropy(flat, targets, ignore_index=-100)
        z = flat.logsumexp(-1)[targets != -100].square().mean()
        optimizer.zero_grad()
        (loss + z_loss * z).backward()
        if step == 0 and grads:
            save_file({name: p.grad.contiguous() for name, p in model.named_parameters()}, grads)
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP)
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, count)
        optimizer.step()
        numbers = {"loss": loss.item(), "z": z.item(), "grad_norm": norm.item()}
        steps.append({**{key: value.tolist() for key, value in batch.items()}, **numbers})

    written = {
        "z_loss": z_loss,
        "clip": CLIP,
        "lr": {"peak": PEAK, "floor": FLOOR, "warmup_steps": WARMUP},
        "adamw": {"beta1": BETAS[0], "beta2": BETAS[1], "eps": EPS, "weight_decay": DECAY},
        "steps": steps,
    }
    golden.write_text(json.dumps(written, separators=(",", ":")) + "\n")
    print(f"{golden.parent.name}: loss {steps[0]['loss']:.4f} -> {steps[-1]['loss']:.4f}")


if __name__ == "__main__":
    torch.set_num_threads(1)
    for variant in VARIANTS:
        write_variant(*variant)
