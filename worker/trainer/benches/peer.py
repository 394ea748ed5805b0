"""Hugging Face's Llama in PyTorch, f32 or under bf16 autocast, on the CPU: the peer of the benchmark `tokens`.

Reads one case a line from stdin, as JSON, and answers each with one line of JSON:

    {"config": {...}, "rows": 8, "context": 256, "threads": 1, "compile": false, "bf16": false, "seconds": 2}
    {"tokens_per_second": 1970.3, "peak_bytes": 812345678}

A case measures whole steps: forward, backward, clipping, fused AdamW. The best of three rounds counts.
A process of its own for each case, so that the peak of one is not that of another.
"""

import json
import multiprocessing
import resource
import sys
import time


def measure(case: dict) -> dict:
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.set_num_threads(case["threads"])
    torch.manual_seed(1)
    config = LlamaConfig(**case["config"], attn_implementation="sdpa", use_cache=False)
    model = LlamaForCausalLM(config).float().train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, betas=(0.9, 0.95), weight_decay=0.1, fused=True)
    loss_of = model
    if case["compile"]:
        loss_of = torch.compile(model)
    rows, context = case["rows"], case["context"]
    text = torch.arange(rows * (context + 1)).square().mul(31).remainder(config.vocab_size).view(rows, -1)
    inputs, targets = text[:, :-1].contiguous(), text[:, 1:].contiguous()

    def step():
        with torch.autocast("cpu", torch.bfloat16, enabled=case["bf16"]):
            logits = loss_of(input_ids=inputs).logits
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1).float(), targets.flatten())
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    for _ in range(2):
        step()
    best = 0.0
    for _ in range(3):
        begin, steps = time.perf_counter(), 0
        while time.perf_counter() - begin < case["seconds"] / 3:
            step()
            steps += 1
        best = max(best, steps * rows * context / (time.perf_counter() - begin))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {"tokens_per_second": best, "peak_bytes": peak}


def main():
    context = multiprocessing.get_context("spawn")
    for line in sys.stdin:
        with context.Pool(1) as pool:
            print(json.dumps(pool.apply(measure, (json.loads(line),))), flush=True)


if __name__ == "__main__":
    main()
