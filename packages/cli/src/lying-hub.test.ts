import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { digestOfBlocked, digestOfTrust } from '@felhom/protocol';
import type { HostDetail, Report } from '@felhom/protocol';
import {
  detailOf,
  epochs,
  hostWithKey,
  noOpenssh,
  operator,
  removal,
  reportOf,
  scriptedHub,
  shrink,
  startedAt,
  trustOf,
} from './signing.fixture.ts';
import type { HostWithKey } from './signing.fixture.ts';

const altered = (said: Report, edit: (copy: Report) => void): Report => {
  const copy = structuredClone(said);
  edit(copy);
  return copy;
};
const auditHead = (count: number) => ({ count, head: String(count % 10).repeat(64) as never });

interface Lie {
  readonly name: string;
  readonly shows: (host: HostWithKey, said: Report) => HostDetail;
  readonly code: string;
  readonly now?: number;
}

/** The operator has seen statement 10 of the first epoch, with seven audit entries. */
const lies: readonly Lie[] = [
  {
    name: 'a report in which a guest looks stopped',
    shows: (host, said) =>
      detailOf(
        altered(said, (copy) => void (copy.guests[0] !== undefined && (copy.guests[0].status = 'stopped'))),
        host.sign(said, { sequence: 11, audit: auditHead(8) }),
      ),
    code: 'host.report-altered',
  },
  {
    name: 'nicer words for a blocked action',
    shows: (host, said) =>
      detailOf(
        altered(
          said,
          (copy) => void (copy.blocked[0] !== undefined && (copy.blocked[0].text = 'remove an empty test guest')),
        ),
        host.sign(said, { sequence: 11, audit: auditHead(8) }),
      ),
    code: 'host.report-altered',
  },
  {
    name: 'a blocked action that the host did not report, with a digest of its own',
    shows: (host, said) =>
      detailOf(
        altered(said, (copy) => {
          const document = { ...removal, lossSet: [] };
          if (copy.blocked[0] !== undefined)
            copy.blocked[0] = { ...copy.blocked[0], document, digest: digestOfBlocked(document) };
        }),
        host.sign(said, { sequence: 11, audit: auditHead(8) }),
      ),
    code: 'host.report-altered',
  },
  {
    name: 'a trust document that asks for fewer people',
    shows: (host, said) =>
      detailOf(
        altered(said, (copy) => {
          if (copy.trust.is !== 'held') return;
          const document = { ...copy.trust.document, loneOperator: true };
          copy.trust = { is: 'held', document, digest: digestOfTrust(document) };
        }),
        host.sign(said, { sequence: 11, audit: auditHead(8) }),
      ),
    code: 'host.report-altered',
  },
  {
    name: 'an older report under the newest statement',
    shows: (host, said) => detailOf(said, host.sign(reportOf(undefined), { sequence: 11, audit: auditHead(8) })),
    code: 'host.report-altered',
  },
  {
    name: 'a statement from before the one that was seen',
    shows: (host, said) => detailOf(said, host.sign(said, { sequence: 9 })),
    code: 'host.sequence-back',
  },
  {
    name: 'another statement of the same number',
    shows: (host, said) => detailOf(said, host.sign(said, { sequence: 10, at: startedAt + 1, audit: auditHead(7) })),
    code: 'host.sequence-forked',
  },
  {
    name: 'an audit log with fewer entries than before',
    shows: (host, said) => detailOf(said, host.sign(said, { sequence: 11, audit: auditHead(6) })),
    code: 'host.audit-back',
  },
  {
    name: 'the statement of another host',
    shows: (_, said) => detailOf(said, hostWithKey('beta').sign(said, { sequence: 11 })),
    code: 'host.other-key',
  },
  {
    name: 'a statement by this key about another host',
    shows: (host, said) => detailOf(said, host.sign(said, { sequence: 11, host: 'beta' as never })),
    code: 'host.other-host',
  },
  {
    name: 'a statement signed with a key of its own',
    shows: (_, said) => detailOf(said, hostWithKey().sign(said, { sequence: 11 })),
    code: 'host.other-key',
  },
  {
    name: 'a statement whose text was changed after it was signed',
    shows: (host, said) => {
      const signed = host.sign(said, { sequence: 11 });
      return detailOf(said, { ...signed, text: signed.text.replace('"sequence":11', '"sequence":12') });
    },
    code: 'host.other-key',
  },
  {
    name: 'a new epoch that nobody acknowledged',
    shows: (host, said) => detailOf(said, host.sign(said, { sequence: 1, hostEpoch: epochs.second })),
    code: 'host.other-epoch',
  },
  {
    name: 'the newest statement, sixteen minutes later',
    shows: (host, said) => detailOf(said, host.sign(said, { sequence: 11, audit: auditHead(8) })),
    code: 'host.statement-old',
    now: startedAt + 16 * 60_000,
  },
  {
    name: 'a statement from far ahead',
    shows: (host, said) =>
      detailOf(said, host.sign(said, { sequence: 11, at: startedAt + 3_600_000, audit: auditHead(8) })),
    code: 'host.statement-ahead',
  },
  { name: 'no statement at all', shows: (_, said) => detailOf(said, undefined), code: 'host.no-statement' },
  {
    name: 'no report',
    shows: (host, said) => detailOf(undefined, host.sign(said, { sequence: 11, audit: auditHead(8) })),
    code: 'host.no-report',
  },
  {
    name: 'a report whose trust document is not the one in the statement',
    shows: (host, said) =>
      detailOf(
        said,
        host.sign(said, { sequence: 11, audit: auditHead(8), trust: { version: 3, digest: '0'.repeat(64) as never } }),
      ),
    code: 'host.trust-altered',
  },
];

