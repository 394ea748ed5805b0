export function Progress({ step, steps }: { step: number; steps: number }) {
  if (steps === 0) return <span className="progress muted">{step === 0 ? '–' : step}</span>;
  const share = Math.min(step / steps, 1);
  return (
    <span className="progress">
      <span>
        {step.toLocaleString('en')}
        <span className="muted"> / {steps.toLocaleString('en')}</span>
      </span>
      <span className="bar" aria-hidden="true">
        <i style={{ width: `${share * 100}%` }} data-full={share === 1 || undefined} />
      </span>
    </span>
  );
}
