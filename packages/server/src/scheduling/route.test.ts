import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { chooseReplica, type Load, type Routing } from './route.js';

const load = (requests: number, bytes = 0, capacity = { requests: 2, bytes: 100 }): Load => ({
  requests,
  bytes,
  capacity,
});

test('round robin takes turns and passes over those that are full', () => {
  assert.equal(chooseReplica([load(0), load(0), load(0)], 'round_robin', 1, 1), 1);
  assert.equal(chooseReplica([load(0), load(2), load(1)], 'round_robin', 1, 1), 2);
  assert.equal(chooseReplica([load(0), load(2), load(2)], 'round_robin', 1, 1), 0);
});

test('least loaded counts requests, then bytes, then takes turns', () => {
  assert.equal(chooseReplica([load(1), load(0), load(1)], 'least_loaded', 0, 1), 1);
  assert.equal(chooseReplica([load(1, 50), load(1, 10)], 'least_loaded', 0, 1), 1);
  assert.equal(chooseReplica([load(0), load(0)], 'least_loaded', 1, 1), 1);
});

test('nobody has room', () => {
  assert.equal(chooseReplica([], 'round_robin', 0, 1), -1);
  assert.equal(chooseReplica([load(2), load(2)], 'least_loaded', 0, 1), -1);
  assert.equal(chooseReplica([load(1, 90)], 'round_robin', 0, 11), -1);
});

test('a request larger than the capacity goes alone', () => {
  assert.equal(chooseReplica([load(0)], 'round_robin', 0, 1000), 0);
  assert.equal(chooseReplica([load(1)], 'round_robin', 0, 1000), -1);
});

test('a choice never exceeds a capacity, and there is none only when there is no room', () => {
  const anyLoad = fc.record({
    requests: fc.nat(4),
    bytes: fc.nat(200),
    capacity: fc.record({ requests: fc.integer({ min: 1, max: 4 }), bytes: fc.nat(200) }),
  });
  fc.assert(
    fc.property(
      fc.array(anyLoad, { maxLength: 6 }),
      fc.constantFrom<Routing>('round_robin', 'least_loaded'),
      fc.nat(10),
      fc.nat(100),
      (loads, routing, turn, bytes) => {
        const fits = ({ requests, bytes: held, capacity }: Load) =>
          requests === 0 || (requests < capacity.requests && held + bytes <= capacity.bytes);
        const choice = chooseReplica(loads, routing, turn, bytes);
        if (choice === -1) assert.ok(!loads.some(fits));
        else assert.ok(fits(loads[choice]!));
      },
    ),
  );
});
