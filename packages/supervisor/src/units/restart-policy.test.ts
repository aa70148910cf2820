import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RestartPolicy, type RestartSettings } from './restart-policy.js';

const settings: RestartSettings = {
  policy: 'on-failure',
  maxRestarts: 3,
  windowMs: 60_000,
  backoffMs: 500,
  maxBackoffMs: 1500,
};
const crash = { failed: true, permanent: false };
const success = { failed: false, permanent: false };

test('the back-off doubles up to its cap and the breaker opens after max_restarts within the window', () => {
  const policy = new RestartPolicy(settings);
  const decisions = [0, 1000, 3000, 6000].map((at) => policy.decide(crash, at));
  assert.deepEqual(decisions.slice(0, 3), [
    { kind: 'restart', delayMs: 500, attempt: 1 },
    { kind: 'restart', delayMs: 1000, attempt: 2 },
    { kind: 'restart', delayMs: 1500, attempt: 3 },
  ]);
  assert.equal(decisions[3]?.kind, 'give-up');
});

test('restarts older than the window are forgotten', () => {
  const policy = new RestartPolicy(settings);
  for (const at of [0, 1000, 3000]) policy.decide(crash, at);
  assert.deepEqual(policy.decide(crash, 3000 + 1500 + 60_000), { kind: 'restart', delayMs: 500, attempt: 1 });
});

test('a clean end is restarted only with policy always', () => {
  assert.deepEqual(new RestartPolicy(settings).decide(success, 0), { kind: 'end' });
  assert.equal(new RestartPolicy({ ...settings, policy: 'always' }).decide(success, 0).kind, 'restart');
});

test('never and permanent failures are given up at once, saying why', () => {
  const never = new RestartPolicy({ ...settings, policy: 'never' }).decide(crash, 0);
  assert.deepEqual(never, { kind: 'give-up', why: 'supervision.restart.policy is never' });
  const permanent = new RestartPolicy(settings).decide({ failed: true, permanent: true }, 0);
  assert.deepEqual(permanent, { kind: 'give-up', why: 'a restart cannot help' });
});

test('max_restarts 0 gives up at the first failure', () => {
  assert.equal(new RestartPolicy({ ...settings, maxRestarts: 0 }).decide(crash, 0).kind, 'give-up');
});
