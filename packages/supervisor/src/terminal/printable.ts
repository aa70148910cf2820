/** Text of others (command lines, error messages) as it may go to a terminal: one line, no control characters. */

export function printable(text: string): string {
  return text.replace(/[\x00-\x1f\x7f-\x9f]+/g, ' ').trim();
}

/** Cut to `width` characters, the last of them an ellipsis. */
export function shorten(text: string, width: number): string {
  return text.length <= width ? text : `${text.slice(0, Math.max(0, width - 1))}…`;
}
