import assert from 'node:assert/strict';
import { test } from 'node:test';
import { auditText, chainEntry, digestOfBlocked, emptyChain, writeEnvelope } from '@felhom/protocol';
import type { Digest, GuestName, GuestUid, HostId, VolumeId } from '@felhom/protocol';
import {
  detailOf,
  epochs,
  hostWithKey,
  noOpenssh,
  operator,
  reportOf,
  scriptedHub,
  shrink,
  startedAt,
  trustOf,
  uid,
} from './signing.fixture.ts';

const hostile = '\u001b[2J\u001b]52;c;aGk=\u0007\r\nforged \u202e';
/** Only the colours of the program itself may be left. */
// oxlint-disable-next-line no-control-regex
const unpainted = (text: string): string => text.replace(/\u001b\[\d+m/g, '');

test(
  'words of a host, its guests, the hub and a colleague neither move the cursor nor forge a line',
  { skip: noOpenssh },
  async (t) => {
    const hub = await scriptedHub(t);
    const host = hostWithKey();
    const anna = operator(t, hub);
    const trust = trustOf([['anna', await anna.key('id')]], {
      loneOperator: true,
      thresholds: { destroy: 1, disclose: 1, deploy: 1, divert: 1, removal: 1, trust: 1 },
    });
    const evil = { ...shrink, parameters: { to: hostile, list: [hostile] }, lossSet: [hostile] };
    const said = reportOf(trust, {
      blocked: [{ document: evil, digest: digestOfBlocked(evil), text: hostile, since: 1 }],
      strangers: [{ vmid: 9001, name: hostile, configDigest: 'd'.repeat(40), volumes: ['local:x'], why: hostile }],
      parked: [
        {
          id: 's-1',
          name: hostile,
          step: hostile.slice(0, 80),
          why: { code: 'x', text: hostile, retry: 'operator', detail: hostile },
          command: hostile,
          since: 1,
        },
      ],
      jobs: [
        {
          jobId: 'b'.repeat(26),
          kind: hostile.slice(0, 40),
          digest: '1'.repeat(64),
          state: 'cooling-off',
          text: hostile,
          guest: 'photos',
          by: [hostile.slice(0, 40)],
          missing: 1,
          since: 1,
          at: 1,
          nextAt: 2,
        },
      ],
      breakGlass: { is: 'unknown', text: hostile },
      backups: [
        {
          guest: 'photos',
          uid,
          tier: hostile.slice(0, 40),
          target: hostile.slice(0, 40),
          state: 'failing',
          copies: 1,
          lastFailure: hostile,
          risks: [hostile],
        },
      ],
      bulk: [{ guest: 'photos', volume: hostile.slice(0, 40), decision: 'controller', target: hostile.slice(0, 40) }],
      copies: [
        {
          id: `copy-1${hostile}`.slice(0, 40),
          uid,
          guest: 'photos',
          tier: hostile.slice(0, 40),
          archive: 'nas:\u202ex',
          sha256: 'a'.repeat(64),
          at: 1,
          sizeBytes: 1,
          consistency: 'app',
          class: 'scheduled',
          proven: true,
          protected: false,
        },
      ],
      restoreTests: [
        host.signEvidence({
          v: 1,
          host: 'alpha' as HostId,
          test: hostile,
          guest: uid as GuestUid,
          name: 'photos' as GuestName,
          tier: hostile.slice(0, 40),
          backup: {
            id: hostile.slice(0, 40),
            archive: 'nas:x' as VolumeId,
            sha256: 'a'.repeat(64) as Digest,
            takenAt: 1,
          },
          verdict: 'failed',
          grade: 'booted',
          code: hostile,
          text: hostile,
          startedAt: 1,
          endedAt: 1,
          timings: {},
        }),
      ],
      restores: [
        {
          id: `r-1${hostile}`,
          guest: 'photos',
          uid,
          kind: 'overwrite',
          state: 'undoable',
          at: 1,
          lossSet: [hostile],
          text: hostile,
        },
      ],
      queue: [{ saga: hostile, what: hostile, guest: 'photos', since: 1, waitsFor: [hostile] }],
    });
    hub.shown = detailOf(said, host.sign(said));
    hub.mailbox.push(hostile, writeEnvelope(Buffer.from(JSON.stringify(hostile)), [hostile]));
    const { entry } = chainEntry(
      { host: emptyChain, guest: emptyChain },
      { at: startedAt, kind: 'x', text: hostile, detail: {} },
    );
    hub.audit = (from) => ({ v: 1, epoch: epochs.first, count: 1, from, entries: [auditText(entry)], heads: [] });
    await anna.felhom(['hosts', 'trust', 'alpha', host.fingerprint]);
    const digest = digestOfBlocked(evil).slice(0, 12);
    const commands: readonly (readonly [argv: readonly string[], answers: readonly string[]])[] = [
      [['status', 'alpha'], []],
      [['hosts', 'trust', 'alpha'], []],
      [['approve', 'alpha'], ['no']],
      [['approve', 'alpha', digest], ['no']],
      [['job', 'resume', 'alpha', 's-1'], ['no']],
      [['job', 'cancel', 'alpha', 'bbbb'], ['no']],
      [['jobs', 'alpha'], []],
      [['backups', 'alpha'], []],
      [['restore-tests', 'alpha'], []],
      [['job', 'restore-overwrite', 'alpha', 'photos', '--backup', 'newest', '--undo-hours', '2'], ['no']],
      [['job', 'backup-delete', 'alpha', 'photos', '--backup', 'copy-1'], ['no']],
      [['job', 'undo', 'alpha', `r-1${hostile}`], ['no']],
      [['adopt', 'alpha'], []],
      [['adopt', 'alpha', '9001'], []],
      [['adopt', 'alpha', '9001', '--name', 'web'], ['no']],
      [['adopt', 'alpha', '--all'], []],
      [['audit', 'show', 'alpha'], []],
      [['audit', 'verify', 'alpha'], []],
    ];
    for (const [argv, answers] of commands) {
      const { out, err } = await anna.felhom(argv, { answers, tty: true });
      const text = unpainted(out + err);
      assert.notEqual(text, '', argv.join(' '));
      // oxlint-disable-next-line no-control-regex
      assert.doesNotMatch(text, /[\u0000-\u0009\u000b-\u001f\u007f\u202e]/, argv.join(' '));
      assert.doesNotMatch(text, /^\s*forged/m, argv.join(' '));
    }
    assert.equal(anna.made.signatures, 0);
  },
);
