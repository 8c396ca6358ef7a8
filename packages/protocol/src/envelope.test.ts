import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { z } from 'zod';
import { digestOfPayload, maxEnvelopeBytes, parseEnvelope, parsePayload, payloadOf, writeEnvelope } from './index.ts';
import type { CanonicalValue, Versioned } from './index.ts';

const payload = payloadOf({ v: 1 });
const sound = writeEnvelope(payload, ['a signature']);
const record = JSON.parse(sound) as Record<string, unknown>;

const envelopes: [name: string, text: string, is: string][] = [
  ['as it is written', sound, 'ok'],
  ['without signatures yet', writeEnvelope(payload, []), 'ok'],
  [
    'with eight',
    writeEnvelope(
      payload,
      Array.from({ length: 8 }, () => 's'),
    ),
    'ok',
  ],
  [
    'with nine',
    writeEnvelope(
      payload,
      Array.from({ length: 9 }, () => 's'),
    ),
    'invalid',
  ],
  ['with an empty one', writeEnvelope(payload, ['']), 'invalid'],
  ['with one too long', writeEnvelope(payload, ['s'.repeat(4097)]), 'invalid'],
  ['an extra field', JSON.stringify({ ...record, host: 'box-1' }), 'invalid'],
  ['a later version', JSON.stringify({ ...record, v: 2 }), 'unknown-version'],
  ['no payload', JSON.stringify({ v: 1, signatures: [] }), 'invalid'],
  ['a payload that is no base64', JSON.stringify({ ...record, payload: '{"v":1}' }), 'invalid'],
  [
    'base64 without padding',
    JSON.stringify({ ...record, payload: String(record['payload']).replace(/=+$/, '') }),
    'invalid',
  ],
  ['base64 with stray bits', JSON.stringify({ ...record, payload: 'eyJ2IjoxfR==' }), 'invalid'],
  ['base64 with a line feed', JSON.stringify({ ...record, payload: `${String(record['payload'])}\n` }), 'invalid'],
  ['base64 for URLs', JSON.stringify({ ...record, payload: '-_-_' }), 'invalid'],
  ['too many bytes', JSON.stringify({ ...record, x: 'x'.repeat(maxEnvelopeBytes) }), 'invalid'],
  ['no JSON', 'x', 'invalid'],
];
for (const [name, text, is] of envelopes)
  test(`an envelope, ${name}: ${is}`, () => {
    const parsed = parseEnvelope(text);
    assert.equal(parsed.is, is, JSON.stringify(parsed));
    if (parsed.is === 'ok') assert.deepEqual(Buffer.from(parsed.value.payload), payload);
  });

const anything: Versioned<Record<string, unknown>> = {
  what: 'thing',
  versions: [1],
  schema: z.record(z.string(), z.unknown()),
};
const nested = (depth: number): string => `{"a":${'['.repeat(depth)}${']'.repeat(depth)},"v":1}`;

