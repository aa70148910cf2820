import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Queue, type QueueNode } from './queue.js';

test('behaves as a list does, whatever is taken out of its middle', () => {
  const step = fc.oneof(
    fc.constant({ push: true as const }),
    fc.nat().map((at) => ({ push: false as const, at })),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
      const queue = new Queue<number>();
      const model: QueueNode<number>[] = [];
      const removed: QueueNode<number>[] = [];
      for (const [value, action] of steps.entries()) {
        if (action.push) model.push(queue.push(value));
        else if (model.length > 0) {
          const [node] = model.splice(action.at % model.length, 1);
          queue.remove(node!);
          removed.push(node!);
        }
        // Taking out what is out already changes nothing.
        if (removed.length > 0) queue.remove(removed[0]!);
        assert.equal(queue.size, model.length);
        assert.equal(queue.first, model[0]);
      }
      const order: number[] = [];
      for (let node = queue.first; node; node = node.next) order.push(node.value);
      assert.deepEqual(
        order,
        model.map(({ value }) => value),
      );
    }),
  );
});
