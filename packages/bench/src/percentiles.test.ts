import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { median, percentile, summarize } from './percentiles.js';

const oneToHundred = Array.from({ length: 100 }, (_, index) => index + 1);

test('of 1 to 100 each percentile is its own number', () => {
  for (const percent of oneToHundred) assert.equal(percentile(oneToHundred, percent), percent);
});

test('a percentile is a value that occurred, and at least its share of the values is not larger', () => {
  const values = fc.array(fc.double({ min: 0, max: 1e6, noNaN: true }), { minLength: 1 });
  fc.assert(
    fc.property(values, fc.integer({ min: 1, max: 100 }), (latencies, percent) => {
      const sorted = latencies.toSorted((a, b) => a - b);
      const value = percentile(sorted, percent);
      assert.ok(latencies.includes(value));
      assert.ok(sorted.filter((each) => each <= value).length * 100 >= percent * sorted.length);
      assert.ok(sorted.filter((each) => each < value).length * 100 < percent * sorted.length);
    }),
  );
});

test('a summary does not depend on the order, and sorts numbers as numbers', () => {
  const shuffled = [9, 100, 20, 1, 3];
  assert.deepEqual(summarize(shuffled), { avg: 26.6, p50: 9, p90: 100, p95: 100, p99: 100, max: 100 });
  assert.deepEqual(summarize(shuffled.toReversed()), summarize(shuffled));
});

test('nothing measured has no summary', () => {
  assert.equal(summarize([]), null);
});

test('the median of an even number is between the middle two', () => {
  assert.equal(median([10, 1, 3]), 3);
  assert.equal(median([10, 1, 3, 5]), 4);
  assert.equal(median([7]), 7);
});