const payloads: [name: string, bytes: string | Buffer, is: string, says: RegExp][] = [
  ['canonical', '{"a":"\u00e9","b":[1,null,true],"v":1}', 'ok', /^$/],
  ['nested as deep as may be', nested(32), 'ok', /^$/],
  ['nested one deeper', nested(33), 'invalid', /not written as canonical/],
  ['nested absurdly', nested(200_000), 'invalid', /canonical|not JSON/],
  ['the same key twice', '{"a":1,"a":1,"v":1}', 'invalid', /canonical/],
  ['the same key twice, the second by an escape', '{"a":1,"\\u0061":2,"v":1}', 'invalid', /canonical/],
  ['keys in another order', '{"v":1,"a":1}', 'invalid', /canonical/],
  ['an escape for a plain letter', '{"a":"\\u0061","v":1}', 'invalid', /canonical/],
  ['an escape in capitals', '{"a":"\\u001F","v":1}', 'invalid', /canonical/],
  ['an escaped slash', '{"a":"\\/","v":1}', 'invalid', /canonical/],
  ['a blank', '{"v": 1}', 'invalid', /canonical/],
  ['a line feed at the end', '{"v":1}\n', 'invalid', /canonical/],
  ['a byte order mark', '\ufeff{"v":1}', 'invalid', /not JSON/],
  ['1.0', '{"v":1.0}', 'invalid', /canonical/],
  ['1e0', '{"v":1e0}', 'invalid', /canonical/],
  ['minus zero', '{"a":-0,"v":1}', 'invalid', /canonical/],
  ['a fraction', '{"a":0.5,"v":1}', 'invalid', /canonical/],
  ['a number above 2^53', '{"a":9007199254740993,"v":1}', 'invalid', /canonical/],
  ['a number above all numbers', '{"a":1e999,"v":1}', 'invalid', /canonical/],
  ['a lone surrogate by an escape', '{"a":"\\ud800","v":1}', 'invalid', /canonical/],
  [
    'a lone surrogate in bytes',
    Buffer.concat([Buffer.from('{"a":"'), Buffer.from([0xed, 0xa0, 0x80]), Buffer.from('","v":1}')]),
    'invalid',
    /not JSON in UTF-8/,
  ],
  [
    'bytes that are no UTF-8',
    Buffer.concat([Buffer.from('{"a":"'), Buffer.from([0xff]), Buffer.from('","v":1}')]),
    'invalid',
    /not JSON in UTF-8/,
  ],
  [
    'an overlong form',
    Buffer.concat([Buffer.from('{"a":"'), Buffer.from([0xc1, 0xa1]), Buffer.from('","v":1}')]),
    'invalid',
    /UTF-8/,
  ],
  ['a comment', '{"v":1}//', 'invalid', /not JSON/],
  ['two documents', '{"v":1}{"v":1}', 'invalid', /not JSON/],
  ['nothing', '', 'invalid', /not JSON/],
  ['a list', '[1]', 'invalid', /not a mapping/],
  ['a later version', '{"v":2}', 'unknown-version', /version 2/],
  ['a version as text', '{"v":"1"}', 'unknown-version', /malformed/],
];
for (const [name, bytes, is, says] of payloads)
  test(`a payload, ${name}: ${is}`, () => {
    const parsed = parsePayload(anything, Buffer.from(bytes));
    assert.equal(parsed.is, is, JSON.stringify(parsed));
    if (parsed.is !== 'ok') assert.match(parsed.text, says);
  });

test('a key named __proto__ is a key and nothing more', () => {
  const parsed = parsePayload(anything, Buffer.from('{"__proto__":{"admin":true},"v":1}'));
  assert.ok(parsed.is === 'ok');
  assert.equal((parsed.value as { admin?: boolean }).admin, undefined);
});

const values = fc.letrec<{ value: CanonicalValue }>((tie) => ({
  value: fc.oneof(
    { depthSize: 'small', maxDepth: 4 },
    fc.constant(null),
    fc.boolean(),
    fc.maxSafeInteger(),
    fc.string({ unit: 'grapheme' }),
    fc.array(tie('value'), { maxLength: 4 }),
    fc.dictionary(fc.string({ unit: 'grapheme', maxLength: 6 }), tie('value'), { maxKeys: 4, noNullPrototype: true }),
  ),
})).value;

test('of one meaning there is one text: what is read writes the same bytes again', () => {
  fc.assert(
    fc.property(values, (value) => {
      const bytes = payloadOf({ a: value, v: 1 });
      const parsed = parsePayload(anything, bytes);
      assert.ok(parsed.is === 'ok');
      assert.deepEqual(payloadOf(parsed.value as CanonicalValue), bytes);
      const through = parseEnvelope(writeEnvelope(bytes, []));
      assert.ok(through.is === 'ok');
      assert.deepEqual(Buffer.from(through.value.payload), bytes);
    }),
  );
});

test('one more blank, anywhere outside a text, is refused', () => {
  const text = '{"a":[1,{"b":null}],"v":1}';
  assert.equal(parsePayload(anything, Buffer.from(text)).is, 'ok');
  for (let at = 0; at <= text.length; at += 1) {
    if (text.slice(0, at).split('"').length % 2 === 0) continue;
    const changed = `${text.slice(0, at)} ${text.slice(at)}`;
    assert.equal(parsePayload(anything, Buffer.from(changed)).is, 'invalid', changed);
  }
});

test('a payload is called by its bytes: two that read the same when they are mended differ', () => {
  const mended = Buffer.from('\ufffd', 'utf8');
  assert.notEqual(digestOfPayload(Buffer.from([0xff])), digestOfPayload(mended));
  assert.notEqual(digestOfPayload(Buffer.from([0xff])), digestOfPayload(Buffer.from([0xfe])));
  assert.equal(digestOfPayload(Buffer.from('{}')), '44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a');
});
