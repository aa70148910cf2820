/** Deaths, hangs and commands that cross each other: whoever is left does the work, and nobody waits for ever. */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { shell } from './harness/experiments.js';
import type { Sandbox } from './harness/sandbox.js';
import { scenario } from './harness/scenario.js';
import { until } from './harness/until.js';

/** One that obeys, one that does not, and a chain in new sessions that is deaf, hides, and is never the same pid. */
function household(box: Sandbox) {
  const chain = box.file(
    'chain.sh',
    `trap '' TERM\nsleep 0.003\nsetsid env -i PATH=$PATH sh $0 ${box.token} </dev/null >/dev/null 2>&1 &\n`,
  );
  return {
    name: 'house',
    processes: [
      shell('obeys', `exec sleep 1000.${box.token}`),
      shell('deaf', `trap '' TERM INT HUP; sleep 2000.${box.token}; :`),
      shell('chain', `sh ${chain} ${box.token}; exec sleep 3000.${box.token}`),
    ],
    supervision: { grace_s: 0.5, drain_s: 0.1 },
  };
}

async function start(box: Sandbox) {
  const run = box.supervisor(['start', box.write(household(box))]);
  await run.waitFor(/ready:/);
  await until('the household', () => box.find(/^sleep [123]000/).length === 3);
  return { run, daemonPid: box.daemonPid('house') };
}

for (const who of ['daemon', 'guardian', 'both'] as const) {
  scenario(`stop while SIGSTOP holds the ${who}`, async (box) => {
    const { run, daemonPid } = await start(box);
    if (who !== 'guardian') process.kill(daemonPid, 'SIGSTOP');
    if (who !== 'daemon') run.signal('SIGSTOP');
    const { code, text } = await box.command(['stop', 'house']);
    assert.equal(code, 0, text);
    // Continued in time, so that they ended in order and not by the limit.
    assert.doesNotMatch(text, /SIGKILL: |not waiting|did not stop/);
    assert.equal((await run.end()).code, 0);
    await box.assertClean();
  });
}

scenario('Ctrl-C while SIGSTOP holds the daemon', async (box) => {
  const { run, daemonPid } = await start(box);
  process.kill(daemonPid, 'SIGSTOP');
  run.signal('SIGINT');
  assert.equal((await run.end()).code, 0);
  await box.assertClean();
});

scenario('a guardian killed while SIGSTOP holds its daemon: the next stop ends both trees', async (box) => {
  const { run, daemonPid } = await start(box);
  process.kill(daemonPid, 'SIGSTOP');
  run.signal('SIGKILL');
  assert.equal((await box.command(['stop', 'house'])).code, 0);
  // Only now: the daemon had its stderr from the guardian.
  await run.end();
  await box.assertClean();
});

scenario('two stops at once both return when everything is gone', async (box) => {
  const { run } = await start(box);
  const stops = [box.supervisor(['stop', 'house']), box.supervisor(['stop', 'house'])];
  for (const { code } of await Promise.all(stops.map((stop) => stop.end()))) assert.equal(code, 0);
  await box.assertNothingLeft();
  await run.end();
  await box.assertClean();
});

scenario('a start while the guardian of a killed daemon cleans up waits for it', async (box) => {
  const { run, daemonPid } = await start(box);
  const old = box.census.take().map(({ pid }) => pid);
  process.kill(daemonPid, 'SIGKILL');
  const again = box.supervisor(['start', box.write(household(box))]);
  await again.waitFor(/ready:/);
  assert.equal((await run.end()).code, 1);
  // The guardian of the first has ended its own, and nothing of the second.
  const now = box.census.take();
  assert.deepEqual(
    now.filter(({ pid, command }) => old.includes(pid) && command.startsWith('sleep')),
    [],
  );
  await until('the second household', () => box.find(/^sleep [123]000/).length === 3);
  again.signal('SIGTERM');
  assert.equal((await again.end()).code, 0);
  await box.assertClean();
});

scenario('a stop in the middle of a start', async (box) => {
  const run = box.supervisor(['start', box.write(household(box))]);
  await until('the folder', () => existsSync(box.state('house', 'records')));
  const { code } = await box.command(['stop', 'house']);
  // 3: it came before the daemon had taken the name, which is then still to be stopped.
  if (code === 3) {
    await run.waitFor(/ready:/);
    assert.equal((await box.command(['stop', 'house'])).code, 0);
  } else {
    assert.equal(code, 0);
  }
  await run.end();
  await box.assertClean();
});
