import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { auditText, chainEntry, emptyChain } from '@felhom/protocol';
import type { AuditEntry, ChainHead, HostStatement, SignedStatement } from '@felhom/protocol';
import { checkAudit } from './audit-check.ts';
import type { AuditCopy, AuditFault } from './audit-check.ts';
import { detailOf, epochs, hostWithKey, operator, reportOf, scriptedHub, startedAt, uid } from './signing.fixture.ts';

const host = hostWithKey();
const said = reportOf(undefined);

/** A log of so many entries, and the head after each. */
function logOf(count: number, word = 'done') {
  const entries: AuditEntry[] = [];
  const heads: ChainHead[] = [emptyChain];
  let guest = emptyChain;
  for (let at = 1; at <= count; at += 1) {
    const aboutGuest = at % 2 === 0;
    const { entry, digest } = chainEntry(
      { host: heads.at(-1) ?? emptyChain, guest },
      {
        at: startedAt + at,
        kind: 'job.done',
        text: `${word} ${at}`,
        detail: {},
        ...(aboutGuest ? { guest: uid as never } : {}),
      },
    );
    if (aboutGuest) guest = { count: guest.count + 1, head: digest };
    entries.push(entry);
    heads.push({ count: at, head: digest });
  }
  return { texts: entries.map(auditText), heads };
}

const log = logOf(6);
const headAt = (count: number, more: Partial<HostStatement> = {}): SignedStatement =>
  host.sign(said, { sequence: 100 + count, audit: log.heads[count] ?? emptyChain, ...more });
const copyOf = (more: Partial<AuditCopy> = {}): AuditCopy => ({
  host: 'alpha',
  epoch: epochs.first,
  entries: log.texts,
  heads: [headAt(0), headAt(2), headAt(4), headAt(6)],
  conflicts: [],
  ...more,
});
const pin = { key: host.line, current: undefined, former: [] };
const other = logOf(6, 'undone');

const cases: readonly (readonly [
  name: string,
  copy: AuditCopy,
  faults: readonly (readonly [AuditFault['is'], number])[],
])[] = [
  ['a whole log', copyOf(), []],
  ['a log longer than the newest head', copyOf({ heads: [headAt(4)] }), []],
  ['an empty log that nothing was signed of', copyOf({ entries: [], heads: [] }), []],
  [
    'an entry taken out of the middle',
    copyOf({ entries: log.texts.toSpliced(2, 1) }),
    [
      ['cut', 3],
      ['cut', 6],
    ],
  ],
  ['the end cut off', copyOf({ entries: log.texts.slice(0, 5) }), [['cut', 6]]],
  ['all of it cut off', copyOf({ entries: [] }), [['cut', 1]]],
  [
    'the text of an entry changed',
    copyOf({ entries: log.texts.with(3, (log.texts[3] ?? '').replace('done 4', 'done 5')) }),
    [['edited', 5]],
  ],
  [
    'the text of the last entry changed',
    copyOf({ entries: log.texts.with(5, (log.texts[5] ?? '').replace('done 6', 'done 7')) }),
    [['forked', 5]],
  ],
  ['an entry twice', copyOf({ entries: log.texts.toSpliced(2, 0, log.texts[1] ?? '') }), [['forked', 3]]],
  ['an entry that is none', copyOf({ entries: log.texts.with(1, '{}') }), [['unreadable', 2]]],
  ['another log, whole in itself', copyOf({ entries: other.texts }), [['forked', 1]]],
  ['another log from entry 3 on', copyOf({ entries: [...log.texts.slice(0, 2), ...rechained(2)] }), [['forked', 3]]],
  [
    'a head signed by somebody else',
    copyOf({ heads: [hostWithKey().sign(said, { audit: log.heads[6] ?? emptyChain })] }),
    [['not-the-host', 1]],
  ],
  ['a head of another epoch', copyOf({ heads: [headAt(6, { hostEpoch: epochs.second })] }), [['not-the-host', 1]]],
  [
    'a host that signed fewer entries than before',
    copyOf({ heads: [headAt(4), headAt(2, { sequence: 200 })] }),
    [['forked', 3]],
  ],
  ['two entries of one number from the host', copyOf({ conflicts: [{ seq: 2 }] }), [['forked', 2]]],
];

