"""Hugging Face's Llama in PyTorch under torch.compile, on a GPU: the peer of the benchmark `gpu`.

Takes one case as JSON, and prints one line of JSON:

    {"config": {...}, "rows": 1, "context": 4096, "parts": 8, "kind": "autocast"}

A step is `parts` micro-batches forward and backward, clipping, and fused AdamW; the median of three counts, after
two to compile and to warm up. `autocast` keeps f32 weights, gradients and moments, as our engine does in its own
way; `bf16` keeps everything in bf16, which is faster and loses small updates.

`{"kind": "attention", "queries": 32, "keys": 8, "width": 128, "rows": 1, "context": 4096, "times": 10}` asks for causal attention
alone, by each implementation that PyTorch has for it.
"""

import json
import statistics
import sys
import time

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import scaled_dot_product_attention
from transformers import LlamaConfig, LlamaForCausalLM


def mean_seconds(times, run):
    for _ in range(2):
        run()
    begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    begin.record()
    for _ in range(times):
        run()
    end.record()
    torch.cuda.synchronize()
    return begin.elapsed_time(end) / 1e3 / times


def attention(case):
    rows, context, width = case["rows"], case["context"], case["width"]
    found = {}
    for name in ("FLASH_ATTENTION", "CUDNN_ATTENTION"):
        q, k, v = (
            torch.randn(rows, heads, context, width, device="cuda", dtype=torch.bfloat16, requires_grad=True)
            for heads in (case["queries"], case["keys"], case["keys"])
        )
        with sdpa_kernel([getattr(SDPBackend, name)]):
            def run():
                return scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)

            out = run()
            upstream = torch.randn_like(out)

            def back():
                return torch.autograd.grad(out, (q, k, v), upstream, retain_graph=True)

            forward, backward = mean_seconds(case["times"], run), mean_seconds(case["times"], back)
        found[name] = {"forward_us": forward * 1e6, "backward_us": backward * 1e6}
    print(json.dumps(found))


def main():
    case = json.loads(sys.argv[1])
    if case["kind"] == "attention":
        attention(case)
        return
    is_autocast = case["kind"] == "autocast"
    torch.manual_seed(1)
    torch.set_float32_matmul_precision("high")
    config = LlamaConfig(**case["config"], attn_implementation="sdpa", use_cache=False)
    torch.set_default_device("cuda")
    torch.set_default_dtype(torch.float32 if is_autocast else torch.bfloat16)
    model = LlamaForCausalLM(config).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5, betas=(0.9, 0.95), weight_decay=0.1, fused=True)
    rows, context, parts = case["rows"], case["context"], case["parts"]
    text = torch.randint(0, config.vocab_size, (parts, rows, context + 1))

    @torch.compile
    def loss_of(inputs, targets):
        with torch.autocast("cuda", torch.bfloat16, enabled=is_autocast):
            logits = model(input_ids=inputs).logits
        return torch.nn.functional.cross_entropy(logits.flatten(0, 1).float(), targets.flatten())

    def step():
        for part in text:
            (loss_of(part[:, :-1].contiguous(), part[:, 1:].contiguous()) / parts).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    times = []
    for number in range(5):
        torch.cuda.synchronize()
        begin = time.perf_counter()
        step()
        torch.cuda.synchronize()
        if 2 <= number:
            times.append(time.perf_counter() - begin)
    seconds = statistics.median(times)
    tokens = parts * rows * context
    peak = torch.cuda.max_memory_allocated() / 1e9
    print(json.dumps({"tokens_per_second": tokens / seconds, "step_seconds": seconds, "peak_gb": peak}))


if __name__ == "__main__":
    main()
