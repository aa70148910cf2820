/** Results as a Markdown page; the tables also read well as plain text. */
import type { CellResult, LoadResults } from './load.js';

/** Ends with a newline. */
export function formatMarkdown(results: LoadResults & { name?: string }): string {
  const { model, endpoint, inputs, startedAt, partial } = results;
  const lines = [
    `# ${results.name ?? model}`,
    '',
    ...(partial ? ['**Partial: the load was ended before everything was measured.**', ''] : []),
    `Model \`${model}\` at ${endpoint}; ${inputs}.`,
    `${howMeasured(results)} Started ${startedAt}.`,
    '',
    ...formatCells(results),
    ...formatErrors(results.cells),
  ];
  return `${lines.join('\n').trimEnd()}\n`;
}

function howMeasured({
  warmupIterations,
  benchmarkRequests,
  benchmarkDurationS,
  repeats,
}: LoadResults): string {
  const limits = [
    ...(benchmarkRequests === null ? [] : [plural(benchmarkRequests, 'request')]),
    ...(benchmarkDurationS === null ? [] : [`${benchmarkDurationS} s`]),
  ];
  const times = repeats === 1 ? '' : `, ${repeats} times, interleaved; rates are medians`;
  return `Each row: ${plural(warmupIterations, 'request')} to warm up, then ${limits.join(' or ')}${times}.`;
}

function plural(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`;
}

/** The lines of the table alone. */
export function formatCells({ cells }: Pick<LoadResults, 'cells'>): string[] {
  if (cells.length === 0) return ['Nothing was measured.'];
  return formatTable(columns, cells);
}

interface Column {
  title: string;
  cell: (result: CellResult) => string;
}

const columns: Column[] = [
  { title: 'batch', cell: ({ batchSize }) => String(batchSize) },
  { title: 'callers', cell: ({ concurrency }) => String(concurrency) },
  { title: 'requests', cell: ({ requests, partial }) => `${requests}${partial ? ' (partial)' : ''}` },
  { title: 'errors', cell: ({ errors }) => String(errors) },
  { title: 'requests/s', cell: ({ requestsPerS }) => rate(requestsPerS) },
  { title: 'items/s', cell: ({ itemsPerS }) => rate(itemsPerS) },
  ...(['avg', 'p50', 'p90', 'p95', 'p99', 'max'] as const).map((key, index) => ({
    title: index === 0 ? 'ms avg' : key,
    cell: ({ latencyMs }: CellResult) => (latencyMs ? milliseconds(latencyMs[key]) : '-'),
  })),
];

function rate(perSecond: number): string {
  return perSecond >= 100 ? perSecond.toFixed(0) : perSecond.toFixed(1);
}

function milliseconds(value: number): string {
  return value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2);
}

/** Numbers to the right, as Markdown and as text. */
function formatTable(shown: readonly Column[], cells: readonly CellResult[]): string[] {
  const rows = [
    shown.map(({ title }) => title),
    ...cells.map((cell) => shown.map((column) => column.cell(cell))),
  ];
  const widths = shown.map((_, index) => Math.max(...rows.map((row) => row[index]?.length ?? 0)));
  const [header = '', ...body] = rows.map(
    (row) => `| ${row.map((cell, index) => cell.padStart(widths[index] ?? 0)).join(' | ')} |`,
  );
  const rule = `| ${widths.map((width) => `${'-'.repeat(Math.max(1, width - 1))}:`).join(' | ')} |`;
  return [header, rule, ...body];
}

function formatErrors(cells: readonly CellResult[]): string[] {
  const lines = cells.flatMap(({ batchSize, concurrency, errorsByStatus }) =>
    errorsByStatus.map(
      ({ status, count, firstMessage }) =>
        `- batch ${batchSize}, ${plural(concurrency, 'caller')}: ${count} x ${status}, first: ${firstMessage}`,
    ),
  );
  return lines.length === 0 ? [] : ['', 'Errors:', ...lines];
}
