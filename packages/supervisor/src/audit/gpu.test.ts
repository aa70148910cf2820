import assert from 'node:assert/strict';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { growth, type Counts } from './counts.js';
import { readGpus } from './gpu.js';

const folder = mkdtempSync(join(tmpdir(), 'audit-gpu-'));
after(() => rmSync(folder, { recursive: true, force: true }));

function tool(script: string): string {
  const path = join(folder, 'nvidia-smi');
  writeFileSync(path, `#!/bin/sh\n${script}\n`);
  chmodSync(path, 0o755);
  return path;
}

test('devices and processes are read from nvidia-smi', async () => {
  const report = await readGpus(
    tool(
      'case "$1" in --query-gpu*) echo "0, NVIDIA H100 80GB HBM3, 512, 81559";; *) echo "77, GPU-abc, 400"; echo "78, GPU-abc, [N/A]";; esac',
    ),
  );
  const mib = 1024 * 1024;
  assert.deepEqual(report, {
    known: true,
    devices: [{ index: 0, name: 'NVIDIA H100 80GB HBM3', usedBytes: 512 * mib, totalBytes: 81559 * mib }],
    processes: [
      { pid: 77, deviceUuid: 'GPU-abc', usedBytes: 400 * mib },
      { pid: 78, deviceUuid: 'GPU-abc', usedBytes: null },
    ],
  });
});

test('where it is not there or fails, that is said', async () => {
  assert.deepEqual(await readGpus('no-such-nvidia-smi'), {
    known: false,
    why: 'no-such-nvidia-smi is not installed',
  });
  const failing = tool('echo "NVIDIA-SMI has failed: no driver"; exit 9');
  assert.deepEqual(await readGpus(failing), {
    known: false,
    why: `${failing} failed: NVIDIA-SMI has failed: no driver`,
  });
});

test('counts that grow are named, those of others are not held against us', () => {
  const before: Counts = {
    takenAt: '',
    supervised: 1,
    supervisors: 1,
    ports: [1],
    gpuBytes: [100e6],
    gpuNote: null,
    allProcesses: 50,
  };
  assert.deepEqual(growth(before, { ...before, allProcesses: 90, gpuBytes: [120e6], supervised: 0 }), []);
  assert.deepEqual(
    growth(before, { ...before, supervised: 3, supervisors: 2, ports: [1, 2], gpuBytes: [300e6] }),
    [
      'supervised processes: 1 before, 3 after',
      'daemons and guardians: 1 before, 2 after',
      'ports that were free before: 2',
      'memory of GPU 0: 95 MiB before, 286 MiB after',
    ],
  );
});
