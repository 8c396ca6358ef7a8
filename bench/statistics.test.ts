import assert from 'node:assert/strict';
import { test } from 'node:test';
import { figure, median, quantile, ratio, withWobble, wobble } from './statistics.ts';

test('quantiles lie between neighbours, whatever the order', () => {
  assert.equal(median([3, 1, 2]), 2);
  assert.equal(median([4, 1, 3, 2]), 2.5);
  assert.equal(quantile([10, 20], 0.25), 12.5);
  assert.equal(quantile([5], 0.9), 5);
  assert.equal(quantile([1, 2, 3], 7), 3);
  assert.throws(() => median([]), /of nothing/);
});

test('one wild value moves neither the median nor the wobble', () => {
  assert.equal(median([10, 10, 11, 9, 5_000]), 10);
  assert.ok(wobble([10, 10, 11, 9, 5_000]) < 0.06);
  assert.equal(wobble([0, 0, 0]), 0);
});

test('figures have three digits and no exponent', () => {
  const shown: readonly (readonly [number, string])[] = [
    [0, '0'],
    [0.001234, '0.00123'],
    [0.5, '0.500'],
    [1, '1.00'],
    [12.345, '12.3'],
    [123.4, '123'],
    [12_345.6, '12346'],
    [-2.5, '-2.50'],
    [Number.NaN, '–'],
  ];
  for (const [value, text] of shown) assert.equal(figure(value), text);
});

test('a ratio to nothing is none', () => {
  assert.equal(ratio(3, 2), '1.50 ×');
  assert.equal(ratio(3, 0), '–');
  assert.equal(withWobble([9, 10, 11]), '10.0 ±5 %');
});
