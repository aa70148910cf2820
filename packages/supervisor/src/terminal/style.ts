/** Colours, where the stream shows them and the user wants them. */

/** Any output stream; only a terminal has `isTTY`. */
export interface OutputStream {
  isTTY?: boolean;
  columns?: number;
  rows?: number;
  write(text: string): unknown;
}

export interface Style {
  bold: (text: string) => string;
  dim: (text: string) => string;
  red: (text: string) => string;
  green: (text: string) => string;
  yellow: (text: string) => string;
  cyan: (text: string) => string;
}

/** NO_COLOR (any value but the empty one) wins over FORCE_COLOR, and that over what the stream is. */
export function coloursWanted(stream: OutputStream, env: NodeJS.ProcessEnv = process.env): boolean {
  if (env['NO_COLOR']) return false;
  if (env['FORCE_COLOR']) return env['FORCE_COLOR'] !== '0';
  return stream.isTTY === true && env['TERM'] !== 'dumb';
}

export function styleFor(stream: OutputStream, env: NodeJS.ProcessEnv = process.env): Style {
  const wanted = coloursWanted(stream, env);
  const paint = (code: number) => (text: string) =>
    wanted && text !== '' ? `\x1b[${code}m${text}\x1b[0m` : text;
  return {
    bold: paint(1),
    dim: paint(90),
    red: paint(31),
    green: paint(32),
    yellow: paint(33),
    cyan: paint(36),
  };
}
