/**
 * What `supervisor --help` prints. Written here and not by yargs, whose loading takes longer than everything else
 * that a person who asks for help waits for.
 */

export interface Described {
  command?: unknown;
  describe?: unknown;
}

export interface GlobalOption {
  alias?: string;
  describe: string;
}

export interface OverviewParts {
  commands: readonly Described[];
  options: Readonly<Record<string, GlobalOption>>;
  /** Width of the terminal in characters. */
  width: number;
}

const FINAL_LINE = 'The options of a command: supervisor <command> --help';

export function formatOverview({ commands, options, width }: OverviewParts): string {
  const commandRows = commands.map(({ command, describe }) => [String(command), String(describe)] as const);
  const optionRows = Object.entries(options).map(
    ([name, { alias, describe }]) =>
      [`${alias === undefined ? '' : `-${alias}, `}--${name}`, describe] as const,
  );
  const indent = Math.max(...[...commandRows, ...optionRows].map(([term]) => term.length));
  const section = (title: string, rows: readonly (readonly [string, string])[]) =>
    `${title}:\n${rows.map((row) => formatRow(row, indent, width)).join('')}`;
  return [
    'supervisor <command>: runs GPU inference workers and leaves nothing behind\n',
    section('Commands', commandRows),
    section('Options', optionRows),
    `${FINAL_LINE}\n`,
  ].join('\n');
}

function formatRow([term, text]: readonly [string, string], indent: number, width: number): string {
  const room = Math.max(30, width - indent - 4);
  const [first = '', ...more] = wrap(text, room);
  const head = `  ${term.padEnd(indent)}  ${first}\n`;
  return head + more.map((line) => `${' '.repeat(indent + 4)}${line}\n`).join('');
}

function wrap(text: string, width: number): string[] {
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(' ')) {
    if (line !== '' && line.length + 1 + word.length > width) {
      lines.push(line);
      line = word;
    } else {
      line = line === '' ? word : `${line} ${word}`;
    }
  }
  return [...lines, line];
}
