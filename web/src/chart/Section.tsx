import type { Metric, Section as SectionInfo } from '../lib/metrics';
import { plural } from '../lib/format';
import { MetricChart, type ChartContext } from './MetricChart';

interface Props {
  section: SectionInfo;
  metrics: Metric[];
  context: ChartContext;
}

/** Charts that belong together, folded away with their place in the URL. */
export function Section({ section, metrics, context }: Props) {
  const { view, change } = context;
  const isOpen = view.open.includes(section.id);
  const toggle = () =>
    change({
      open: isOpen ? view.open.filter((id) => id !== section.id) : [...view.open, section.id],
    });
  return (
    <section className="charts" aria-label={section.title}>
      <h2>
        <button type="button" className="fold" aria-expanded={isOpen} onClick={toggle}>
          {section.title}
        </button>
        <span className="muted">{isOpen ? section.hint : plural(metrics.length, 'chart')}</span>
      </h2>
      {isOpen && (
        <div className="chart-grid" data-section={section.id}>
          {metrics.map((metric) => (
            <MetricChart key={metric.name} metric={metric} context={context} />
          ))}
        </div>
      )}
    </section>
  );
}
