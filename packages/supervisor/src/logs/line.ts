/** A log line as it stands in a file, taken apart for people: when, how bad, what. */

export interface LogLine {
  /** ISO 8601; empty where the line has no time. Sorts as text. */
  time: string;
  level: string;
  text: string;
}

/** The daemon's own file holds one JSON object per line, a unit's file `<time> <text>`. */
export function parseLine(line: string, source: 'daemon' | 'unit'): LogLine {
  return source === 'daemon' ? parseDaemonLine(line) : parseUnitLine(line);
}

function parseUnitLine(line: string): LogLine {
  const match = /^(\d{4}-\d\d-\d\dT[\d:.]+Z) (.*)$/s.exec(line);
  return { time: match?.[1] ?? '', level: '', text: match?.[2] ?? line };
}

function parseDaemonLine(line: string): LogLine {
  let entry: Record<string, unknown>;
  try {
    entry = JSON.parse(line) as Record<string, unknown>;
  } catch {
    // Cut off by a full disk, say: shown as it is.
    return parseUnitLine(line);
  }
  const { timestamp, level, message, ...fields } = entry;
  const details = Object.entries(fields).map(([key, value]) => `${key}=${JSON.stringify(value)}`);
  return {
    time: typeof timestamp === 'string' ? timestamp : '',
    level: typeof level === 'string' ? level : '',
    text: [String(message), ...details].join(' '),
  };
}
