import { test } from 'node:test';
import assert from 'node:assert/strict';
import { ed25519Line, guestName, guestUid } from '@felhom/protocol';
import type { Consent, ConsentingGuest } from './consents.ts';
import { decideOpen, mustClose } from './decide-open.ts';

const now = 1_000_000;
const [a, b, c] = ['a', 'b', 'c'].map((letter) => letter.repeat(26)) as [string, string, string];
const guest = (name: string, uid: string): ConsentingGuest => ({
  name: guestName.parse(name),
  uid: guestUid.parse(uid),
});
const guests = [guest('photos', a), guest('mail', b)];
const consent = (uid: string, id: string): Consent => ({ v: 1, id, guest: guestUid.parse(uid), by: 'customer', at: 0 });
const consents = [consent(a, b), consent(b, c)];
const params = { minutes: 30, key: ed25519Line(new Uint8Array(32)), consents: [b, c] };
const facts = { guests, consents, now, policy: { maxMinutes: 60 } };

const rows: readonly {
  name: string;
  params?: Partial<typeof params>;
  facts?: Partial<typeof facts>;
  expect: string;
}[] = [
  { name: 'signed on exactly what stands', expect: 'open' },
  { name: 'in another order', params: { consents: [c, b] }, expect: 'open' },
  { name: 'as long as the policy allows', params: { minutes: 60 }, expect: 'open' },
  { name: 'a minute longer', params: { minutes: 61 }, expect: 'gate.out-of-range' },
  { name: 'one customer does not consent', facts: { consents: consents.slice(1) }, expect: 'break-glass.no-consent' },
  { name: 'a consent was not signed', params: { consents: [b] }, expect: 'job.changed' },
  { name: 'one was signed that nobody gave', params: { consents: [a, b, c] }, expect: 'job.changed' },
  { name: 'one was signed twice', params: { consents: [b, b, c] }, expect: 'job.changed' },
  { name: 'given anew since', facts: { consents: [consent(a, b), consent(b, a)] }, expect: 'job.changed' },
  { name: 'a guest came since', facts: { guests: [...guests, guest('new', c)] }, expect: 'break-glass.no-consent' },
  { name: 'a guest went since', facts: { guests: guests.slice(1) }, expect: 'job.changed' },
  { name: 'no guests, no consents', params: { consents: [] }, facts: { guests: [], consents: [] }, expect: 'open' },
];

for (const row of rows)
  test(`open: ${row.name}`, () => {
    const decided = decideOpen({ ...params, ...row.params }, { ...facts, ...row.facts });
    assert.equal(decided.is === 'open' ? 'open' : decided.why.code, row.expect);
  });

test('the refusal names whose consent is missing', () => {
  const decided = decideOpen(params, { ...facts, consents: [] });
  assert.match(decided.is === 'refused' ? decided.why.text : '', /of mail, photos|of photos, mail/);
});

test('an open host is closed as soon as one customer no longer stands behind it', () => {
  const missing = { is: 'missing', names: [guestName.parse('mail')] } as const;
  assert.match(mustClose({ until: now }, missing) ?? '', /mail/);
  assert.equal(mustClose({ until: now }, { is: 'all', ids: [] }), undefined);
  assert.equal(mustClose(undefined, missing), undefined);
});
