import assert from 'node:assert/strict';
import { test } from 'node:test';
import { digestOfText, maxDesiredStateBytes } from '@felhom/protocol';
import type { DesiredOffer, DesiredState } from '@felhom/protocol';
import { adoptDesired, heldForPlanning } from './adopt-desired.ts';
import type { Held } from './adopt-desired.ts';
import { loadHeld, storeHeld } from './held-store.ts';

const mine = 'a'.repeat(26);
const other = 'b'.repeat(26);
const now = 1_700_000_000_000;

function document(patch: Record<string, unknown> = {}): string {
  return JSON.stringify({ v: 1, lineage: mine, generation: 5, guests: [], ...patch });
}
function offer(text: string, more: { digest?: string; replaces?: string } = {}): DesiredOffer {
  return {
    is: 'document',
    digest: digestOfText(more.digest ?? text),
    text,
    ...(more.replaces === undefined ? {} : { replaces: more.replaces }),
  };
}
function holding(text: string): Extract<Held, { is: 'held' }> {
  const adoption = adoptDesired(offer(text), { is: 'never-received' }, 1);
  assert.equal(adoption.is, 'adopted');
  return adoption.is === 'adopted' ? adoption.held : assert.fail();
}
const held = holding(document());
const never: Held = { is: 'never-received' };
const unreadable: Held = { is: 'unreadable', why: { code: 'x', text: 'x', retry: 'later' } };
const guest = {
  name: 'web',
  golden: 'debian-13',
  hostname: 'web',
  cores: 1,
  memoryMiB: 512,
  rootfs: { storage: 'local', sizeGiB: 4 },
  networks: [{ name: 'eth0', bridge: 'vmbr0', ipv4: 'dhcp' }],
};

type Expect = 'adopted' | 'kept' | `desired.${string}`;
const rows: { name: string; offer: DesiredOffer; held: Held; expect: Expect }[] = [
  { name: 'nothing, never received', offer: { is: 'nothing' }, held: never, expect: 'kept' },
  { name: 'nothing, holding one', offer: { is: 'nothing' }, held, expect: 'kept' },
  { name: 'unchanged', offer: { is: 'unchanged' }, held, expect: 'kept' },
  { name: 'withheld', offer: { is: 'withheld', why: 'stale-hub' }, held, expect: 'desired.withheld' },
  { name: 'first document', offer: offer(document()), held: never, expect: 'adopted' },
  { name: 'first document after a damaged store', offer: offer(document()), held: unreadable, expect: 'adopted' },
  { name: 'the held one again', offer: offer(document()), held, expect: 'kept' },
  { name: 'next generation', offer: offer(document({ generation: 6 })), held, expect: 'adopted' },
  { name: 'generations skipped', offer: offer(document({ generation: 60 })), held, expect: 'adopted' },
  { name: 'older generation', offer: offer(document({ generation: 4 })), held, expect: 'desired.older-generation' },
  {
    name: 'same generation, other content',
    offer: offer(document({ guests: [guest] })),
    held,
    expect: 'desired.same-generation-differs',
  },
  {
    name: 'other lineage that nobody declared',
    offer: offer(document({ lineage: other, generation: 900 })),
    held,
    expect: 'desired.other-lineage',
  },
  {
    name: 'other lineage, declared to replace the held one',
    offer: offer(document({ lineage: other, generation: 1 }), { replaces: mine }),
    held,
    expect: 'adopted',
  },
  {
    name: 'other lineage, declared to replace a third one',
    offer: offer(document({ lineage: other, generation: 1 }), { replaces: 'c'.repeat(26) }),
    held,
    expect: 'desired.other-lineage',
  },
  {
    name: 'replaces does not excuse an older generation of the same lineage',
    offer: offer(document({ generation: 4 }), { replaces: mine }),
    held,
    expect: 'desired.older-generation',
  },
  {
    name: 'wrong digest',
    offer: offer(document({ generation: 6 }), { digest: document() }),
    held,
    expect: 'desired.digest-mismatch',
  },
  { name: 'unknown field', offer: offer(document({ generation: 6, colour: 1 })), held, expect: 'desired.unreadable' },
  {
    name: 'unknown field in a guest',
    offer: offer(document({ generation: 6, guests: [{ ...guest, hookscript: 'x' }] })),
    held,
    expect: 'desired.unreadable',
  },
  {
    name: 'guest twice',
    offer: offer(document({ generation: 6, guests: [guest, guest] })),
    held,
    expect: 'desired.unreadable',
  },
  { name: 'guests null', offer: offer(document({ generation: 6, guests: null })), held, expect: 'desired.unreadable' },
  {
    name: 'unknown version',
    offer: offer(document({ generation: 6, v: 2 })),
    held,
    expect: 'desired.unknown-version',
  },
  { name: 'no version', offer: offer('{}'), held, expect: 'desired.unknown-version' },
  { name: 'HTML', offer: offer('<html></html>'), held, expect: 'desired.unreadable' },
  { name: 'empty text', offer: offer(''), held, expect: 'desired.unreadable' },
  { name: 'null', offer: offer('null'), held, expect: 'desired.unreadable' },
  { name: 'cut JSON', offer: offer(document({ generation: 6 }).slice(0, -5)), held, expect: 'desired.unreadable' },
  {
    name: 'one byte too large',
    offer: offer(document({ generation: 6 }).padEnd(maxDesiredStateBytes + 1)),
    held,
    expect: 'desired.too-large',
  },
  {
    name: 'just as large as allowed',
    offer: offer(document({ generation: 6 }).padEnd(maxDesiredStateBytes)),
    held,
    expect: 'adopted',
  },
];

