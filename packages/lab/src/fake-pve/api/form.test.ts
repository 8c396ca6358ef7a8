import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { decodeForm, decodeJson } from './form.ts';

const forms: readonly [text: string, params: Record<string, unknown>][] = [
  ['a=1&b=2', { a: '1', b: '2' }],
  ['a=1;b=2', { a: '1', b: '2' }],
  ['tags=a;b', { tags: 'a', b: '' }],
  ['tags=a%3Bb', { tags: 'a;b' }],
  ['net0=name=eth0', { net0: 'name' }],
  ['net0=name%3Deth0', { net0: 'name=eth0' }],
  ['a=x+y%2Bz', { a: 'x y+z' }],
  ['a=1&a=2&a=3', { a: ['1', '2', '3'] }],
  ['cores=', { cores: '' }],
  ['', {}],
  ['a=%zz', { a: '%zz' }],
];

describe('request bodies', () => {
  for (const [text, params] of forms)
    test(`form ${JSON.stringify(text)}`, () => {
      assert.deepEqual(decodeForm(text), params);
    });

  test('a JSON object is taken, anything else is Perl’s own complaint', () => {
    assert.deepEqual(decodeJson('{"onboot":true}'), { is: 'params', params: { onboot: true } });
    const broken = decodeJson('{"cores":');
    assert.equal(broken.is === 'refused' && broken.status, 500);
    assert.match(broken.is === 'refused' ? broken.reason : '', /character offset 9 \(before "\(end of string\)"\)/);
  });
});
