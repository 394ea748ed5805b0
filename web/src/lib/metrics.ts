// What the names of series mean: where they are drawn, what they are called, which way is better.

export type Better = 'lower' | 'higher';

export interface Metric {
  name: string;
  title: string;
  /** What the number is, beside the title. */
  unit: string;
  section: SectionId;
  /** None: it is no result (a learning rate, a speed). */
  better: Better | undefined;
}

export type SectionId = 'heldout' | 'tasks' | 'training' | 'slices' | 'loss' | 'system' | 'other';

export interface Section {
  id: SectionId;
  title: string;
  /** Why one would look. */
  hint: string;
  isOpen: boolean;
}

/** In the order of the page: what compares across mixtures first. */
export const SECTIONS: readonly Section[] = [
  {
    id: 'heldout',
    title: 'Held-out bits per byte',
    hint: 'Documents no run trains on, the same for all. Lower is better.',
    isOpen: true,
  },
  {
    id: 'tasks',
    title: 'Tasks',
    hint: 'Questions scored by log-likelihood. Higher is better.',
    isOpen: true,
  },
  {
    id: 'training',
    title: 'Training',
    hint: 'Not comparable across mixtures: each run sees other text.',
    isOpen: true,
  },
  {
    id: 'slices',
    title: 'Held-out slices',
    hint: 'The same, by the value of a field.',
    isOpen: false,
  },
  { id: 'loss', title: 'Held-out loss', hint: 'Nats per token.', isOpen: false },
  {
    id: 'system',
    title: 'System',
    hint: 'What the worker takes of its machine.',
    isOpen: false,
  },
  { id: 'other', title: 'Other series', hint: '', isOpen: false },
];

const UNITS: Partial<Record<string, string>> = {
  bits_per_byte: 'bits per byte',
  loss: 'nats per token',
  acc: 'accuracy',
  acc_norm: 'accuracy, by length',
};

const TRAINING: Partial<Record<string, [title: string, unit: string]>> = {
  loss: ['Loss', 'nats per token'],
  lr: ['Learning rate', ''],
  grad_norm: ['Gradient norm', 'before clipping'],
  tokens_per_second: ['Speed', 'tokens per second'],
  param_norm: ['Parameter norm', ''],
  update_norm: ['Update norm', ''],
  skipped: ['Skipped steps', 'so far'],
};

const SYSTEM: Partial<Record<string, [title: string, unit: string]>> = {
  cpus: ['Processors', 'in use by the worker'],
  memory_bytes: ['Memory', 'resident bytes of the worker'],
  disk_free_bytes: ['Disk', 'bytes free beside the checkpoints'],
  load: ['Load', 'processes of the machine that want to run'],
  gpu_utilization: ['GPU', 'share of the time in which a kernel ran'],
  gpu_memory_bytes: ['GPU memory', 'bytes in use'],
  gpu_power_watts: ['GPU power', 'watts'],
  gpu_celsius: ['GPU temperature', 'degrees Celsius'],
  gpu_throttled: ['GPU throttled', '1: slowed down by heat or for want of power'],
  gpu_ecc_errors: ['GPU memory errors', 'uncorrected, since the driver was loaded'],
};

export function describe(name: string): Metric {
  const parts = name.split('/');
  const last = parts.at(-1) ?? name;
  const unit = UNITS[last] ?? last.replaceAll('_', ' ');
  if (parts[0] === 'heldout' && parts.length === 4) {
    const section = last === 'bits_per_byte' ? 'slices' : 'other';
    return { name, title: `${parts[1]} · ${parts[2]}`, unit, section, better: 'lower' };
  }
  if (parts[0] === 'heldout' && parts.length === 3) {
    const section = last === 'bits_per_byte' ? 'heldout' : last === 'loss' ? 'loss' : 'other';
    return { name, title: parts[1], unit, section, better: 'lower' };
  }
  if (parts[0] === 'task' && parts.length === 3) {
    const better = /loss|bits|perplexity/.test(last) ? 'lower' : 'higher';
    return { name, title: parts[1], unit, section: 'tasks', better };
  }
  if (parts[0] === 'train' && parts.length === 2) {
    const [title, of] = TRAINING[last] ?? [last.replaceAll('_', ' '), ''];
    const better = last === 'loss' ? 'lower' : undefined;
    return { name, title, unit: of, section: 'training', better };
  }
  if (parts[0] === 'system' && parts.length === 2) {
    const [title, of] = SYSTEM[last] ?? [last.replaceAll('_', ' '), ''];
    return { name, title, unit: of, section: 'system', better: undefined };
  }
  return { name, title: name, unit: '', section: 'other', better: undefined };
}

const FIRST = ['loss', 'lr', 'grad_norm', 'tokens_per_second', 'acc', 'acc_norm'];

/** The charts of each section, in order; sections without series are left out. */
export function sectionsOf(names: readonly string[]): { section: Section; metrics: Metric[] }[] {
  const metrics = names.map(describe);
  const place = ({ name }: Metric) => {
    const index = FIRST.indexOf(name.split('/').at(-1) ?? '');
    return index < 0 ? FIRST.length : index;
  };
  return SECTIONS.map((section) => ({
    section,
    metrics: metrics
      .filter((metric) => metric.section === section.id)
      .sort((a, b) =>
        section.id === 'training'
          ? place(a) - place(b) || a.name.localeCompare(b.name, 'en')
          : a.title.localeCompare(b.title, 'en') || place(a) - place(b),
      ),
  })).filter(({ metrics: found }) => 0 < found.length);
}

/** What the run table shows: results, not slices; training loss last. */
export function tableMetrics(names: readonly string[]): Metric[] {
  const order: SectionId[] = ['heldout', 'tasks', 'training'];
  return names
    .map(describe)
    .filter(({ section, better }) => order.includes(section) && better !== undefined)
    .sort(
      (a, b) =>
        order.indexOf(a.section) - order.indexOf(b.section) || a.name.localeCompare(b.name, 'en'),
    );
}