for (const row of rows)
  test(`offer: ${row.name} → ${row.expect}`, () => {
    const adoption = adoptDesired(row.offer, row.held, now);
    assert.equal(adoption.is === 'refused' ? adoption.why.code : adoption.is, row.expect);
    if (adoption.is === 'refused') assert.match(adoption.why.text, /^cannot [^:]+: ./);
    if (adoption.is === 'adopted') assert.equal(adoption.held.receivedAt, now);
  });

test('a refusal of an unknown version names the version found and those known', () => {
  const adoption = adoptDesired(offer(document({ v: 7 })), never, now);
  assert.match(adoption.is === 'refused' ? adoption.why.text : '', /version 7, known here: 1/);
});

test('a refusal names the field and never quotes a value', () => {
  const text = document({ generation: 6, guests: [{ ...guest, memoryMiB: 'canary-value' }] });
  const adoption = adoptDesired(offer(text), never, now);
  const said = adoption.is === 'refused' ? adoption.why.text : '';
  assert.match(said, /guests\.0\.memoryMiB/);
  assert.doesNotMatch(said, /canary-value/);
});

test('every field of the document survives the store and the restart', () => {
  const full = holding(document({ guests: [guest] }));
  let stored: string | undefined;
  storeHeld({ put: (text) => void (stored = text) }, full);
  assert.deepEqual(loadHeld({ get: () => stored }), full);
});

const damaged: [string, string][] = [
  ['cut', JSON.stringify({ v: 1, digest: held.digest, receivedAt: 1, text: held.text }).slice(0, 40)],
  ['another digest', JSON.stringify({ v: 1, digest: '0'.repeat(64), receivedAt: 1, text: held.text })],
  ['a later record version', JSON.stringify({ v: 2, digest: held.digest, receivedAt: 1, text: held.text })],
  ['a document of a later release', withDigest(document({ v: 9 }))],
];
function withDigest(text: string): string {
  return JSON.stringify({ v: 1, digest: digestOfText(text), receivedAt: 1, text });
}
for (const [name, stored] of damaged)
  test(`a damaged store (${name}) is unreadable, neither empty nor never received`, () => {
    const loaded = loadHeld({ get: () => stored });
    assert.equal(loaded.is, 'unreadable');
    assert.equal(heldForPlanning(loaded).is, 'never-received');
  });

test('an empty store is never received', () => {
  assert.deepEqual(loadHeld({ get: () => undefined }), { is: 'never-received' });
});

test('an empty list of guests is held, not never received', () => {
  const state: DesiredState | undefined = held.is === 'held' ? held.state : undefined;
  assert.deepEqual(state?.guests, []);
  assert.equal(heldForPlanning(held).is, 'held');
});
