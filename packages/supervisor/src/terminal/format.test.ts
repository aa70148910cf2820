import assert from 'node:assert/strict';
import { test } from 'node:test';
import { printable, shorten } from './printable.js';
import { count, formatBytes, formatDuration } from './quantity.js';
import { formatReceipt } from './receipt.js';
import { coloursWanted, styleFor } from './style.js';
import { formatTable } from './table.js';

test('colours need a terminal; NO_COLOR wins over FORCE_COLOR', () => {
  const terminal = { isTTY: true, write: () => undefined };
  const file = { isTTY: false, write: () => undefined };
  assert.equal(coloursWanted(terminal, {}), true);
  assert.equal(coloursWanted(terminal, { NO_COLOR: '1' }), false);
  assert.equal(coloursWanted(terminal, { NO_COLOR: '' }), true, 'the empty value counts as unset');
  assert.equal(coloursWanted(terminal, { TERM: 'dumb' }), false);
  assert.equal(coloursWanted(file, {}), false);
  assert.equal(coloursWanted(file, { FORCE_COLOR: '1' }), true);
  assert.equal(coloursWanted(file, { FORCE_COLOR: '1', NO_COLOR: '1' }), false);
  assert.equal(styleFor(file, {}).red('x'), 'x');
  assert.equal(styleFor(terminal, {}).red('x'), '\x1b[31mx\x1b[0m');
});

test('columns are aligned by what is seen, not by colour codes', () => {
  const { red } = styleFor({ isTTY: true, write: () => undefined }, {});
  const table = formatTable(
    [{ title: 'A' }, { title: 'N', align: 'right' }],
    [
      [red('xx'), '5'],
      ['y', '123'],
    ],
  );
  assert.equal(table, `A     N\n${red('xx')}    5\ny   123\n`);
});

test('quantities', () => {
  assert.deepEqual([0, 1023, 1024, 10.8 * 1024 * 1024, 200 * 1024 ** 3].map(formatBytes), [
    '0 B',
    '1023 B',
    '1.0 KiB',
    '10.8 MiB',
    '200 GiB',
  ]);
  assert.deepEqual([12, 9990, 59_900, 303_000, 7_500_000, 360_000_000].map(formatDuration), [
    '0.01 s',
    '9.99 s',
    '59.9 s',
    '5 min 03 s',
    '2 h 05 min',
    '4 d 04 h',
  ]);
  assert.deepEqual([count(1, 'process', 'processes'), count(2, 'model')], ['1 process', '2 models']);
});

test('what others wrote cannot move the cursor', () => {
  assert.equal(printable('a\u001b[2Jb\r\nc\u0000'), 'a [2Jb c');
  assert.equal(shorten('abcdef', 4), 'abc…');
});

const process = {
  pid: 10,
  startTime: '2026-01-01T00:00:00.000Z',
  command: 'node worker.js',
  unit: 'ocr/0',
  foundBy: 'leader' as const,
  signals: ['SIGTERM'],
  exit: { code: 0, signal: null },
  durationMs: 20,
  outcome: 'ended' as const,
};
const receipt = {
  experiment: 'demo',
  runId: 'r',
  reason: 'Ctrl-C',
  by: 'daemon' as const,
  startedAt: '',
  finishedAt: '',
  ports: [{ port: 50051, free: true }],
  filesRemoved: [],
  processes: [process],
  survivors: [],
  durationMs: 1234,
};

test('a clean receipt says that nothing is left', () => {
  assert.equal(
    formatReceipt(receipt),
    'stopped demo in 1.23 s (Ctrl-C): 1 process ended, nothing is left\n' +
      '  PID  UNIT   SENT     ENDED    AFTER  COMMAND\n' +
      '   10  ocr/0  SIGTERM  exit 0  0.02 s  node worker.js\n' +
      '  ports free again: 50051\n',
  );
});

test('a receipt names survivors and ports that are still held', () => {
  const survivor = {
    ...process,
    pid: 11,
    unit: null,
    signals: ['SIGTERM', 'SIGKILL'],
    exit: null,
    outcome: 'unkillable' as const,
  };
  const text = formatReceipt({
    ...receipt,
    by: 'guardian',
    processes: [process, survivor],
    survivors: [survivor],
    ports: [{ port: 50051, free: false }],
    filesRemoved: ['supervisor.pid'],
  });
  assert.match(
    text,
    /^stopped demo in 1\.23 s \(Ctrl-C; by the guardian\): 1 process ended, 1 process SURVIVED\n/,
  );
  assert.match(text, /^ {3}11 {2}- {6}SIGTERM, SIGKILL {2}STILL THERE {2}0\.02 s {2}node worker\.js$/m);
  assert.match(text, /ports STILL IN USE: 50051\n {2}files removed: supervisor\.pid\n$/);
});
