import { test } from 'node:test';
import assert from 'node:assert/strict';
import { guestName, guestUid } from '@felhom/protocol';
import type { Documents, StoredDocument } from '../kernel/index.ts';
import { consentStanding, grantConsent, listConsents, withdrawConsent } from './consents.ts';
import type { Consent, ConsentingGuest } from './consents.ts';

function documents(): Documents {
  const held = new Map<string, StoredDocument>();
  return {
    get: (key) => held.get(key),
    put: (document) => void held.set(document.key, structuredClone(document)),
    remove: (key) => void held.delete(key),
    list: (prefix) => [...held.values()].filter(({ key }) => key.startsWith(prefix)),
  };
}

let seed = 0;
const random = {
  bytes: (count: number) => Uint8Array.from({ length: count }, () => (seed = (seed * 75 + 74) % 65_537) & 255),
};

const guest = (name: string): ConsentingGuest => ({
  uid: guestUid.parse(name[0]?.repeat(26)),
  name: guestName.parse(name),
});
const [photos, mail] = [guest('photos'), guest('mail')];
const now = 1_000_000;

test('granted, read back, withdrawn', () => {
  const store = documents();
  const given = grantConsent(store, { guest: photos.uid, by: 'customer', until: now + 5 }, now, random);
  assert.match(given.id, /^[a-z2-7]{26}$/);
  assert.deepEqual(listConsents(store), [given]);
  assert.equal(withdrawConsent(store, photos.uid), true);
  assert.equal(withdrawConsent(store, photos.uid), false);
  assert.deepEqual(listConsents(store), []);
});

test('a consent that is given anew has another id, and there is only ever one of a guest', () => {
  const store = documents();
  const first = grantConsent(store, { guest: photos.uid, by: 'root at the host' }, now, random);
  const second = grantConsent(store, { guest: photos.uid, by: 'root at the host' }, now, random);
  assert.notEqual(first.id, second.id);
  assert.deepEqual(listConsents(store), [second]);
});

test('nobody consented by what does not read', () => {
  const store = documents();
  const given = grantConsent(store, { guest: photos.uid, by: 'customer' }, now, random);
  store.put({ key: `consent/break-glass/${photos.uid}`, v: 2, body: { ...given, v: 2 } });
  assert.deepEqual(listConsents(store), []);
});

const of = ({ uid }: ConsentingGuest, id: string, over: Partial<Consent> = {}): Consent => ({
  v: 1,
  id: id.repeat(26),
  guest: uid,
  by: 'customer',
  at: now - 1,
  ...over,
});

const rows: readonly {
  name: string;
  guests: readonly ConsentingGuest[];
  consents: readonly Consent[];
  expect: ReturnType<typeof consentStanding>;
}[] = [
  { name: 'a host without guests', guests: [], consents: [], expect: { is: 'all', ids: [] } },
  {
    name: 'everybody',
    guests: [photos, mail],
    consents: [of(photos, 'z'), of(mail, 'a')],
    expect: { is: 'all', ids: ['a'.repeat(26), 'z'.repeat(26)] },
  },
  {
    name: 'one of two is not enough',
    guests: [photos, mail],
    consents: [of(photos, 'z')],
    expect: { is: 'missing', names: [mail.name] },
  },
  {
    name: 'that of a guest which is gone counts for nothing',
    guests: [photos],
    consents: [of(mail, 'a'), of(photos, 'z')],
    expect: { is: 'all', ids: ['z'.repeat(26)] },
  },
  {
    name: 'until its last millisecond',
    guests: [photos],
    consents: [of(photos, 'z', { until: now + 1 })],
    expect: { is: 'all', ids: ['z'.repeat(26)] },
  },
  {
    name: 'and not after',
    guests: [photos],
    consents: [of(photos, 'z', { until: now })],
    expect: { is: 'missing', names: [photos.name] },
  },
  {
    name: 'not before it was given',
    guests: [photos],
    consents: [of(photos, 'z', { at: now + 1 })],
    expect: { is: 'missing', names: [photos.name] },
  },
];

for (const { name, guests, consents, expect } of rows)
  test(`standing: ${name}`, () => {
    assert.deepEqual(consentStanding(guests, consents, now), expect);
  });
