/** Columns of text, aligned, without borders. */
import { stripVTControlCharacters } from 'node:util';

export interface Column {
  title: string;
  /** Default left. */
  align?: 'left' | 'right';
}

/** Lines of the table, each ended by a newline. Cells may be coloured. */
export function formatTable(columns: readonly Column[], rows: readonly (readonly string[])[]): string {
  const all = [columns.map(({ title }) => title), ...rows];
  const widths = columns.map((_, index) => Math.max(...all.map((row) => widthOf(row[index] ?? ''))));
  return all.map((row) => `${formatRow(row, columns, widths)}\n`).join('');
}

function formatRow(row: readonly string[], columns: readonly Column[], widths: readonly number[]): string {
  const cells = columns.map(({ align }, index) => {
    const cell = row[index] ?? '';
    const padding = ' '.repeat(Math.max(0, (widths[index] ?? 0) - widthOf(cell)));
    return align === 'right' ? padding + cell : cell + padding;
  });
  return cells.join('  ').trimEnd();
}

function widthOf(cell: string): number {
  return stripVTControlCharacters(cell).length;
}
