/** Who listens on which TCP port. */
import { execFile } from 'node:child_process';
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { isIP } from 'node:net';
import { promisify } from 'node:util';

export interface PortHolder {
  pid: number;
  /** Its command line. */
  command: string;
}

export interface Listener {
  /** Numeric address, `0.0.0.0` or `::` for all. */
  address: string;
  port: number;
  /** Processes that hold the socket; empty where we may not look. More than one where it was inherited. */
  pids: number[];
}

/**
 * The process that keeps `port` from being bound on `host` (any address when absent). Undefined when nobody listens
 * there or when the holder belongs to another user.
 */
export async function findPortHolder(port: number, host?: string): Promise<PortHolder | undefined> {
  const listeners = (await listListeners()).filter((listener) => listener.port === port);
  const clashing = host === undefined ? listeners : listeners.filter(({ address }) => clashes(address, host));
  // A host name may stand for an address that we do not know; any holder is better than none then.
  for (const { pids } of [...clashing, ...(host !== undefined && isIP(host) === 0 ? listeners : [])]) {
    const pid = pids[0];
    if (pid !== undefined) return { pid, command: await commandOf(pid) };
  }
  return undefined;
}

/** Every listening TCP socket of this network namespace, by port. */
export async function listListeners(): Promise<Listener[]> {
  const listeners = process.platform === 'linux' ? listenersFromProc() : await listenersFromLsof();
  return listeners.sort((a, b) => a.port - b.port || a.address.localeCompare(b.address));
}

const wildcards = new Set(['0.0.0.0', '::']);

function clashes(address: string, host: string): boolean {
  if (address === host || wildcards.has(host)) return true;
  // `::` takes IPv4 along unless its socket was told otherwise.
  return address === '::' || (address === '0.0.0.0' && isIP(host) !== 6);
}

const LISTEN_STATE = '0A';

function listenersFromProc(): Listener[] {
  const bySocket = new Map<string, Listener>();
  for (const table of ['tcp', 'tcp6']) {
    for (const line of readOptional(`/proc/net/${table}`).split('\n').slice(1)) {
      const fields = line.trim().split(/\s+/);
      const [, local = '', , state] = fields;
      const inode = fields[9];
      if (state !== LISTEN_STATE || inode === undefined) continue;
      const [address = '', port = '0'] = local.split(':');
      bySocket.set(inode, { address: parseAddress(address), port: parseInt(port, 16), pids: [] });
    }
  }
  if (bySocket.size > 0) addHolders(bySocket);
  return [...bySocket.values()];
}

function addHolders(bySocket: Map<string, Listener>): void {
  const pids = readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number);
  for (const pid of pids.sort((a, b) => a - b)) {
    for (const fd of listOptional(`/proc/${pid}/fd`)) {
      const inode = /^socket:\[(\d+)\]$/.exec(linkOptional(`/proc/${pid}/fd/${fd}`))?.[1];
      const listener = inode === undefined ? undefined : bySocket.get(inode);
      if (listener && !listener.pids.includes(pid)) listener.pids.push(pid);
    }
  }
}

/** The kernel prints an address as 32-bit words of the machine's byte order, little-endian wherever we run. */
function parseAddress(hex: string): string {
  const words = hex.match(/.{8}/g) ?? [];
  const bytes = words.flatMap((word) =>
    (word.match(/../g) ?? []).map((byte) => parseInt(byte, 16)).reverse(),
  );
  if (bytes.length === 4) return bytes.join('.');
  const mapped = bytes.slice(0, 10).every((byte) => byte === 0) && bytes[10] === 0xff && bytes[11] === 0xff;
  if (mapped) return bytes.slice(12).join('.');
  const groups: string[] = [];
  for (let index = 0; index < bytes.length; index += 2) {
    groups.push((((bytes[index] ?? 0) << 8) | (bytes[index + 1] ?? 0)).toString(16));
  }
  // The usual short form, by the one parser that is here anyway.
  return new URL(`http://[${groups.join(':')}]`).hostname.slice(1, -1);
}

async function listenersFromLsof(): Promise<Listener[]> {
  const output = await promisify(execFile)('lsof', ['-nP', '-iTCP', '-sTCP:LISTEN', '-Fpn']).then(
    ({ stdout }) => stdout,
    // Ends with 1 when it found nothing.
    (error: { stdout?: string }) => error.stdout ?? '',
  );
  const byName = new Map<string, Listener>();
  let pid = 0;
  for (const line of output.split('\n')) {
    if (line.startsWith('p')) pid = Number(line.slice(1));
    const match = /^n(.*):(\d+)$/.exec(line);
    if (!match) continue;
    const [name, address = '', port] = match;
    const listener = byName.get(name) ?? {
      address: address === '*' ? '0.0.0.0' : address.replace(/^\[|\]$/g, ''),
      port: Number(port),
      pids: [],
    };
    if (!listener.pids.includes(pid)) listener.pids.push(pid);
    byName.set(name, listener);
  }
  return [...byName.values()];
}

async function commandOf(pid: number): Promise<string> {
  if (process.platform === 'linux') {
    const command = readOptional(`/proc/${pid}/cmdline`).replaceAll('\0', ' ').trim();
    return command || readOptional(`/proc/${pid}/comm`).trim() || 'unknown command';
  }
  return promisify(execFile)('ps', ['-ww', '-o', 'command=', '-p', String(pid)]).then(
    ({ stdout }) => stdout.trim(),
    () => 'unknown command',
  );
}

function readOptional(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}

function listOptional(path: string): string[] {
  try {
    return readdirSync(path);
  } catch {
    return [];
  }
}

function linkOptional(path: string): string {
  try {
    return readlinkSync(path);
  } catch {
    return '';
  }
}
