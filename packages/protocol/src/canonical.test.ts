import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { canonicalDigest, canonicalJson } from './canonical.ts';
import type { CanonicalValue } from './canonical.ts';

const refused = (value: unknown, pattern: RegExp): void => {
  assert.throws(() => canonicalJson(value as CanonicalValue), pattern);
};

test('keys are sorted by code units at every depth and white space is left out', () => {
  assert.equal(
    canonicalJson({ b: [1, { z: null, a: true }], a: 'x', B: -0, '\u00e9': '' }),
    '{"B":0,"a":"x","b":[1,{"a":true,"z":null}],"\u00e9":""}',
  );
});

test('digest is the SHA-256 of the text', () => {
  assert.equal(canonicalDigest({}), '44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a');
});

test('a key named __proto__ is a key', () => {
  assert.equal(canonicalJson(JSON.parse('{"__proto__":1,"a":2}') as CanonicalValue), '{"__proto__":1,"a":2}');
});

const cycle: Record<string, unknown> = {};
cycle['self'] = cycle;
const sparse: unknown[] = [1];
sparse[2] = 3;
for (const [name, value, pattern] of [
  ['undefined', undefined, /\$ is undefined/],
  ['a field that is undefined', { a: { b: undefined } }, /\$\.a\.b is undefined/],
  ['NaN', [NaN], /\$\[0\] is not a safe integer/],
  ['infinity', Infinity, /not a safe integer/],
  ['a fraction', { cpu: 0.5 }, /\$\.cpu is not a safe integer/],
  ['an integer that doubles cannot hold', 2 ** 53, /not a safe integer/],
  ['a lone surrogate', 'a\ud800b', /lone surrogate/],
  ['a lone surrogate in a key', { '\udc00': 1 }, /lone surrogate/],
  ['an array hole', sparse, /holes/],
  ['an array with a field', Object.assign([1], { extra: 1 }), /fields of its own/],
  ['a date', new Date(0), /not a plain object/],
  ['a map', new Map(), /not a plain object/],
  ['a function', () => 1, /is function/],
  ['a bigint', 1n, /is bigint/],
  ['a symbol key', { [Symbol('s')]: 1 }, /symbol keys/],
  ['a getter', Object.defineProperty({}, 'x', { get: () => 1, enumerable: true }), /hidden or computed/],
  ['a cycle', cycle, /nested deeper/],
] as const)
  test(`${name} is refused with its path`, () => refused(value, pattern));

const canonicalValues = fc.letrec<{ value: CanonicalValue }>((tie) => ({
  value: fc.oneof(
    { depthSize: 'small', maxDepth: 5 },
    fc.constant(null),
    fc.boolean(),
    fc.maxSafeInteger(),
    fc.string({ unit: 'grapheme' }),
    fc.array(tie('value'), { maxLength: 4 }),
    fc.dictionary(fc.string({ unit: 'grapheme', maxLength: 6 }), tie('value'), { maxKeys: 4, noNullPrototype: true }),
  ),
})).value;

/** The same value with every object's keys inserted the other way round. */
function reversed(value: CanonicalValue): CanonicalValue {
  if (Array.isArray(value)) return value.map((item: CanonicalValue) => reversed(item));
  if (value === null || typeof value !== 'object') return value;
  const fields = Object.entries(value).toReversed();
  return Object.fromEntries(fields.map(([key, field]): [string, CanonicalValue] => [key, reversed(field)]));
}

test('the text depends on the value alone, and reads back as it', () => {
  fc.assert(
    fc.property(canonicalValues, (value) => {
      const text = canonicalJson(value);
      assert.equal(canonicalJson(reversed(value)), text);
      assert.equal(canonicalJson(JSON.parse(text) as CanonicalValue), text);
    }),
  );
});
