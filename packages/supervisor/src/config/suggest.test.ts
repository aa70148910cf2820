import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { editDistance, suggest } from './suggest.js';

test('a swap of neighbours counts as one edit', () => {
  assert.equal(editDistance('name', 'naem'), 1);
  assert.equal(editDistance('kitten', 'sitting'), 3);
});

test('the distance is symmetric, zero only for equals, and at most the longer length', () => {
  fc.assert(
    fc.property(fc.string({ maxLength: 12 }), fc.string({ maxLength: 12 }), (a, b) => {
      const distance = editDistance(a, b);
      assert.equal(distance, editDistance(b, a));
      assert.equal(distance === 0, a === b);
      assert.ok(distance <= Math.max(a.length, b.length));
    }),
  );
});

test('only a near word is suggested, upper and lower case aside', () => {
  assert.equal(suggest('fp32', ['FP32', 'FP64']), 'FP32');
  assert.equal(suggest('replcas', ['replicas', 'name']), 'replicas');
  assert.equal(suggest('zzz', ['replicas', 'name']), undefined);
});
