/** GPU memory as `nvidia-smi` tells it. Where it is not there, that is said: unknown is not free. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

export interface GpuDevice {
  index: number;
  name: string;
  usedBytes: number;
  totalBytes: number;
}

export interface GpuProcess {
  pid: number;
  deviceUuid: string;
  /** Null where the driver does not tell, as in some containers. */
  usedBytes: number | null;
}

export type GpuReport =
  { known: true; devices: GpuDevice[]; processes: GpuProcess[] } | { known: false; why: string };

/** A driver that hangs must not hang us. */
const QUERY_LIMIT_MS = 10_000;
const MIB = 1024 * 1024;

export async function readGpus(command = 'nvidia-smi'): Promise<GpuReport> {
  try {
    const devices = await query(command, '--query-gpu=index,name,memory.used,memory.total');
    const processes = await query(command, '--query-compute-apps=pid,gpu_uuid,used_memory');
    return {
      known: true,
      devices: devices.map(([index, name = '', used, total]) => ({
        index: Number(index),
        name,
        usedBytes: Number(used) * MIB,
        totalBytes: Number(total) * MIB,
      })),
      processes: processes.map(([pid, deviceUuid = '', used]) => ({
        pid: Number(pid),
        deviceUuid,
        usedBytes: Number.isFinite(Number(used)) ? Number(used) * MIB : null,
      })),
    };
  } catch (error) {
    return {
      known: false,
      why: explain(command, error as NodeJS.ErrnoException & { stderr?: string; killed?: boolean }),
    };
  }
}

async function query(command: string, what: string): Promise<string[][]> {
  const options = { timeout: QUERY_LIMIT_MS, killSignal: 'SIGKILL' } as const;
  const { stdout } = await promisify(execFile)(command, [what, '--format=csv,noheader,nounits'], options);
  const lines = stdout.split('\n').filter((line) => line.trim() !== '');
  return lines.map((line) => line.split(',').map((field) => field.trim()));
}

function explain(
  command: string,
  error: NodeJS.ErrnoException & { stderr?: string; stdout?: string; killed?: boolean },
): string {
  if (error.code === 'ENOENT') return `${command} is not installed`;
  if (error.killed) return `${command} did not answer within ${QUERY_LIMIT_MS / 1000} s`;
  const said = (error.stderr || error.stdout || error.message).trim().split('\n')[0] ?? '';
  return `${command} failed: ${said}`;
}
