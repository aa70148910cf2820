import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startTimeOf } from './proc.js';
import { parsePs, psEntry, psTable } from './ps.js';

/** `ps -ax -o pid=,ppid=,pgid=,stat=,lstart=,command=` of macOS. */
const sample = `    1     0     1 Ss   Mon Nov 23 08:00:01 2026     /sbin/launchd
  412     1   412 Ss   Mon Nov  2 12:03:04 2026     /usr/libexec/some daemon --with  spaces
 4242   412   412 S+   Tue Nov 24 09:10:11 2026     node /opt/x/main.js
 4243  4242  4242 Z    Tue Nov 24 09:10:12 2026     (sh)
 4244  4242  4242 R+   Tue Nov 24 09:10:13 2026     ps -ax
broken line
`;

test('a table from macOS', () => {
  const table = parsePs(sample);
  assert.deepEqual([...table.keys()], [1, 412, 4242, 4243, 4244]);
  assert.deepEqual(table.get(412), {
    pid: 412,
    ppid: 1,
    pgid: 412,
    session: 412,
    state: 'Ss',
    threads: 1,
    forked: false,
    startTicks: 'Mon Nov  2 12:03:04 2026',
    name: '/usr/libexec/some daemon --with  spaces',
    command: '/usr/libexec/some daemon --with  spaces',
  });
  assert.equal(table.get(4243)?.state, 'Z');
});

test('its start times become ISO 8601', () => {
  const local = new Date(2026, 10, 24, 9, 10, 11).toISOString();
  assert.equal(startTimeOf('Tue Nov 24 09:10:11 2026'), local);
  assert.equal(startTimeOf('nonsense'), 'nonsense');
});

test('this system’s ps is understood', () => {
  const self = psEntry(process.pid);
  assert.equal(self?.ppid, process.ppid);
  assert.deepEqual(psTable().get(process.pid)?.startTicks, self.startTicks);
  assert.equal(psEntry(2 ** 22 + 1), undefined);
});