const signingCommands: readonly (readonly string[])[] = [
  ['approve', 'alpha', digestOfBlocked(removal).slice(0, 12), '--yes'],
  ['job', 'decommission', 'alpha', 'photos', '--yes'],
  ['job', 'trust-renew', 'alpha', '--yes'],
];

test(
  'whatever a hub makes up is refused with the reason and what to do, and nothing is signed',
  { skip: noOpenssh },
  async (t) => {
    const hub = await scriptedHub(t);
    const host = hostWithKey();
    const anna = operator(t, hub);
    const bela = operator(t, hub);
    const trust = trustOf([
      ['anna', await anna.key('id')],
      ['bela', await bela.key('id')],
    ]);
    const said = reportOf(trust);
    const truth = detailOf(said, host.sign(said, { audit: auditHead(7) }));
    hub.shown = truth;
    await anna.felhom(['hosts', 'trust', 'alpha', host.fingerprint]);
    assert.equal((await anna.felhom(['status', 'alpha'])).code, 0);
    const pins = readFileSync(join(anna.home, '.config', 'felhom', 'pins.json'), 'utf8');

    for (const lie of lies)
      for (const argv of signingCommands)
        await t.test(`${lie.name}: ${argv[0]} ${argv[1]}`, async () => {
          hub.shown = lie.shows(host, said);
          anna.at(lie.now ?? startedAt + 1000);
          const before = anna.made.signatures;
          const { code, err } = await anna.felhom([...argv, '--json']);
          const error = (JSON.parse(err) as { error: { code: string; text: string; next?: string } }).error;
          assert.deepEqual([code, error.code], [6, lie.code], err);
          assert.match(error.text, /^cannot /);
          assert.ok((error.next ?? '') !== '');
          assert.equal(anna.made.signatures, before);
          assert.deepEqual(hub.mailbox, []);
          assert.equal(readFileSync(join(anna.home, '.config', 'felhom', 'pins.json'), 'utf8'), pins);
        });

    await t.test('and the same commands sign where the hub shows what the host said', async () => {
      anna.at(startedAt + 1000);
      hub.shown = truth;
      for (const argv of signingCommands) assert.equal((await anna.felhom([...argv, '--no-wait'])).code, 7);
      assert.equal(anna.made.signatures, signingCommands.length);
      assert.equal(hub.mailbox.length, signingCommands.length);
    });

    await t.test('status shows a lie, and says that it is only the hub that says so', async () => {
      hub.shown = lies[0]?.shows(host, said);
      const { code, out } = await anna.felhom(['status', 'alpha']);
      assert.equal(code, 0);
      assert.match(out, /the hub's word only: cannot believe the report/);
      hub.shown = truth;
      const good = (await anna.felhom(['status', 'alpha'])).out;
      assert.match(good, /verified: signed by the host, statement 10/);
      assert.match(good, new RegExp(`felhom approve alpha ${digestOfBlocked(shrink).slice(0, 12)}`));
    });
  },
);

test('a host that is not pinned is not signed for, and the hub cannot pin it', { skip: noOpenssh }, async (t) => {
  const hub = await scriptedHub(t);
  const host = hostWithKey();
  const anna = operator(t, hub);
  const said = reportOf(trustOf([['anna', await anna.key('id')]], { loneOperator: true, thresholds: ones }));
  hub.shown = detailOf(said, host.sign(said));
  const refused = await anna.felhom(['approve', 'alpha', digestOfBlocked(shrink).slice(0, 12), '--yes']);
  assert.equal(refused.code, 6);
  assert.match(refused.err, /its key is not pinned here[^]*felhom hosts trust alpha FINGERPRINT/);
  // The fingerprint that was typed decides: another one finds no key in what the hub shows.
  const other = await anna.felhom(['hosts', 'trust', 'alpha', hostWithKey().fingerprint]);
  assert.equal(other.code, 6);
  hub.shown = detailOf(said, host.sign(said, { host: 'beta' as never }));
  assert.equal((await anna.felhom(['hosts', 'trust', 'alpha', host.fingerprint])).code, 6);
  assert.equal(anna.made.signatures, 0);
  assert.ok(!readdirSync(join(anna.home, '.config', 'felhom')).includes('pins.json'));
});

const ones = { destroy: 1, disclose: 1, deploy: 1, divert: 1, removal: 1, trust: 1 };

test(
  'a new epoch is believed once it is acknowledged, and the one before never again',
  { skip: noOpenssh },
  async (t) => {
    const hub = await scriptedHub(t);
    const host = hostWithKey();
    const anna = operator(t, hub);
    const said = reportOf(trustOf([['anna', await anna.key('id')]], { loneOperator: true, thresholds: ones }));
    const old = detailOf(said, host.sign(said));
    hub.shown = old;
    assert.equal((await anna.felhom(['hosts', 'trust', 'alpha', host.line])).code, 0);
    assert.equal((await anna.felhom(['hosts', 'trust', 'alpha'])).code, 0);
    hub.shown = detailOf(said, host.sign(said, { hostEpoch: epochs.second, sequence: 1 }));
    const shown = await anna.felhom(['hosts', 'trust', 'alpha']);
    assert.equal(shown.code, 6);
    assert.match(shown.err, /began a new epoch[^]*everything signed before is void[^]*--accept-epoch/);
    assert.equal((await anna.felhom(['hosts', 'trust', 'alpha', '--accept-epoch'], { answers: ['y'] })).code, 1);
    assert.equal((await anna.felhom(['hosts', 'trust', 'alpha', '--accept-epoch'], { answers: ['yes'] })).code, 0);
    const trusted = await anna.felhom(['hosts', 'trust', 'alpha']);
    assert.equal(trusted.code, 0);
    assert.match(trusted.out, /One stolen or misused key is enough/);
    hub.shown = old;
    const former = await anna.felhom(['hosts', 'trust', 'alpha', '--accept-epoch', '--yes']);
    assert.equal(former.code, 6);
    assert.match(former.err, /earlier life/);
  },
);
