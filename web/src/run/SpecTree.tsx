// The whole spec with every default written out, laid out as YAML and foldable.

import { showNumber } from '../lib/values';

export function SpecTree({ spec }: { spec: object }) {
  return (
    <section className="stack" aria-label="Spec">
      <h2>
        Spec <span className="muted">every default written out</span>
      </h2>
      <div className="spec panel">
        {Object.entries<unknown>({ ...spec }).map(([key, value]) => (
          <Node key={key} name={key} value={value} />
        ))}
      </div>
    </section>
  );
}

function Node({ name, value }: { name: string; value: unknown }) {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) {
    const entries = Object.entries<unknown>({ ...value });
    if (0 < entries.length) {
      return (
        <details open>
          <summary>
            <span className="key">{name}</span>:
          </summary>
          {entries.map(([key, inner]) => (
            <Node key={key} name={key} value={inner} />
          ))}
        </details>
      );
    }
  }
  return (
    <div className="leaf">
      <span className="key">{name}</span>: <Leaf value={value} />
    </div>
  );
}

function Leaf({ value }: { value: unknown }) {
  if (typeof value === 'number') return <span className="yaml-number">{showNumber(value)}</span>;
  if (typeof value === 'string') return <span className="yaml-text">{value === '' ? "''" : value}</span>;
  if (Array.isArray(value)) return <span className="yaml-number">[{value.map(String).join(', ')}]</span>;
  return <span className="muted">{JSON.stringify(value)}</span>;
}