/** Entries after `count` of the log that say something else and are chained all the same. */
function rechained(count: number): string[] {
  let head = log.heads[count] ?? emptyChain;
  return Array.from({ length: 6 - count }, (_, at) => {
    const made = chainEntry({ host: head, guest: emptyChain }, { at: at + 1, kind: 'x', text: 'x', detail: {} });
    head = { count: head.count + 1, head: made.digest };
    return auditText(made.entry);
  });
}

for (const [name, copy, faults] of cases)
  test(`audit: ${name}`, () => {
    assert.deepEqual(
      checkAudit(copy, pin).faults.map(({ is, at }) => [is, at]),
      faults,
    );
  });

test('a hub that hides the newest heads is caught by what the operator saw', () => {
  const copy = copyOf({ entries: log.texts.slice(0, 4), heads: [headAt(4)] });
  assert.deepEqual(checkAudit(copy, pin).faults, []);
  const seen = {
    hostEpoch: epochs.first,
    sequence: 106,
    statement: '0'.repeat(64) as never,
    audit: log.heads[6] ?? emptyChain,
  };
  assert.deepEqual(
    checkAudit(copy, { ...pin, current: seen }).faults.map(({ is, at }) => [is, at]),
    [['cut', 5]],
  );
});

test('felhom audit verify asks page by page, says what is broken and ends with 1', async (t) => {
  const hub = await scriptedHub(t);
  const anna = operator(t, hub);
  let entries: readonly string[] = log.texts;
  hub.audit = (from) => ({
    v: 1,
    epoch: epochs.first,
    count: entries.length,
    from,
    entries: entries.slice(from - 1, from + 1),
    heads: [headAt(Math.min(6, from + 1))],
  });
  hub.shown = detailOf(said, host.sign(said));
  const early = await anna.felhom(['audit', 'verify', 'alpha']);
  assert.equal(early.code, 6);
  assert.match(early.err, /its key is not pinned here/);
  await anna.felhom(['hosts', 'trust', 'alpha', host.fingerprint]);
  const whole = await anna.felhom(['audit', 'verify', 'alpha']);
  assert.deepEqual([whole.code, whole.err], [0, '']);
  assert.match(whole.out, /Whole: 6 entries[^]*3 heads signed by the host \(SHA256:.*\) in place, up to entry 6/);

  const file = join(anna.home, 'audit.json');
  assert.equal((await anna.felhom(['audit', 'export', 'alpha', '--out', file])).code, 0);
  assert.equal((await anna.felhom(['audit', 'verify', '--file', file])).code, 0);
  const lines = join(anna.home, 'audit.jsonl');
  writeFileSync(lines, `${log.texts.join('\n')}\n`);
  const bare = await anna.felhom(['audit', 'verify', '--file', lines]);
  assert.equal(bare.code, 0);
  assert.match(bare.out, /No signed head was there/);

  entries = [...log.texts.slice(0, 2), ...rechained(2)];
  const broken = await anna.felhom(['audit', 'verify', 'alpha', '--file', file]);
  assert.equal(broken.code, 1);
  assert.match(
    broken.out,
    /BROKEN[^]*entry 3, forked: .*in doubt[^]*file and hub tell different things from entry 3 on/,
  );

  entries = log.texts;
  const shown = await anna.felhom(['audit', 'show', 'alpha', '--guest', 'photos', '--last', '2']);
  assert.deepEqual(shown.out.match(/done \d/g), ['done 4', 'done 6']);
});

test('a hub that answers with another page than was asked for is not followed for ever', async (t) => {
  const hub = await scriptedHub(t);
  const anna = operator(t, hub);
  hub.shown = detailOf(said, host.sign(said));
  await anna.felhom(['hosts', 'trust', 'alpha', host.line]);
  hub.audit = () => ({ v: 1, epoch: epochs.first, count: 1000, from: 1, entries: log.texts, heads: [] });
  assert.equal((await anna.felhom(['audit', 'verify', 'alpha'])).code, 3);
  hub.audit = (from) => ({ v: 1, epoch: epochs.first, count: 1000, from, entries: [], heads: [] });
  assert.equal((await anna.felhom(['audit', 'verify', 'alpha'])).code, 0);
});
