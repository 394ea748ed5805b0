/** What a new sweep begins with: small enough for a laptop. */
export const EXAMPLE = `assay: v1
sweep: my-first-sweep
design: grid            # every combination of the axes

base:                   # one whole run; an axis overrides a path in it
  model: {preset: llama-1m}
  tokenizer: bytes
  data:
    sources:
      general: {path: data/general.jsonl}
      commerce: {path: data/commerce.jsonl, group_by: product_id}
    mixture: {general: 0.5, commerce: 0.5}
  train:
    tokens: 100k
    context: 256
    batch: 2k
    lr: {peak: 1e-3, schedule: wsd, warmup: 2%}

axes:
  lr: [3e-4, 1e-3, 3e-3]
  mix.commerce: [0.25, 0.75]

limits: {epochs: 4}
`;
