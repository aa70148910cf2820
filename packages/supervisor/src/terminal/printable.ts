/** Text of others (command lines, error messages) as it may go to a terminal: one line, no control characters. */

export function printable(text: string): string {
  // eslint-disable-next-line no-control-regex -- control characters are what is looked for
  return text.replace(/[\x00-\x1f\x7f-\x9f]+/g, ' ').trim();
}

/** Cut to `width` characters, the last of them an ellipsis. */
export function shorten(text: string, width: number): string {
  return text.length <= width ? text : `${text.slice(0, Math.max(0, width - 1))}…`;
}
